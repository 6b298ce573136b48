"""What a training report says: figures by hand, one page that needs nothing else, and no text that is not escaped."""

import base64
import math
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthagent.errors import InputError
from synthagent.intervals import averaged, detectable, paired
from synthagent.training.metrics import Played, StepLine
from synthagent.training.pictures import DARK, LIGHT, TITLES, drawn
from synthagent.training.report import (
    About,
    Training,
    curves,
    evaluations,
    flat,
    gains,
    is_training,
    read,
    report,
    smoothed,
    trend,
)
from synthagent.training.report_page import page, shown
from tests.trainings import ABOUT, folder, held_out, learning, played, step

BEFORE = [held_out(0, "a1", 0.0), held_out(0, "a1", 1.0, sample=1), held_out(0, "b1", 0.5), held_out(0, "c1", 0.0)]
AFTER = [held_out(20, "a1", 1.0), held_out(20, "b1", 0.75), held_out(20, "c1", None), held_out(20, "d1", 1.0)]


# ---- held out


def test_before_and_after_are_means_over_tasks_and_the_difference_is_paired():
    (gain,) = gains(BEFORE + AFTER)
    one = averaged([("a", "a1", 0.0), ("a", "a1", 1.0), ("b", "b1", 0.5), ("c", "c1", 0.0)])
    two = averaged([("a", "a1", 1.0), ("b", "b1", 0.75), ("d", "d1", 1.0)])
    assert (gain.group, gain.first, gain.last) == ("test", 0, 20)
    assert (gain.before, gain.before_low, gain.before_high) == (pytest.approx(1 / 3), one.low, one.high)
    assert (gain.after, gain.after_low, gain.after_high) == (pytest.approx(2.75 / 3), two.low, two.high)
    # a1: 0.5 -> 1; b1: 0.5 -> 0.75; c1 has no reward afterwards, d1 none before
    found = paired([("a", "a1", 0.5), ("b", "b1", 0.5)], [("a", "a1", 1.0), ("b", "b1", 0.75)])
    assert (gain.tasks, gain.families, gain.difference) == (2, 2, 0.375)
    assert (gain.low, gain.high, gain.detectable) == (found.low, found.high, detectable(found))


def test_the_first_is_compared_with_the_last_set_by_set_whatever_lies_between_and_in_whatever_order():
    between = [held_out(10, "a1", 0.0), held_out(10, "b1", 0.0)]
    other = [held_out(at, task, 0.5, group="other") for at in (0, 10) for task in ("a1", "b1")]
    found = gains(AFTER + other[::-1] + between + BEFORE)
    assert [(one.group, one.first, one.last) for one in found] == [("test", 0, 20), ("other", 0, 10)]
    assert found[0].model_dump() == pytest.approx(gains(BEFORE + AFTER)[0].model_dump())
    assert found[1].difference == 0.0


def test_a_set_that_was_evaluated_once_has_no_difference():
    assert gains(BEFORE) == ()
    assert [one.group for one in evaluations(BEFORE)] == ["test"]


def test_one_family_has_means_and_no_intervals():
    (gain,) = gains([held_out(0, "a1", 0.0), held_out(5, "a1", 1.0)])
    assert (gain.before, gain.after, gain.difference) == (0.0, 1.0, 1.0)
    assert (gain.before_low, gain.after_high, gain.low, gain.detectable) == (None, None, None, None)


def test_without_a_task_that_both_have_there_is_no_difference():
    (gain,) = gains([held_out(0, "a1", 0.0), held_out(5, "b1", 1.0), held_out(5, "a1", None)])
    assert (gain.tasks, gain.difference, gain.low, gain.detectable) == (0, None, None, None)


def test_an_evaluation_counts_shares_over_episodes_with_a_reward():
    rows = [
        held_out(4, "a1", 1.0, gate=1, legal=True),
        held_out(4, "a2", 0.0, gate=0, legal=True, refused=True),
        held_out(4, "b1", 0.5, gate=1, legal=False, refused=True),
        held_out(4, "c1", None, legal=True),
    ]
    (found,) = evaluations(rows)
    assert (found.step, found.tasks, found.families, found.episodes, found.unscored) == (4, 3, 2, 4, 1)
    assert (found.mean, found.perfect, found.gate_violations) == (0.5, pytest.approx(1 / 3), pytest.approx(1 / 3))
    assert found.refusals_legal == pytest.approx(1 / 3), "of the three legal ones"


# ---- curves


def test_every_figure_of_a_step_is_a_curve():
    found = curves([step(1), step(2, {"reward": None, "refusals": 0.5}, generating=0.0)])
    fields = (set(Played.model_fields) | set(StepLine.model_fields)) - {"played", "blame", "step"}
    assert set(found) == fields | {"generated_per_second", "learnt_per_second"}
    assert (found["reward"], found["refusals"], found["lr"]) == ((0.5, None), (0.2, 0.5), (1e-6, 1e-6))
    assert (found["generated_per_second"], found["learnt_per_second"]) == ((250.0, None), (1200.0, 1200.0))


