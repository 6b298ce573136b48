"""The reference pages name everything that the code has, and nothing more."""

from collections.abc import Iterator
from datetime import datetime
from random import Random
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from synthagent import plugins
from synthagent.cli.training_report import PAGE, PICTURES
from synthagent.config import Settings
from synthagent.errors import InputError
from synthagent.reasoning.backends import FORMS
from synthagent.reasoning.search import SearchSettings
from synthagent.schema.checks import OPERATORS
from synthagent.schema.episodes import AgentEvent, Episode, FormEvent, Limits, Stop, ToolEvent, UserEvent
from synthagent.schema.scores import Scored, Unscored, Verdict
from synthagent.schema.tasks import Task
from synthagent.simulation import arguments, compiling, guarded_sql, world
from synthagent.simulation.guarded_sql import FUNCTIONS
from synthagent.storage.manifest import Manifest
from synthagent.storage.run_folder import OURS
from synthagent.storage.tables import EpisodeRow
from synthagent.synthesis.procedural import domain as domains
from synthagent.synthesis.procedural.rows import Rows
from synthagent.training.metrics import HeldOut, Played, StepLine
from synthagent.training.report import HELD_OUT, MANIFEST, METRICS, About
from synthagent.training.train_folder import CHECKPOINTS, LOCK, POLICY, ROLLOUTS
from tests.docs.pages import Page, Section, codes, reference


def names(kind: type[BaseModel]) -> list[str]:
    """A record's fields as they stand in a file."""
    return [field.alias or name for name, field in kind.model_fields.items()]


def reachable(kind: Any, seen: dict[str, type[BaseModel]]) -> dict[str, type[BaseModel]]:
    """Every record that a record holds, by name."""
    if isinstance(kind, type) and issubclass(kind, BaseModel) and kind.__name__ not in seen:
        seen[kind.__name__] = kind
        for field in kind.model_fields.values():
            reachable(field.annotation, seen)
    for part in get_args(kind):
        reachable(part, seen)
    return seen


RECORDS = reachable(Task, {})


def sections_of(page: Page) -> Iterator[tuple[list[str], Section]]:
    """Sections that are named after records, and the records."""
    for section in page.sections:
        kinds = section.title.split(", ")
        if all(kind in RECORDS for kind in kinds):
            yield kinds, section


def test_every_record_of_a_task_has_its_section():
    found = [kind for kinds, _ in sections_of(reference("task-file")) for kind in kinds]
    assert sorted(found) == sorted(RECORDS)


@pytest.mark.parametrize(
    ("kinds", "section"),
    [pytest.param(*found, id=found[1].title) for found in sections_of(reference("task-file"))],
)
def test_a_section_of_the_task_file_lists_its_records_fields(kinds: list[str], section: Section):
    said = [name for row in section.rows("field") for name in codes(row[0])]
    assert said == [name for kind in kinds for name in names(RECORDS[kind])]
    for row in section.rows("field"):
        [name] = codes(row[0])
        field = next(f for kind in kinds for n, f in RECORDS[kind].model_fields.items() if name in (n, f.alias))
        assert (row[2] == "required") == field.is_required(), name


def test_every_check_operator_is_explained():
    titles = [word.strip() for section in reference("checks").sections for word in section.title.split(",")]
    assert set(OPERATORS) <= set(titles)


def test_every_setting_and_limit_is_documented_with_its_default():
    page = reference("settings")
    for title, record in (("Keys", Settings()), ("Limits", Limits())):
        rows = {codes(row[0])[0]: row[1].strip("`") for row in page.section(title).rows("key")}
        values = {name: getattr(record, name) for name in type(record).model_fields}
        assert rows.keys() == values.keys()
        for name, value in values.items():
            assert isinstance(value, Limits) or rows[name] == ("unset" if value is None else str(value))


def test_every_plugin_group_is_documented():
    rows = reference("settings").section("Plugins").rows("group")
    assert [codes(row[0])[0] for row in rows] == list(plugins.GROUPS)


def test_every_sql_function_is_documented_and_no_other():
    lines = "\n".join(reference("worlds").section("Functions").lines).split("\n\n")
    [listed] = [part for part in lines if part.count("`") > 40]
    assert set(codes(listed)) == FUNCTIONS


