"""What a run came to and how two runs differ: the figures are the report's, with money and examples."""

from pathlib import Path

import pytest

from synthagent.config import Price, Settings
from synthagent.errors import InputError
from synthagent.evaluation.report import blames, compare, lines
from synthagent.schema.tasks import identified
from synthagent.storage.run_folder import RunFolder
from synthagent.viewer.figures import compared, figures
from synthagent.viewer.runs import RunView
from tests.commands import synthagent
from tests.viewer import made_runs, strange_runs


@pytest.fixture(scope="session")
def worse(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_runs.worse(run, tmp_path_factory.mktemp("runs") / "worse")


async def test_a_runs_figures_are_those_of_its_report(viewing, run: Path):
    with RunFolder.open(run) as folder:
        wanted, causes = lines(folder.index.rows()), blames(folder.index.rows())
    async with viewing(run) as ask:
        found = await ask.get("/api/runs/played")
    for line, agent in zip(wanted, found["agents"], strict=True):
        assert agent.items() >= line.model_dump(mode="json").items()
        assert agent["prompt_tokens"] + agent["completion_tokens"] == line.tokens
        assert agent["usd"] is None
    assert found["blames"] == [line.model_dump(mode="json") for line in causes]


async def test_two_runs_differ_by_what_the_report_says_and_by_the_tasks_that_show_it(viewing, run: Path, worse: Path):
    with RunFolder.open(run) as left, RunFolder.open(worse) as right:
        [line] = compare(right.index.rows(), left.index.rows())
    async with viewing(run, worse) as ask:
        found = await ask.get("/api/versus", left="played", right="worse")
        top = found["tasks"][0]
        sides = {
            side: "|".join(map(str, (name, *(top[side][key] for key in ("agent", "task_id", "sample")))))
            for side, name in (("left", "played"), ("right", "worse"))
        }
        episodes = await ask.get("/api/compare", **sides)
        unknown = await ask.get("/api/versus", 404, left="played", right="none")
    assert found["pairs"] == [
        {"left": "scripted:reference", "right": "scripted:reference", "difference": line.model_dump(mode="json")}
    ]
    assert line.difference is not None
    assert line.difference < 0
    assert found["shared"] == 6
    gaps = [abs(row["difference"]) for row in found["tasks"]]
    assert gaps == sorted(gaps, reverse=True)
    assert top["difference"] == top["right_mean"] - top["left_mean"] < 0
    assert top["instruction"]
    for side in ("left", "right"):
        assert episodes[side]["score"]["reward"] == pytest.approx(top[f"{side}_mean"])
    assert "no run 'none'" in unknown["error"]


async def test_causes_stand_side_by_side(viewing, run: Path, worse: Path):
    async with viewing(run, worse) as ask:
        found = await ask.get("/api/versus", left="played", right="worse")
    mine = [row for row in found["blames"] if row["agent"] == "scripted:reference"]
    assert sum(row["left"] for row in mine) == 0
    assert sum(row["right"] for row in mine) > 0
    assert all(row["right_share"] == row["right"] / 12 for row in mine)
    # The right run has no such agent: that is not the same as losing nothing.
    [alone] = [row for row in found["blames"] if row["agent"] == "scripted:refuse"]
    assert (alone["left"], alone["right"], alone["right_share"]) == (12, None, None)


async def test_a_report_is_saved_with_its_comparison_without_scripts_and_hostile_text_stays_text(
    viewing, run: Path, worse: Path, tmp_path: Path
):
    strange_runs.hostile(tmp_path / "hostile")
    async with viewing(run, worse, tmp_path / "hostile") as ask:
        code, alone, headers = await ask.raw("/export/played/report.html")
        _, both, _ = await ask.raw("/export/worse/report.html", params={"other": "played"})
        _, hostile, _ = await ask.raw("/export/hostile/report.html", params={"other": "hostile"})
        missing, _, _ = await ask.raw("/export/played/report.html", params={"other": "none"})
        found = await ask.get("/api/versus", left="played", right="worse")
    assert (code, missing) == (200, 404)
    assert headers["Content-Disposition"] == 'attachment; filename="report.html"'
    assert "scripted:refuse" in alone
    assert "Compared with" not in alone
    assert "Compared with played" in both
    assert f"{found['pairs'][0]['difference']['difference']:+.3f}" in both
    assert all(row["right"]["task_id"] in both for row in found["tasks"])
    assert "<svg" in both
    for text in (alone, both, hostile):
        assert "<script" not in text
        assert "<img" not in text
        assert "http" not in text.replace("http-equiv", "")
    assert "&lt;script&gt;window.hacked = 1" in hostile


def test_the_same_play_under_another_rubric_is_still_a_pair(run: Path, tmp_path: Path):
    with RunFolder.open(run) as source:
        first = next(iter(source.tasks()))
        rubric = first.rubric.model_copy(update={"interactions": ()})
        other = identified(first.model_copy(update={"rubric": rubric, "id": ""}))
        scores = {(one.agent, one.score.task_id, one.score.sample): one.score for one in source.scores()}
        with RunFolder.create(tmp_path / "again", source.manifest, [other]) as target:
            for episode in source.episodes():
                if episode.task_id == first.id:
                    score = scores[episode.agent, episode.task_id, episode.sample]
                    update = {"task_id": other.id}
                    target.add(episode.model_copy(update=update), score.model_copy(update=update))
    left, right = RunView(run, None), RunView(tmp_path / "again", None)
    found = compared(left, right, {})
    left.close()
    right.close()
    assert other.id != first.id
    assert found["shared"] == 1
    assert [pair["difference"]["tasks"] for pair in found["pairs"]] == [1, 1]
    assert {pair["difference"]["difference"] for pair in found["pairs"]} == {0.0}
    assert found["tasks"] == []


def priced(run: Path, folder: Path, prices) -> RunView:
    """The run under an agent that is a model behind an endpoint, with tokens, and prices in its settings."""
    with RunFolder.open(run) as source:
        settings = {**Settings().model_dump(mode="json"), "prices": prices}
        agent = "openai:vendor/tiny@http://localhost:1/v1"
        manifest = source.manifest.model_copy(update={"agents": (agent,), "settings": settings})
        episode = next(iter(source.episodes()))
        usage = episode.usage.model_copy(update={"prompt": 2_000_000, "completion": 500_000})
        with RunFolder.create(folder, manifest, list(source.tasks())) as target:
            target.add(episode.model_copy(update={"agent": agent, "usage": usage}))
    return RunView(folder, None)


def test_what_a_run_cost_is_told_where_a_price_is_known(run: Path, tmp_path: Path):
    view = priced(run, tmp_path / "priced", {"tiny": {"input": 1.0, "output": 4.0}})
    own = figures(view, {})
    mine = figures(view, {"tiny": Price(input=10.0, output=0.0)})
    view.close()
    unknown = priced(run, tmp_path / "unknown", {})
    none = figures(unknown, {})
    unknown.close()
    assert own["usd"] == own["agents"][0]["usd"] == 4.0
    assert mine["usd"] == 20.0
    assert none["usd"] is None
    assert none["agents"][0]["prompt_tokens"] == 2_000_000


def test_prices_that_are_none_are_named(run: Path, tmp_path: Path):
    view = priced(run, tmp_path / "broken", {"tiny": {"input": -1.0, "output": 4.0}})
    with pytest.raises(InputError, match=r"settings\.prices\.tiny\.input"):
        figures(view, {})
    view.close()


def test_the_command_reads_prices_and_refuses_broken_ones(run: Path, tmp_path: Path):
    (tmp_path / "synthagent.toml").write_text('[prices]\ntiny = {input = "much", output = 1}\n')
    done = synthagent("view", run, "--port", 0, "--config", tmp_path / "synthagent.toml")
    assert done.code == 2
    assert "prices" in done.err