def test_blame_is_zero_where_nothing_was_blamed():
    steps = [step(1, {"blame": {"user": 0.5}}), step(2, {"blame": {}}), step(3, {"blame": {"agent": 0.25}})]
    found = report(Training(About.model_validate(ABOUT), tuple(steps), ()))
    assert found.blame == {"agent": (0.0, 0.0, 0.25), "user": (0.5, 0.0, 0.0)}


def test_a_trend_is_of_the_first_and_the_last_tenth():
    found = trend("reward", (0.0, 2.0, *(5.0,) * 16, None, 3.0))
    assert (found.first, found.last, found.lowest, found.highest) == (1.0, 3.0, 0.0, 5.0)
    assert trend("reward", (1.0,)).model_dump() == {
        "figure": "reward", "first": 1.0, "last": 1.0, "lowest": 1.0, "highest": 1.0,
    }  # fmt: skip
    empty = trend("reward", (None, None))
    assert (empty.first, empty.last, empty.lowest, empty.highest) == (None,) * 4


def test_smoothing_is_a_mean_over_neighbours_and_bridges_gaps():
    assert smoothed((0.0, 3.0, 6.0, None)) == (1.5, 3.0, 4.5, 6.0)
    assert smoothed(()) == ()
    assert smoothed((None, None)) == (None, None)


@settings(deadline=None)
@given(st.lists(st.none() | st.floats(-5, 5), max_size=70))
def test_a_smoothed_curve_stays_within_the_curve_and_has_its_length(values):
    found = smoothed(tuple(values))
    assert len(found) == len(values)
    known = [value for value in values if value is not None]
    for value in found:
        assert value is None or min(known) - 1e-9 <= value <= max(known) + 1e-9


def test_a_recipe_becomes_rows():
    recipe = {"steps": None, "rollouts": {"group": 16, "protocol": "text"}, "lora": {"targets": ["q", "v"]}, "none": {}}
    assert flat(recipe) == [
        ("steps", "unset"), ("rollouts.group", "16"), ("rollouts.protocol", "text"), ("lora.targets", '["q","v"]'),
        ("none", "{}"),
    ]  # fmt: skip


# ---- reading


def test_a_folder_is_read_as_it_was_written_and_is_known_by_its_manifest(tmp_path: Path):
    steps = [step(1), step(2)]
    path = folder(tmp_path / "train", steps, BEFORE + AFTER)
    found = read(path)
    assert (found.steps, found.held_out) == (tuple(steps), tuple(BEFORE + AFTER))
    assert (found.about.policy, found.about.seed) == ("hf:models/small", 3)
    assert is_training(path) and not is_training(tmp_path)


def test_of_a_step_that_was_taken_again_the_latest_line_counts(tmp_path: Path):
    path = folder(
        tmp_path / "train",
        [step(1), step(2), step(3), step(2, loss=0.5), step(3, loss=0.25), step(4)],
        [*BEFORE, held_out(0, "b1", 1.0)],
    )
    found = report(read(path))
    assert (found.steps, found.step, found.curves["loss"]) == (4, (1, 2, 3, 4), (0.01, 0.5, 0.25, 0.01))
    assert (found.evaluations[0].episodes, found.evaluations[0].mean) == (4, pytest.approx(0.5))


@pytest.mark.parametrize("cut", [1, 40])
def test_a_torn_last_line_loses_only_that_line(tmp_path: Path, cut: int):
    path = folder(tmp_path / "train", [step(1), step(2), step(3)], BEFORE)
    for name in ("metrics.jsonl", "heldout.jsonl"):
        journal = path / name
        journal.write_bytes(journal.read_bytes()[:-cut])
    found = read(path)
    assert [line.step for line in found.steps] == [1, 2]
    assert found.held_out == tuple(BEFORE[:-1])


def test_a_broken_line_within_is_named(tmp_path: Path):
    path = folder(tmp_path / "train", [step(1), step(2)])
    journal = path / "metrics.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b'"entropy":0.5', b'"entropy":"high"', 1))
    with pytest.raises(InputError, match=r"metrics\.jsonl:1: entropy"):
        read(path)


def test_a_run_that_has_only_begun_has_a_report(tmp_path: Path):
    path = folder(tmp_path / "train")
    (path / "metrics.jsonl").unlink()
    (path / "heldout.jsonl").unlink()
    found = report(read(path))
    assert (found.steps, found.gains, found.evaluations) == (0, (), ())
    assert drawn(found, LIGHT) == {}
    text = page(found, {}, {})
    assert "No step has been taken" in text and "No set has been evaluated at two steps" in text


def test_a_manifest_that_is_none_is_named_with_what_is_missing(tmp_path: Path):
    path = folder(tmp_path / "train", policy=3)
    with pytest.raises(InputError, match=r"train\.json: policy"):
        read(path)
    (path / "train.json").write_text("[1]")
    with pytest.raises(InputError, match=r"train\.json"):
        read(path)
    (path / "train.json").write_text("{")
    with pytest.raises(InputError, match=r"train\.json: cannot be read"):
        read(path)


