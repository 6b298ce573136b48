"""audit passport and select as a user meets them."""

import shutil
from pathlib import Path

import anyio.to_thread
import orjson
import pytest

from synthagent.audit.judging import blinded
from synthagent.llm.stub import Misbehave, StubServer
from synthagent.schema.checks import OPERATORS
from synthagent.schema.tasks import identified
from synthagent.storage.task_file import write_tasks
from tests.builders import library
from tests.maps import hybrid

ASKING = "scripted:ask-all"


def rows(path: Path) -> list:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def passports(path: Path) -> list[dict]:
    return [one.get("provenance", {}).get("passports", {}) for one in rows(path)]


@pytest.fixture
def own(tasks: Path, tmp_path: Path) -> Path:
    """A copy of the eight tasks, to be changed."""
    return Path(shutil.copy(tasks, tmp_path / "own.jsonl"))


@pytest.fixture
def one(tmp_path: Path) -> Path:
    file = tmp_path / "one.jsonl"
    write_tasks(file, [library()])
    return file


# ---- audit passport


def test_every_task_gets_a_passport_and_keeps_its_id(cli, tasks: Path, tmp_path: Path):
    before, out = tasks.read_bytes(), tmp_path / "out.jsonl"
    done = cli("audit", "passport", tasks, "--agent", "scripted:reference", "-n", 3, "-o", out, "--json")
    assert done.code == 0, done.err
    assert done.json["tasks"] == 8
    assert done.json["by_band"] == {"hard": 0, "learnable": 0, "easy": 8, "unknown": 0}
    assert [one["task"] for one in done.json["passports"]] == [one["id"] for one in rows(tasks)]
    first = done.json["passports"][0]
    assert {**first, "task": "", "low": 0} == {
        "task": "", "agent": "scripted:reference", "threshold": 1.0, "n": 3, "unscored": 0, "passed": 3, "rate": 1.0,
        "low": 0, "high": 1.0, "mean_reward": 1.0, "band": "easy",
    }  # fmt: skip
    assert first["low"] == pytest.approx(0.438503)
    assert [one["scripted:reference"] for one in passports(out)] == done.json["passports"]
    assert [{**one, "provenance": None} for one in rows(out)] == [{**one, "provenance": None} for one in rows(tasks)]
    assert tasks.read_bytes() == before
    assert cli("check", out).code == 0


def test_without_another_place_they_go_into_the_file_itself_beside_those_of_others(cli, own: Path):
    for agent in ("scripted:reference", "scripted:nothing"):
        assert cli("audit", "passport", own, "--agent", agent, "-n", 1).code == 0
    rates = [{agent: one["rate"] for agent, one in given.items()} for given in passports(own)]
    assert rates == [{"scripted:reference": 1.0, "scripted:nothing": 0.0}] * 8
    assert cli("check", own).code == 0


def test_a_limit_plays_fewer_tasks_and_drops_none(cli, own: Path):
    done = cli("audit", "passport", own, "--agent", "scripted:nothing", "-n", 1, "--limit", 3, "--json")
    assert done.json["tasks"] == len(done.json["passports"]) == 3
    assert [len(given) for given in passports(own)] == [1, 1, 1, 0, 0, 0, 0, 0]


def test_what_counts_as_a_pass_can_be_said(cli, one: Path, tmp_path: Path):
    words = ("audit", "passport", one, "--agent", ASKING, "-n", 2, "-o", tmp_path / "out.jsonl", "--json")
    strict, lenient = cli(*words).json["passports"], cli(*words, "--threshold", 0.3).json["passports"]
    assert [(p["passed"], p["mean_reward"], p["band"]) for p in (*strict, *lenient)] == [
        (0, 0.5, "hard"), (2, 0.5, "easy"),
    ]  # fmt: skip


def test_a_table_tells_the_bands_and_a_line_the_rest(cli, own: Path):
    done = cli("audit", "passport", own, "--agent", "scripted:reference", "-n", 1)
    assert "learnable" in done.out
    assert f"8 passports in {own}, 0 of them learnable" in done.err


