"""score, report and audit judge as a user meets them: what is stored is scored anew, and nothing is paid for twice."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio.to_thread
import orjson
import pytest

from synthagent.audit.judging import Steadiness, blinded
from synthagent.llm.stub import Misbehave, StubServer
from synthagent.schema.tasks import identified
from synthagent.storage.task_file import read_tasks, write_tasks
from tests.commands import Done
from tests.judges import Asked, asked_in, ruling, written

DEAD = Misbehave(401, body={"error": {"message": "your key has expired"}})


def rows(path: Path) -> list[Any]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def gullible(text: str, seen: Asked) -> Any:
    """What is to be told is met by whatever was said; nothing else is."""
    said = [number for number, event in seen.events.items() if "agent_said" in event]
    return ruling("met", *said) if said and text.startswith("Told") else ruling("not_met")


class StubJudge:
    """A judge's endpoint. `fails`: the number of the call, from 1, and what is seen -> what is answered instead."""

    def __init__(
        self, says: Callable[[str, Asked], Any] = gullible, fails: Callable[[int, Asked], Any] = lambda *_: None
    ):
        self.asked: list[Asked] = []
        self._says, self._fails = says, fails

    def __call__(self, body: dict[str, Any]) -> Any:
        if body["messages"][-1]["content"].startswith("Say good"):
            return '{"answer": ["zebra-47", "zebra-47"]}'
        seen = asked_in(body["messages"])
        self.asked.append(seen)
        failed = self._fails(len(self.asked), seen)
        if failed is not None:
            return failed
        return written({label: self._says(text, seen) for label, text in seen.statements.items()})

    async def during(self, cli: Callable[..., Done], *words: object) -> Done:
        """A command, with this judge at work where it says JUDGE."""
        async with StubServer(self) as url:
            said = [f"openai:stub@{url}" if word == "JUDGE" else word for word in words]
            return await anyio.to_thread.run_sync(lambda: cli(*said))


class OneAddress(StubJudge):
    """A judge whose address stays the same, so that it is the same judge in the next command."""

    port = 0

    async def during(self, cli: Callable[..., Done], *words: object) -> Done:
        async with StubServer(self, port=OneAddress.port) as url:
            OneAddress.port = int(url.rsplit(":", 1)[1].split("/")[0])
            said = [f"openai:stub@{url}" if word == "JUDGE" else word for word in words]
            return await anyio.to_thread.run_sync(lambda: cli(*said))


@pytest.fixture
def run(played: Path, tmp_path: Path) -> Path:
    """A copy of the run of two agents, to be changed."""
    return Path(shutil.copytree(played, tmp_path / "own"))