def test_a_loss_that_was_no_number_is_a_gap_and_no_error(tmp_path: Path):
    path = folder(tmp_path / "train", [step(1), step(2, loss=math.nan, grad_norm=math.inf)])
    found = report(read(path))
    assert math.isnan(found.curves["loss"][1]) and math.isnan(found.curves["grad_norm"][1])
    (loss,) = [one for one in found.trends if one.figure == "loss"]
    assert (loss.first, loss.lowest, loss.highest) == (0.01, 0.01, 0.01) and math.isnan(loss.last)
    assert orjson.loads(orjson.dumps(found.model_dump(mode="json")))["curves"]["loss"] == [0.01, None]
    assert "health" in drawn(found, LIGHT, ["health"])


# ---- the page


class Outside(HTMLParser):
    """Everything that a page loads or runs, and its text."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.said: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.loads += [value for name, value in attributes if name in ("src", "srcset", "href", "data", "action")]
        assert not any(name.startswith("on") for name, _ in attributes)

    def handle_data(self, data):
        self.said.append(data)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory):
    """A long run's report with its pictures, light and dark."""
    found = report(read(learning(tmp_path_factory.mktemp("runs") / "train")))
    return found, drawn(found, LIGHT), drawn(found, DARK)


def test_there_is_a_picture_of_everything_and_it_is_a_png(whole):
    _, light, dark = whole
    assert list(light) == list(dark) == list(TITLES)
    assert all(png.startswith(b"\x89PNG") for png in (*light.values(), *dark.values()))
    assert all(light[name] != dark[name] for name in TITLES)


def test_the_same_figures_give_the_same_bytes(whole):
    found, light, _ = whole
    some = ("gains", "components")
    assert drawn(found, LIGHT, some) == {name: light[name] for name in some}


def test_the_page_holds_its_pictures_and_loads_nothing(whole):
    found, light, dark = whole
    text = page(found, light, dark)
    outside = Outside(text)
    pictures = [base64.b64decode(one.removeprefix("data:image/png;base64,")) for one in outside.loads]
    assert sorted(pictures) == sorted([*light.values(), *dark.values()])
    assert not {"script", "link", "iframe", "object", "embed", "form"} & set(outside.tags)
    assert not re.search(r"https?://|@import|url\(", text)
    said = " ".join(outside.said)
    for title in TITLES.values():
        assert title in text
    for gain in found.gains:
        assert gain.group in said and shown(gain.difference) in said and shown(gain.detectable) in said
    assert "rollouts.group" in said and "prefers-color-scheme: dark" in text


HOSTILE = "<script>alert('$\\frac{1}')</script>\" onload=\"x & <img src=x onerror=y> {{ 7 * 7 }}"


def test_hostile_text_is_escaped_wherever_it_stands(tmp_path: Path):
    path = folder(
        tmp_path / "train",
        [step(1, {"blame": {HOSTILE: 0.5, "_hidden": 0.1}})],
        [held_out(at, task, 0.5, group=group) for at in (0, 1) for task in "ab" for group in (HOSTILE, "_\n\x00漢")],
        policy=HOSTILE,
        command=HOSTILE,
        trainer=HOSTILE,
        version=HOSTILE,
        recipe={HOSTILE: {HOSTILE: [HOSTILE]}},
    )
    found = report(read(path))
    light = drawn(found, LIGHT, ("heldout", "gains", "blame"))
    assert len(light) == 3
    text = page(found, light, light)
    outside = Outside(text)
    assert "script" not in outside.tags and "onerror" not in str(outside.loads)
    assert outside.tags.count("img") == len(light)
    assert text.count("<script") == 0
    assert HOSTILE in "".join(outside.said), "and yet it can be read"


def test_figures_are_shown_with_the_digits_that_count():
    assert [shown(value) for value in (None, 3, 0.12345, 1e-6, 30_000.0, math.nan, "x")] == [
        "-", "3", "0.123", "1e-06", "30000", "nan", "x",
    ]  # fmt: skip


def test_without_matplotlib_there_are_no_pictures_and_the_way_out_is_said(monkeypatch, whole):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match=r"pip install 'synthagent\[report\]'"):
        drawn(whole[0], LIGHT)


def test_a_step_of_which_nothing_is_known_can_be_drawn(tmp_path: Path):
    nothing = played(reward=None, subgoals=None, interactions=None, gate_violations=None, perfect=None, blame={})
    found = report(
        Training(
            About.model_validate(ABOUT), (step(1).model_copy(update={"played": nothing}),), (held_out(0, "a1", None),)
        )
    )
    some = ("gains", "heldout", "learning", "blame")
    assert set(drawn(found, LIGHT, some)) == {"heldout", "learning", "blame"}