def test_the_limits_of_worlds_are_those_of_the_code():
    rows = {row[0]: row[1].replace(",", "") for row in reference("worlds").section("Limits").rows("what")}
    assert rows["opcodes of SQLite's machine per call, and per statement of a check"] == str(guarded_sql.OPCODE_BUDGET)
    assert rows["rows that a statement returns"] == str(world.MAX_RESULT_ROWS)
    assert rows["characters of text in them"] == str(guarded_sql.MAX_TEXT)
    assert rows["bytes of a result"] == str(world.MAX_RESULT_BYTES)
    assert rows["bytes of a call's arguments"] == str(arguments.MAX_ARGUMENT_BYTES)
    assert rows["nesting of a call's arguments"] == str(arguments.MAX_DEPTH)
    assert rows["initial rows"] == str(compiling.MAX_INITIAL_ROWS)
    assert rows["seconds per call"] == f"{guarded_sql.PATIENCE:g}"


def test_every_generator_is_documented_and_no_other():
    domain = next(iter(domains.shipped().values()))
    with pytest.raises(InputError) as error:
        Rows(domain, Random(0), datetime(2031, 1, 6)).make({"no such kind": 1}, {})
    known = str(error.value).partition("known: ")[2].split(", ")
    rows = reference("domains").section("Generators").rows("kind")
    assert [codes(row[0])[0] for row in rows] == known


@pytest.mark.parametrize(
    ("title", "kind", "head"),
    [
        ("The parts of the file", domains.Domain, "key"),
        ("tables", domains.TableSpec, "key"),
        ("facts", domains.FactSpec, "key"),
        ("identify", domains.Identify, "key"),
        ("tools", domains.ToolSpec, "key"),
        ("goals", domains.Goal, "key"),
        ("restrictions", domains.Restriction, "key"),
        ("confirm", domains.ConfirmSpec, "key"),
    ],
    ids=lambda value: str(getattr(value, "__name__", value)),
)
def test_every_key_of_a_domain_file_is_documented(title: str, kind: type[BaseModel], head: str):
    said = [name for row in reference("domains").section(title).rows(head) for name in codes(row[0])]
    assert said == names(kind)


def test_run_folders_hold_what_is_documented():
    page = reference("run-folder")
    files = {code for row in page.sections[1].rows("file") for code in codes(row[0])}
    assert files | {"index.sqlite-wal", "index.sqlite-shm"} == set(OURS)
    manifest = [code for row in page.section("The manifest").rows("field") for code in codes(row[0])]
    assert manifest == names(Manifest)
    episode = [code for row in page.section("Episodes").rows("field") for code in codes(row[0])]
    assert set(episode) == set(names(Episode))
    columns = [code for row in page.section("The index").rows("column") for code in codes(row[0])]
    assert set(columns) == set(names(EpisodeRow))
    stops = next(row[1] for row in page.section("Episodes").rows("field") if row[0] == "`stop`")
    assert codes(stops) == [stop.value for stop in Stop]


@pytest.mark.parametrize(
    ("title", "head", "record"),
    [("Steps", "field", StepLine), ("Steps", "figure", Played), ("Held-out evaluations", "field", HeldOut)],
    ids=["step", "played", "held out"],
)
def test_journals_of_training_are_documented_field_by_field(title: str, head: str, record: type[BaseModel]):
    rows = reference("run-folder").section(title).rows(head)
    assert [code for row in rows for code in codes(row[0])] == names(record)


def test_training_folders_hold_what_is_documented():
    rows = {
        codes(row[0])[0]: row[1] for row in reference("run-folder").section("Training folders").rows("training file")
    }
    written = [ROLLOUTS, f"{CHECKPOINTS}/", f"{POLICY}/", LOCK]
    assert list(rows) == [MANIFEST, METRICS, HELD_OUT, *written, PAGE, f"{PICTURES}/"]
    assert set(About.model_fields) <= set(codes(rows[MANIFEST]))


def test_events_and_scores_are_documented_field_by_field():
    page = reference("run-folder")
    rows = {codes(row[0])[0]: codes(row[1]) for row in page.section("Episodes").rows("event")}
    for kind in (AgentEvent, UserEvent, ToolEvent, FormEvent):
        said = rows[kind.model_fields["kind"].default]
        assert set(names(kind)) - {"kind"} <= set(said), kind
    text = " ".join(page.section("Scores").lines)
    for record in (Scored, Unscored, Verdict):
        assert {f"`{name}`" for name in names(record) if name != "kind"} <= {f"`{code}`" for code in codes(text)}, (
            record
        )


def test_the_settings_of_a_search_are_those_there_are():
    said = {codes(row[0])[0]: row[1].strip("`") for row in reference("search").section("Settings").rows("setting")}
    assert said == {name: str(field.default) for name, field in SearchSettings.model_fields.items()}


def test_every_form_of_a_search_backend_is_documented():
    said = [codes(row[0])[0] for row in reference("search").section("Backends").rows("form")]
    assert said == FORMS.split(", ")