@pytest.fixture(scope="session")
def opened(tasks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The eight tasks without their checks of what was said: only a judge can decide that."""
    path = tmp_path_factory.mktemp("tasks") / "opened.jsonl"
    write_tasks(path, [identified(blinded(task, ["said"])) for task in read_tasks(tasks)])
    return path


@pytest.fixture(scope="session")
def count(opened: Path) -> int:
    """How many of them have something for a judge to decide."""
    found = sum(any(c.check is None for c in task.rubric.subgoals) for task in read_tasks(opened))
    assert found >= 3
    return found


@pytest.fixture
def undecided(cli, opened: Path, tmp_path: Path) -> Path:
    """A run of the reference on them, which nobody has judged."""
    path = tmp_path / "undecided"
    assert cli("rollout", opened, "--agent", "scripted:reference", "-n", 2, "--out", path).code == 0
    return path


def unscored(path: Path, cli: Callable[..., Done]) -> int:
    (line,) = cli("report", path, "--json").json
    return line["unscored"]


# ---- score: another formula


def test_another_formula_scores_the_same_verdicts_in_another_way_and_back(cli, run: Path):
    before = cli("report", run, "--json").json
    strict = cli("score", run, "--reward", "strict", "--json").json
    assert (strict["episodes"], strict["unscored"]) == (32, 0)
    assert strict["changed"] == 32, "each score says by which formula it is"
    reference, refuse = cli("report", run, "--json").json
    assert (reference["reward_mean"], refuse["reward_mean"]) == (1.0, 0.0)
    assert (refuse["subgoals_mean"], refuse["interactions_mean"]) == (
        before[1]["subgoals_mean"], before[1]["interactions_mean"],
    )  # fmt: skip
    assert cli("score", run, "--json").json["changed"] == 32
    assert cli("report", run, "--json").json == before


def test_a_formula_that_is_not_there_and_weights_that_weigh_nothing_are_refused(cli, run: Path, tmp_path: Path):
    config = tmp_path / "own.toml"
    config.write_text('reward = "weighted"\n[reward_weights]\nsubgoals = 0\ninteractions = 0\n')
    before = (run / "scores.jsonl").read_bytes()
    for words, complaint in ((("--reward", "median"), "reward"), (("--config", config), "must be above 0")):
        done = cli("score", run, *words)
        assert (done.code, complaint in done.err) == (2, True)
    config.write_text('reward = "weighted"\n[reward_weights]\nsubgoals = inf\n')
    assert cli("score", run, "--config", config).code == 2
    assert (run / "scores.jsonl").read_bytes() == before


def test_resuming_leaves_out_what_is_scored_just_so_by_formula_and_weights(cli, tasks: Path, tmp_path: Path):
    run, config = tmp_path / "run", tmp_path / "own.toml"
    cli("rollout", tasks, "--agent", "scripted:ask-all", "--out", run)
    config.write_text('reward = "weighted"\n[reward_weights]\nsubgoals = 3\ninteractions = 1\n')
    first = cli("score", run, "--config", config, "--json").json
    lines = len(rows(run / "scores.jsonl"))
    again = cli("score", run, "--config", config, "--resume", "--json").json
    assert again == first | {"changed": 0}
    assert len(rows(run / "scores.jsonl")) == lines
    config.write_text('reward = "weighted"\n[reward_weights]\nsubgoals = 1\ninteractions = 9\n')
    other = cli("score", run, "--config", config, "--resume", "--json").json
    whole = cli("score", run, "--config", config, "--json").json
    assert other["reward_hash"] == whole["reward_hash"] != first["reward_hash"]
    assert whole["changed"] == 0


def test_a_folder_of_its_own_holds_scores_and_episodes_and_leaves_the_run_alone(cli, run: Path, tmp_path: Path):
    before, out = (run / "scores.jsonl").read_bytes(), tmp_path / "out"
    done = cli("score", run, "--out", out, "--json")
    assert done.json["changed"] == 0, "beside what the run has"
    assert (run / "scores.jsonl").read_bytes() == before
    assert cli("report", out, "--json").json == cli("report", run, "--json").json
    assert rows(out / "episodes.jsonl") == rows(run / "episodes.jsonl")
    again = cli("score", run, "--out", out)
    assert (again.code, "--resume" in again.err) == (3, True)
    strict = cli("score", run, "--out", tmp_path / "strict", "--reward", "strict", "--json").json
    assert (strict["episodes"], strict["changed"]) == (32, 32)
    manifest = orjson.loads((tmp_path / "strict" / "manifest.json").read_bytes())
    assert (manifest["reward"], manifest["scored_from"], manifest["judge"]) == ("strict", str(run), None)


# ---- score: other rubrics


async def test_other_rubrics_rekey_the_episodes_and_compare_with_what_was(
    cli, run: Path, tasks: Path, opened: Path, tmp_path: Path
):
    out, judge = tmp_path / "out", StubJudge()
    done = await judge.during(cli, "score", run, "--rubrics", opened, "--judge", "JUDGE", "--out", out, "--json")
    assert done.code == 0, done.err
    assert (done.json["episodes"], done.json["unscored"]) == (32, 0)
    assert {row["task_id"] for row in rows(out / "episodes.jsonl")} == {row["id"] for row in rows(opened)}
    assert {row["score"]["task_id"] for row in rows(out / "scores.jsonl")} == {row["id"] for row in rows(opened)}
    manifest = orjson.loads((out / "manifest.json").read_bytes())
    assert manifest["judge"].startswith("openai:stub@")
    assert (manifest["tasks_file"], manifest["judge_mode"]) == (str(opened), "checks")
    assert "scoring/judge" in manifest["prompts"]
    told = cli("report", out, "--compare", run, "--json").json
    assert list(told) == ["agents", "comparison", "changes"]
    assert [(line["agent"], line["tasks"]) for line in told["comparison"]] == [
        ("scripted:reference", 8), ("scripted:refuse", 8),
    ]  # fmt: skip
    assert list(told["changes"]) == [
        "episodes", "rewards_changed", "scored_now", "unscored_now", "verdicts", "flips", "unmatched",
    ]  # fmt: skip
    assert (told["changes"]["episodes"], told["changes"]["unmatched"]) == (32, 0)
    assert told["comparison"][0]["difference"] == 0.0, "the reference has said it all, and the judge believes it"
    flips = told["changes"]["flips"]
    assert list(flips[0]) == ["task", "criterion", "text", "pairs", "to_true", "to_false"]
    assert sum(flip["to_true"] for flip in flips) > 0 == sum(flip["to_false"] for flip in flips), "it believes any word"
    table = cli("report", out, "--compare", run).out
    assert "verdicts that flip" in table


def test_other_rubrics_want_a_folder_of_their_own_and_tasks_that_were_played(cli, run: Path, opened: Path, tmp_path):
    done = cli("score", run, "--rubrics", opened)
    assert (done.code, "--out" in done.err) == (2, True)
    strangers = tmp_path / "strangers.jsonl"
    cli("synth", "--out", strangers, "-n", 2, "--seed", 77, "--domains", "fitness")
    done = cli("score", run, "--rubrics", strangers, "--out", tmp_path / "out")
    assert (done.code, "has no task that" in done.err) == (2, True)
    assert not (tmp_path / "out").exists()


def test_tasks_without_another_rubric_are_left_out_and_said_to_be(cli, run: Path, tasks: Path, tmp_path: Path):
    some = tmp_path / "some.jsonl"
    write_tasks(some, list(read_tasks(tasks))[:3])
    done = cli("score", run, "--rubrics", some, "--out", tmp_path / "out", "--json")
    assert (done.json["episodes"], done.json["changed"]) == (12, 0)
    assert "5 of 8 tasks have no rubric" in done.err


# ---- score: a judge


def test_without_a_judge_what_only_a_judge_can_decide_is_unscored_and_kept_apart(cli, undecided: Path, count: int):
    (line,) = cli("report", undecided, "--json").json
    assert (line["unscored"], line["blame"]) == (2 * count, {"judge": 2 * count})
    kept = rows(undecided / "unjudged.jsonl")
    assert [row for row in rows(undecided / "scores.jsonl") if row["score"]["kind"] == "unscored"] == kept
    assert {row["score"]["reason"] for row in kept} == {"no_judge"}


async def test_only_what_no_judge_could_decide_is_judged_again(cli, undecided: Path, opened: Path, count: int):
    before = rows(undecided / "scores.jsonl")
    words = ("score", undecided, "--judge", "JUDGE", "--retry-unscored", "--json")
    # Every third call makes no sense, when mended neither.
    first = StubJudge(fails=lambda n, _: "I have no idea." if n <= 4 else None)
    done = await first.during(cli, *words, "--config", config_of(undecided, in_flight=1))
    assert done.code == 0, done.err
    assert (done.json["episodes"], done.json["unscored"]) == (2 * count, 1)
    assert len(first.asked) == 4 + 2 * count - 1
    (lost,) = [row for row in rows(undecided / "unjudged.jsonl") if row["score"]["reason"] != "no_judge"]
    assert (lost["score"]["reason"], lost["score"]["blame"]) == ("not_understood", "judge")
    assert "it said: I have no idea." in lost["score"]["detail"]
    assert lost["score"]["judge"].startswith("openai:stub@")
    second = StubJudge()
    done = await second.during(cli, *words)
    assert (done.json["episodes"], done.json["changed"], done.json["unscored"]) == (1, 1, 0)
    assert len(second.asked) == 1
    after = rows(undecided / "scores.jsonl")
    assert len(after) == len(before) + 2 * count + 1
    assert after[: len(before)] == before
    assert unscored(undecided, cli) == 0
    third = StubJudge()
    done = await third.during(cli, *words)
    assert (done.json["episodes"], third.asked) == (0, [])


def config_of(beside: Path, **settings: object) -> Path:
    path = beside.with_suffix(".toml")
    path.write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
    return path


@pytest.fixture
def long(cli, opened: Path, tmp_path: Path) -> Path:
    """A long run of the reference, which nobody has judged."""
    path = tmp_path / "long"
    assert cli("rollout", opened, "--agent", "scripted:reference", "-n", 8, "--out", path).code == 0
    return path


async def test_a_judge_that_is_gone_stops_it_and_resuming_repeats_no_paid_call(
    cli, long: Path, count: int, tmp_path: Path
):
    run, out = long, tmp_path / "out"
    words = ("score", run, "--judge", "JUDGE", "--out", out, "--config", config_of(run, in_flight=1), "--json")
    dying = OneAddress(fails=lambda n, _: DEAD if n > 2 else None)
    done = await dying.during(cli, *words)
    assert done.code == 3
    assert "16 judge's calls in a row failed" in done.err
    assert "your key has expired" in done.err
    assert "--resume" in done.err
    assert len(rows(out / "unjudged.jsonl")) == 16
    good = OneAddress()
    done = await good.during(cli, *words, "--resume")
    assert done.code == 0, done.err
    assert (done.json["episodes"], done.json["unscored"]) == (64, 0)
    assert len(good.asked) == 8 * count - 2
    idle = OneAddress()
    again = await idle.during(cli, *words, "--resume")
    assert (again.json, idle.asked) == (done.json | {"changed": 0}, [])
    other = await StubJudge().during(cli, *words, "--resume")
    assert (other.code, "judge was" in other.err) == (3, True)


async def test_in_the_run_itself_too_a_judges_verdicts_are_not_paid_for_twice(cli, undecided: Path, count: int):
    words = ("score", undecided, "--judge", "JUDGE", "--json")
    first, second, stranger = OneAddress(), OneAddress(), StubJudge()
    done = await first.during(cli, *words)
    assert (done.json["unscored"], len(first.asked)) == (0, 2 * count)
    again = await second.during(cli, *words, "--resume")
    assert (again.json["reward_hash"], second.asked) == (done.json["reward_hash"], [])
    await stranger.during(cli, *words, "--resume")
    assert len(stranger.asked) == 2 * count, "another judge is another opinion"


async def test_another_formula_takes_a_judges_verdicts_over_and_asks_nobody(cli, undecided: Path, count: int):
    judge = OneAddress()
    mean = (await judge.during(cli, "score", undecided, "--judge", "JUDGE", "--json")).json
    idle = OneAddress()
    strict = (await idle.during(cli, "score", undecided, "--reward", "strict", "--json")).json
    assert (strict["unscored"], idle.asked) == (0, [])
    assert {row["score"].get("formula", "mean") for row in rows(undecided / "scores.jsonl")} == {"mean", "strict"}
    by_judge = [row for row in rows(undecided / "scores.jsonl") if row["score"].get("judge")]
    assert len(by_judge) == 4 * count, "judged once, scored twice"
    assert (await idle.during(cli, "score", undecided, "--json")).json["reward_hash"] == mean["reward_hash"]


async def test_in_the_papers_mode_one_call_an_episode_decides_all_criteria(cli, run: Path, tasks: Path, tmp_path: Path):
    judge = StubJudge(says=lambda text, _: {"met": "Looked" in text})
    words = ("score", run, "--judge", "JUDGE", "--judge-mode", "paper", "--out", tmp_path / "out", "--json")
    done = await judge.during(cli, *words)
    assert (done.json["episodes"], done.json["unscored"]) == (32, 0)
    assert len(judge.asked) == 32
    sizes = {sum(len(row["rubric"].get(part, [])) for part in ("forbidden", "subgoals", "interactions"))
             for row in rows(tasks)}  # fmt: skip
    assert {len(seen.statements) for seen in judge.asked} == sizes
    scores = [row["score"] for row in rows(tmp_path / "out" / "scores.jsonl")]
    assert {score["judge_mode"] for score in scores} == {"paper"}
    assert {verdict["by"] for score in scores for verdict in score["subgoals"]} == {"judge"}


def test_a_judges_mode_and_its_name_are_looked_at_before_anything_is_done(cli, run: Path):
    before = (run / "scores.jsonl").read_bytes()
    for words, complaint in (
        (("--judge-mode", "paper"), "give --judge MODEL"),
        (("--judge-mode", "vibes"), "not one of checks, paper"),
        (("--judge", "scripted:oracle"), "known: random"),
        (("--judge", "somebody"), "--judge: 'somebody' is not a role"),
        (("--judge", "openai:m"), "lacks the endpoint"),
    ):
        done = cli("score", run, *words)
        assert (done.code, complaint in done.err) == (2, True), done.err
    assert (run / "scores.jsonl").read_bytes() == before


def test_asking_again_needs_somebody_to_ask(cli, undecided: Path):
    done = cli("score", undecided, "--retry-unscored")
    assert (done.code, "--judge MODEL" in done.err) == (2, True)


def test_a_run_says_how_many_episodes_wait_for_a_judge(cli, opened: Path, count: int, tmp_path: Path):
    done = cli("rollout", opened, "--agent", "scripted:reference", "--out", tmp_path / "run")
    assert f"{count} episodes wait for a judge" in done.err
    done = cli("score", tmp_path / "run")
    assert f"{count} episodes wait for a judge: synthagent score {tmp_path / 'run'} --judge MODEL" in done.err
    done = cli("score", tmp_path / "run", "--judge", "scripted:random", "--out", tmp_path / "judged")
    left = unscored(tmp_path / "judged", cli)
    assert left, "nobody believes this judge"
    assert f"{left} episodes that the judge did not decide (" in done.err
    assert str(tmp_path / "judged" / "unjudged.jsonl") in done.err
    assert re.search(r"judge: \d+ model calls", done.err)


def test_what_only_a_judge_can_decide_is_no_riddle_to_those_who_have_none(cli, opened: Path, count: int):
    told = cli("check", opened, "--json").json["objections"]
    assert len(told) == count, "one for each task, and nothing of what follows from it"
    assert {(one["screen"], one["text"].split(" s")[0]) for one in told} == {("rubric", "only a judge can decide")}
    done = cli("audit", "redteam", opened)
    assert f"{count} tasks have criteria without a check" in done.err
    assert "give --judge MODEL" in done.err
    assert "without a check" not in cli("audit", "redteam", opened, "--judge", "scripted:random", "--limit", 1).err


def test_a_judge_that_babbles_decides_nothing_and_gives_no_reward(cli, undecided: Path, count: int):
    done = cli("score", undecided, "--judge", "scripted:random", "--retry-unscored", "--json")
    assert done.code == 0, done.err
    assert done.json["episodes"] == 2 * count
    found = {row["score"].get("reason") for row in rows(undecided / "scores.jsonl")[-2 * count :]}
    assert found <= {"not_understood", "cannot_tell", None}
    for row in rows(undecided / "scores.jsonl"):
        assert not [v for v in row["score"].get("subgoals", []) if v["holds"] and v.get("by") == "judge"]


# ---- rollout --judge


async def test_what_is_played_can_be_judged_at_once(cli, opened: Path, count: int, tmp_path: Path):
    judge = StubJudge()
    words = ("rollout", opened, "--agent", "scripted:reference", "--judge", "JUDGE", "--out", tmp_path / "run")
    done = await judge.during(cli, *words)
    assert done.code == 0, done.err
    assert f"judge: {count} model calls" in done.err or f"judge: {count + 1} model calls" in done.err
    (line,) = cli("report", tmp_path / "run", "--json").json
    assert (line["reward_mean"], line["unscored"]) == (1.0, 0)
    assert len(judge.asked) == count
    assert not (tmp_path / "run" / "unjudged.jsonl").exists()
    manifest = orjson.loads((tmp_path / "run" / "manifest.json").read_bytes())
    assert manifest["judge"].startswith("openai:stub@")


# ---- report --blame


def test_who_caused_the_zeros_and_what_is_unscored(cli, run: Path, undecided: Path, count: int):
    told = cli("report", run, "--blame", "--json").json
    assert list(told) == ["agents", "blame"]
    (line,) = [line for line in told["blame"] if line["agent"] == "scripted:refuse"]
    assert list(line) == ["agent", "outcome", "blame", "reason", "count", "share", "counts", "example"]
    assert (line["outcome"], line["blame"], line["reason"], line["counts"]) == ("zero", "agent", "user_done", True)
    assert line["share"] == line["count"] / 16
    assert cli("show", run, *line["example"].split(), "--agent", line["agent"]).code == 0
    (line,) = cli("report", undecided, "--blame", "--json").json["blame"]
    assert (line["outcome"], line["blame"], line["reason"]) == ("unscored", "judge", "no_judge")
    assert (line["count"], line["counts"]) == (2 * count, False)
    assert "zeros and unscored" in cli("report", run, "--blame").out


def test_a_run_without_zeros_has_nobody_to_blame(cli, tasks: Path, tmp_path: Path):
    cli("rollout", tasks, "--agent", "scripted:reference", "--out", tmp_path / "run")
    done = cli("report", tmp_path / "run", "--blame")
    assert "no zeros, and nothing unscored" in done.err + done.out
    both = cli("report", tmp_path / "run", "--blame", "--compare", tmp_path / "run", "--json").json
    assert list(both) == ["agents", "blame", "comparison", "changes"]
    assert both["blame"] == []


# ---- rubrics


async def test_a_teacher_of_whom_nothing_can_be_used_is_an_objection_and_is_asked_again(
    cli, tasks: Path, played: Path, tmp_path: Path
):
    out, asked = tmp_path / "derived.jsonl", []

    def prose(body: dict[str, Any]) -> str:
        asked.append(body)
        return "They did well, I think."

    words = ("rubrics", tasks, "--demos", played, "--limit", 2, "--out", out)
    async with StubServer(prose) as url:
        taught = (*words, "--teacher", f"openai:stub@{url}")
        done = await anyio.to_thread.run_sync(lambda: cli(*taught))
        assert done.code == 1
        assert "0 of 2 tasks" in done.err
        assert "2 of them without an answer of the teacher that could be used: --resume asks again" in done.err
        before = len(asked)
        done = await anyio.to_thread.run_sync(lambda: cli(*taught, "--resume", "--json"))
        assert (done.code, done.json["kept"], len(done.json["failed"]), done.json["dropped"]) == (1, 0, 2, [])
        assert len(asked) > before
    done = await anyio.to_thread.run_sync(lambda: cli(*words, "--resume"))
    assert (done.code, "2 of 2 tasks" in done.err) == (0, True), done.err


# ---- audit judge


async def test_a_judge_is_asked_again_and_again_and_held_against_the_checks(cli, run: Path, tmp_path: Path):
    judge = StubJudge()
    words = ("audit", "judge", run, "--judge", "JUDGE", "--repeats", 2, "--limit", 24, "--json")
    done = await judge.during(cli, *words, "--open", "said")
    assert done.code == 0, done.err
    assert list(done.json) == list(Steadiness.__dataclass_fields__)
    assert (done.json["episodes"], done.json["judgments"], done.json["unscored_share"]) == (24, 48, 0.0)
    assert (done.json["flip_rate"], done.json["self_agreement"]) == (0.0, 1.0), "it always says the same"
    assert 0 < done.json["agreement_with_checks"] < 1
    assert done.json["met_when_false"] > 0, "it believes any word"
    assert set(done.json["ratings"]) <= {"met", "not_met"}
    assert "before" in done.json["agreement_by_operator"] or "said" in done.json["agreement_by_operator"]


async def test_the_draws_of_an_audit_are_other_draws(cli, run: Path):
    server = StubServer(StubJudge())
    async with server as url:
        words = ("audit", "judge", run, "--judge", f"openai:stub@{url}", "--repeats", 3, "--limit", 1, "--json")
        assert (await anyio.to_thread.run_sync(lambda: cli(*words))).code == 0
    seeds = [seen.body["seed"] for seen in server.seen if "You check" in str(seen.body["messages"])]
    assert len(seeds) == len(set(seeds)) == 3


async def test_an_audit_that_keeps_its_judgments_goes_on_where_it_stopped(cli, run: Path, tmp_path: Path):
    out = tmp_path / "judgments.jsonl"
    words = ("audit", "judge", run, "--judge", "JUDGE", "--limit", 3, "--open", "said", "--out", out, "--json")
    first = OneAddress()
    two = await first.during(cli, *words, "--repeats", 2)
    assert (two.json["judgments"], len(rows(out))) == (6, 6)
    again = await OneAddress().during(cli, *words, "--repeats", 2)
    assert (again.code, "--resume" in again.err) == (2, True)
    idle = OneAddress()
    same = await idle.during(cli, *words, "--repeats", 2, "--resume")
    assert (same.json, idle.asked) == (two.json, [])
    more = OneAddress()
    three = await more.during(cli, *words, "--repeats", 3, "--resume")
    assert (three.json["judgments"], len(rows(out))) == (9, 9)
    assert len(more.asked) == len(first.asked) // 2
    fewer = await OneAddress().during(cli, *words, "--repeats", 2, "--resume")
    assert fewer.json == two.json


async def test_an_audit_does_not_mix_the_judgments_of_two_judges(cli, run: Path, tmp_path: Path):
    out = tmp_path / "judgments.jsonl"
    words = ("audit", "judge", run, "--judge", "JUDGE", "--limit", 2, "-r", 2, "--out", out)
    assert (await OneAddress().during(cli, *words)).code == 0
    for changed in (("--open", "said"), ("--judge-mode", "paper")):
        other = await OneAddress().during(cli, *words, *changed, "--resume")
        assert (other.code, "judgments of another kind" in other.err) == (2, True)


async def test_an_audit_whose_judge_is_gone_stops_and_goes_on_with_what_was_lost(cli, run: Path, tmp_path: Path):
    out, dying = tmp_path / "judgments.jsonl", OneAddress(fails=lambda n, _: DEAD if n > 2 else None)
    words = ("audit", "judge", run, "--judge", "JUDGE", "--open", "said", "--out", out, "--only-open")
    words = (*words, "--repeats", 2, "--config", config_of(run, in_flight=1), "--json")
    done = await dying.during(cli, *words)
    assert done.code == 3
    assert "16 judgments in a row failed" in done.err
    assert sum(row["score"].get("reason", "").startswith("model:") for row in rows(out)) == 16
    good = OneAddress()
    done = await good.during(cli, *words, "--resume")
    assert (done.code, done.json["judgments"], done.json["unscored_share"]) == (0, 64, 0.0)
    idle = OneAddress()
    assert (await idle.during(cli, *words, "--resume")).json == done.json
    assert idle.asked == []


async def test_where_code_decides_everything_a_judge_is_asked_only_about_that_or_not_at_all(cli, run: Path):
    judge = StubJudge()
    done = await judge.during(cli, "audit", "judge", run, "--judge", "JUDGE", "--limit", 2, "--only-open")
    assert (done.code, judge.asked) == (0, [])
    assert "the judge was asked nothing" in done.err + done.out
    other = await judge.during(cli, "audit", "judge", run, "--judge", "JUDGE", "--limit", 2, "--repeats", 2, "--json")
    assert len(judge.asked) == 4
    assert other.json["reward_right"] == 1.0, "code decides all the same"


def test_a_judge_that_babbles_is_told_to_be_no_use(cli, run: Path):
    words = ("audit", "judge", run, "--judge", "scripted:random", "--repeats", 2, "--limit", 2, "--open", "said")
    done = cli(*words, "--json")
    assert done.code == 0, done.err
    assert done.json["unscored_share"] > 0
    table = cli(*words)
    assert "flip_rate" in table.out
    assert not re.search(r"\d\.\d{4}", table.out), "figures within a figure have three places too"
    assert "judgments have no reward: " in table.err
    assert "asked nothing" not in table.err


def test_an_audit_wants_operators_that_there_are(cli, run: Path):
    done = cli("audit", "judge", run, "--judge", "scripted:random", "--open", "said,shouted")
    assert (done.code, "unknown operator 'shouted'" in done.err) == (2, True)
    assert "declined" in done.err
