"""A domain is one data file. What is wrong with it is said by file and field."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from synthagent.errors import InputError
from synthagent.synthesis.pipeline import NothingKept, Rejected, verified
from synthagent.synthesis.procedural import domain as module
from synthagent.synthesis.procedural.domain import load, shipped


@pytest.fixture
def spoiled(pottery_file, tmp_path) -> Callable[[Callable[[Any], Any]], Any]:
    """The pottery's file with something changed in it."""

    def write(spoil):
        data = yaml.safe_load(pottery_file.read_text())
        spoil(data)
        path = tmp_path / "spoiled.yaml"
        path.write_text(yaml.safe_dump(data, sort_keys=False))
        return path

    return write


def glaze(data):
    return data["goals"]["glaze_it"]


WRONG = {
    "a part is missing": (lambda d: d.pop("tables"), "tables: Field required"),
    "a field nobody knows": (lambda d: d.update(colour="red"), "colour: Extra inputs"),
    "a word for a number": (lambda d: d["tables"]["potters"].update(rows="many"), "tables.potters.rows"),
    "a tool that neither reads nor writes": (
        lambda d: d["tools"]["list_pieces"].update(effect="look"),
        "tools.list_pieces.effect",
    ),
    "a goal that nobody can ask for": (lambda d: glaze(d).update(asks=[]), "goals.glaze_it.asks"),
    "a fact that nobody can tell": (lambda d: d["facts"]["glaze"].update(say=[]), "facts.glaze.say"),
    "no table for the user": (lambda d: d.update(me="people"), "me: there is no table 'people'"),
    "a step of no kind": (lambda d: glaze(d)["plan"].insert(0, {"sing": "la"}), "goals.glaze_it.plan.0: a step is one"),
    "a step of two kinds": (
        lambda d: glaze(d)["plan"][1].update(call="list_pieces"),
        "goals.glaze_it.plan.1: a step is one",
    ),
    "a question for no fact": (
        lambda d: glaze(d)["plan"][1].update(ask="size"),
        "goals.glaze_it.plan.1: there is no fact 'size'",
    ),
    "a call of no tool": (
        lambda d: glaze(d)["plan"][0].update(call="list_pots"),
        "goals.glaze_it.plan.0: there is no tool 'list_pots'",
    ),
    "a call without a name": (lambda d: glaze(d)["plan"][0].pop("as"), "goals.glaze_it.plan.0: a call wants a name"),
    "a decision on no restriction": (
        lambda d: glaze(d)["plan"].insert(0, {"decide": "taste"}),
        "goals.glaze_it.plan.0: there is no restriction 'taste'",
    ),
    "a restriction that is never decided": (
        lambda d: glaze(d)["plan"].pop(2),
        "goals.glaze_it.plan: no `decide: fired` step",
    ),
    "a decision by nothing": (
        lambda d: glaze(d)["restrictions"]["fired"].update(decided_by=["weather"]),
        "goals.glaze_it.restrictions.fired.decided_by: 'weather'",
    ),
    "a flip of nothing": (
        lambda d: glaze(d)["restrictions"]["fired"].update(flip={"kiln": {"hot": 1}}),
        "goals.glaze_it.restrictions.fired.flip: there is no binding 'kiln'",
    ),
    "a fact of no domain": (
        lambda d: glaze(d)["facts"].update(size="{piece.shelf}"),
        "goals.glaze_it.facts: 'size'",
    ),
    "a sub-goal of nothing": (
        lambda d: glaze(d)["subgoals"][0].update(looked="kiln"),
        "goals.glaze_it.subgoals.0: wants one of",
    ),
    "a row of no table": (
        lambda d: glaze(d)["bind"]["piece"].update(row="pots"),
        "goals.glaze_it.bind.piece.row: there is no table 'pots'",
    ),
    "words that nobody wrote": (
        lambda d: glaze(d)["bind"]["glaze"].update(pick="colours"),
        "goals.glaze_it.bind.glaze.pick: there are no words 'colours'",
    ),
    "a column of words that nobody wrote": (
        lambda d: d["tables"]["orders"]["columns"].update(clay={"pick": "soils"}),
        "tables.orders.columns.clay.pick: there are no words 'soils'",
    ),
    "a reference to a later table": (
        lambda d: d["tables"].update(courses=d["tables"].pop("courses")),
        "tables.bookings.columns.course_id.ref: there is no table 'courses' before this one",
    ),
    "rows for each row of nothing": (
        lambda d: d["tables"]["pieces"]["rows"].update(per="people"),
        "tables.pieces.rows.per: there is no table 'people'",
    ),
    "a restriction of no tool": (
        lambda d: glaze(d)["restrictions"]["fired"].update(tool="paint"),
        "goals.glaze_it.restrictions.fired.tool: there is no tool 'paint'",
    ),
    "a yes to no tool": (
        lambda d: glaze(d)["confirm"].update(tool="paint"),
        "goals.glaze_it.confirm.tool: there is no tool 'paint'",
    ),
    "a long result of nothing": (
        lambda d: glaze(d)["bulk"].update(table="pots"),
        "goals.glaze_it.bulk.table: there is no table 'pots'",
    ),
    "an identification that asks for nothing known": (
        lambda d: d["identify"]["by_name"]["plan"][0].update(ask="shoe size"),
        "identify.by_name.plan.0: there is no fact 'shoe size'",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_an_error_names_file_and_field(spoiled, what):
    spoil, said = WRONG[what]
    path = spoiled(spoil)
    with pytest.raises(InputError) as caught:
        load(path)
    assert caught.value.where == str(path)
    assert said in str(caught.value)


def test_what_is_not_yaml_or_not_there_is_said_so(tmp_path):
    (tmp_path / "broken.yaml").write_text("name: [pottery")
    with pytest.raises(InputError, match=r"broken\.yaml: not YAML"):
        load(tmp_path / "broken.yaml")
    with pytest.raises(InputError, match=r"absent\.yaml: cannot be read"):
        load(tmp_path / "absent.yaml")


MADE_IN_VAIN = {
    "a generator nobody knows": (lambda d: d["tables"]["pieces"]["columns"].update(shelf={"dice": 6}), "no generator"),
    "a template of nothing": (lambda d: glaze(d)["facts"].update(glaze="{colour}"), "nothing is called 'colour'"),
    "SQL that does not run": (
        lambda d: d["tools"]["list_pieces"]["program"].insert(0, {"require": "SELECT 1 FROM pots", "else": "no"}),
        "no such table: pots",
    ),
    "words that run out": (lambda d: d["words"].update(labels=["Bowl", "Jug"]), "cannot find one more distinct value"),
}


@pytest.mark.parametrize("what", MADE_IN_VAIN)
def test_what_only_shows_when_tasks_are_made_rejects_the_family_with_a_reason(spoiled, make, what):
    spoil, said = MADE_IN_VAIN[what]
    made = make(load(spoiled(spoil)), 30)
    reasons = [family.rejected for family in made if family.rejected]
    assert any(said in reason and reason.startswith("pottery: ") for reason in reasons)
    assert all(bool(family.rejected) != bool(family.tasks) for family in made)


def test_a_domain_that_cannot_work_is_given_up_with_its_reason(spoiled, make):
    broken = load(spoiled(lambda d: d["words"].update(labels=["Bowl"])))
    with pytest.raises(NothingKept, match="cannot find one more distinct value"):
        assert all(isinstance(found, Rejected) for found in verified(make(broken, 200), lambda _: (), 100))


def test_every_shipped_domain_loads_under_the_name_of_its_file():
    files = {path.stem for path in Path(module.__file__).with_name("domains").glob("*.yaml")}
    assert set(shipped()) == files
    assert len(files) >= 12