@pytest.mark.parametrize("protocol", ["text", "tools", "tags"])
def test_every_protocol_can_be_played(cli, one: Path, protocol: str):
    words = ("--agent", "scripted:reference", "-n", 1, "--protocol", protocol, "--json")
    assert cli("audit", "passport", one, *words).json["passports"][0]["rate"] == 1.0


def test_a_user_that_is_no_good_does_not_make_a_task_hard(cli, one: Path):
    words = ("--agent", "scripted:reference", "--user", "scripted:random", "-n", 4)
    done = cli("audit", "passport", one, *words, "--json")
    assert done.json["by_band"]["unknown"] == 1
    [found] = done.json["passports"]
    assert (found["n"], found["unscored"], found["rate"], found["low"], found["high"]) == (0, 4, None, 0.0, 1.0)
    assert "4 tries without a score" in cli("audit", "passport", one, *words).err


def test_what_code_cannot_see_needs_a_judge(cli, tmp_path: Path):
    file = tmp_path / "open.jsonl"
    write_tasks(file, [identified(blinded(library(), OPERATORS))])
    words = ("audit", "passport", file, "--agent", "scripted:reference", "-n", 2)
    assert cli(*words, "--json").json["by_band"]["unknown"] == 1
    done = cli(*words, "--judge", "scripted:random", "--json")
    assert done.code == 0, done.err
    assert "judge: " in done.err, "it was asked"
    alone = cli(*words, "--judge-mode", "paper")
    assert (alone.code, "give --judge MODEL" in alone.err) == (2, True)


def test_tools_without_a_program_are_simulated_or_asked_for(cli, tmp_path: Path):
    file = tmp_path / "hybrid.jsonl"
    write_tasks(file, [hybrid("list_loans", "find_member")])
    words = ("audit", "passport", file, "--agent", "scripted:spam", "-n", 2)
    nobody = cli(*words)
    assert (nobody.code, "give --tools MODEL" in nobody.err) == (2, True)
    done = cli(*words, "--tools", "scripted:random", "--map-store", tmp_path / "map.sqlite", "--json")
    assert (done.code, done.json["passports"][0]["n"]) == (0, 2)
    assert "response map: " in done.err
    assert (tmp_path / "map.sqlite").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--agent", "nobody"), "--agent: 'nobody' is not a role"),
        (("--agent", "scripted:done", "--protocol", "morse"), "--protocol: 'morse' is not one of text, tools, tags"),
        (("--agent", "scripted:done", "--threshold", "2"), "--threshold"),
        (("--agent", "scripted:done", "--config", "nowhere.toml"), "nowhere.toml"),
    ],
)
def test_a_wrong_option_is_told_and_the_file_stays(cli, own: Path, words: tuple[str, ...], said: str):
    before = own.read_bytes()
    done = cli("audit", "passport", own, *words)
    assert (done.code, said in done.err) == (2, True), done.err
    assert own.read_bytes() == before


def test_what_cannot_be_written_again_is_refused_before_anybody_plays(cli):
    done = cli("audit", "passport", "/dev/null", "--agent", "scripted:done")
    assert (done.code, "give --out FILE" in done.err) == (2, True)


async def test_when_the_endpoint_goes_away_the_passports_that_are_whole_are_kept(cli, own: Path, tmp_path: Path):
    """One try after the other; within the second task nobody answers any more."""
    config = tmp_path / "settings.toml"
    config.write_text("in_flight = 1\n")
    answered = 0

    def handler(body):
        nonlocal answered
        answered += 1
        return "Done, everything has been completed." if answered <= 5 else Misbehave(401)

    async with StubServer(handler) as url:
        words = ("--agent", f"openai:stub@{url}", "-n", 3, "--config", config)
        done = await anyio.to_thread.run_sync(lambda: cli("audit", "passport", own, *words))
    assert done.code == 3
    assert f"2 passports of 8 kept in {own}" in done.err
    given = [next(iter(one.values()), None) for one in passports(own)]
    assert [one and (one["n"], one["unscored"]) for one in given] == [(3, 0), (2, 1), *[None] * 6]


# ---- select


@pytest.fixture
def stamped(cli, own: Path) -> Path:
    """Eight tasks with passports of an agent that does half of what some of them want."""
    assert cli("audit", "passport", own, "--agent", ASKING, "-n", 1).code == 0
    return own


def test_tasks_within_the_band_are_kept(cli, stamped: Path, tmp_path: Path):
    out = tmp_path / "selected.jsonl"
    means = [given[ASKING]["mean_reward"] for given in passports(stamped)]
    done = cli("select", stamped, "--by", "mean_reward", "--band", 0.3, 0.6, "--agent", ASKING, "-o", out, "--json")
    wanted = [row for row, mean in zip(rows(stamped), means, strict=True) if 0.3 <= mean <= 0.6]
    assert done.json == {"tasks": 8, "kept": len(wanted), "without_passport": 0}
    assert rows(out) == wanted
    assert wanted
    never = cli("select", stamped, "-o", out)
    assert (never.code, out.read_bytes()) == (0, b"")
    assert "0 of 8 tasks" in never.err


def test_tasks_without_a_passport_are_left_out_and_counted(cli, own: Path, tmp_path: Path):
    cli("audit", "passport", own, "--agent", "scripted:reference", "-n", 1, "--limit", 5)
    words = ("select", own, "--band", 1, 1, "-o", tmp_path / "s.jsonl")
    assert cli(*words, "--json").json == {"tasks": 8, "kept": 5, "without_passport": 3}
    assert "3 have no passport" in cli(*words).err
    cli(*words, "--families")
    families = [row["family"] for row in rows(own)]
    assert [row["family"] for row in rows(tmp_path / "s.jsonl")] == [f for f in families if f in families[:5]]


def test_whose_passports_are_meant_must_be_clear(cli, own: Path, tmp_path: Path):
    out = tmp_path / "s.jsonl"
    none = cli("select", own, "-o", out)
    assert (none.code, "synthagent audit passport" in none.err) == (2, True)
    cli("audit", "passport", own, "--agent", "scripted:reference", "-n", 1)
    assert cli("select", own, "--band", 1, 1, "-o", out, "--json").json["kept"] == 8
    cli("audit", "passport", own, "--agent", "scripted:done", "-n", 1)
    several = cli("select", own, "--band", 1, 1, "-o", out)
    assert (several.code, "choose one of scripted:reference, scripted:done" in several.err) == (2, True)
    done = ("--agent", "scripted:done", "-o", out, "--json")
    assert cli("select", own, "--band", 0, 0, *done).json["kept"] == 8
    nobody = cli("select", own, "--agent", "scripted:spam", "-o", out)
    assert (nobody.code, "'scripted:spam' gave no passport" in nobody.err) == (2, True)


def test_an_agent_may_be_named_as_it_was_when_it_played(cli, one: Path, tmp_path: Path):
    """A file of recorded answers, or a model's, is called by its name in a passport, without its folder."""
    recorded = tmp_path / "exchanges.jsonl"
    recorded.write_bytes(b"")
    words = ("--agent", f"recorded:{recorded}")
    assert cli("audit", "passport", one, *words, "-n", 1).code == 0
    assert list(passports(one)[0]) == ["recorded:exchanges.jsonl"]
    assert cli("select", one, *words, "-o", tmp_path / "s.jsonl").code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--band", 0.9, 0.1), "--band: 0.9 0.1"),
        (("--band", -0.5, 0.5), "--band: -0.5 0.5"),
        (("--band", 0, 1.5), "--band: 0 1.5"),
        (("--band", 0.5), "--band"),
        (("--band", "nan", 1), "--band"),
        (("--by", "luck"), "--by: 'luck' is not one of rate, mean_reward"),
    ],
)
def test_a_wrong_band_is_told(cli, stamped: Path, tmp_path: Path, words, said: str):
    done = cli("select", stamped, "-o", tmp_path / "s.jsonl", *words)
    assert (done.code, said in done.err) == (2, True), done.err
    assert not (tmp_path / "s.jsonl").exists()
