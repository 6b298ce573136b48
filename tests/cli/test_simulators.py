"""Simulated tools and users on the command line: runs, maps, audits, and what is told when something is missing."""

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import orjson
import pytest

from synthagent.llm.stub import StubServer
from synthagent.serve.map_owner import MapOwner
from synthagent.simulation.map_store import Entry, MemoryStore, as_json
from synthagent.storage.task_file import write_tasks
from tests.builders import library
from tests.maps import entry, free_port, hybrid, owner, redis_server

RANDOM = ("--tools", "scripted:random")


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    file = tmp_path / "hybrid.jsonl"
    write_tasks(file, [hybrid("list_loans", "find_member")])
    return file


def episodes(run: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in (run / "episodes.jsonl").read_bytes().splitlines()]


def answers(run: Path) -> list[list[str]]:
    """For each episode the answers of simulated tools."""
    return [[e["response"] for e in one["events"] if e.get("entry_id")] for one in episodes(run)]


def test_all_samples_and_all_runs_on_a_task_file_get_the_same_answers(cli, tasks: Path, tmp_path: Path):
    for run in ("one", "two"):
        done = cli("rollout", tasks, "--agent", "scripted:spam", *RANDOM, "-n", 3, "-o", tmp_path / run)
        assert done.code == 0
    assert "0 misses" in done.err
    told = answers(tmp_path / "one") + answers(tmp_path / "two")
    assert len(told) == 6
    assert told[0]
    assert all(one == told[0] for one in told)
    assert Path(f"{tasks}.d", "map.sqlite").exists()


def test_without_a_map_no_two_samples_agree(cli, tasks: Path, tmp_path: Path):
    cli("rollout", tasks, "--agent", "scripted:spam", *RANDOM, "--map", "none", "-n", 2, "-o", tmp_path / "run")
    one, two = answers(tmp_path / "run")
    assert one != two
    assert not Path(f"{tasks}.d").exists()


def test_a_run_with_simulated_tools_is_scored_again_alike(cli, tasks: Path, tmp_path: Path):
    cli("rollout", tasks, "--agent", "scripted:spam", *RANDOM, "-n", 2, "-o", tmp_path / "run")
    done = cli("score", tmp_path / "run", "--json")
    assert (done.json["episodes"], done.json["changed"], done.json["unscored"]) == (2, 0, 0)


def test_tasks_with_simulated_tools_need_somebody_to_simulate_them(cli, tasks: Path, tmp_path: Path):
    done = cli("rollout", tasks, "--agent", "scripted:spam", "-o", tmp_path / "run")
    assert done.code == 2
    assert "no program for find_member, list_loans" in done.err
    assert "--tools MODEL" in done.err
    assert not (tmp_path / "run").exists(), "the next try needs no other folder"


def test_a_frozen_map_plays_what_it_knows_and_blames_the_tools_for_the_rest(cli, tasks: Path, tmp_path: Path):
    frozen = ("--map", "frozen")
    cli("rollout", tasks, "--agent", "scripted:spam", *RANDOM, "-o", tmp_path / "first")
    done = cli("rollout", tasks, "--agent", "scripted:spam", *frozen, "-o", tmp_path / "second", "--json")
    assert done.json[0]["unscored"] == 0
    done = cli("rollout", tasks, "--agent", "scripted:reference", *frozen, "-o", tmp_path / "third", "--json")
    assert (done.json[0]["unscored"], done.json[0]["blame"]) == (1, {"tools": 1})


def test_a_user_that_is_no_good_makes_episodes_unscored_and_the_blame_adds_up(cli, tmp_path: Path):
    file = tmp_path / "tasks.jsonl"
    write_tasks(file, [library()])
    agents = ("--agent", "scripted:reference", "--agent", "scripted:transfer")
    run = tmp_path / "run"
    done = cli("rollout", file, *agents, "--user", "scripted:random", "-n", 3, "-o", run, "--json")
    reference, transfer = done.json
    assert (reference["unscored"], reference["blame"]) == (3, {"user": 3})
    assert (transfer["unscored"], transfer["blame"]) == (0, {"agent": 3})
    for line in done.json:
        zeros = sum(line["blame"].values()) - line["unscored"]
        assert line["unscored"] + zeros <= line["episodes"]
    assert all(one["failure"]["reason"].startswith("lint:") for one in episodes(run) if "failure" in one)


def test_what_a_simulator_did_is_tried_again_on_resuming_and_what_has_a_reward_is_not(cli, tmp_path: Path):
    file, run = tmp_path / "tasks.jsonl", tmp_path / "run"
    write_tasks(file, [library()])
    words = ("rollout", file, "--agent", "scripted:reference", "--agent", "scripted:transfer", "-o", run)
    cli(*words, "--user", "scripted:random")
    assert cli(*words, "--user", "scripted:random", "--resume").code == 0
    assert [one["agent"] for one in episodes(run)].count("scripted:reference") == 2
    assert [one["agent"] for one in episodes(run)].count("scripted:transfer") == 1
    changed = cli(*words, "--resume")
    assert changed.code == 3
    assert "user was 'scripted:random', now 'facts'" in changed.err


def test_without_the_linter_nothing_is_found(cli, tmp_path: Path):
    file, run = tmp_path / "tasks.jsonl", tmp_path / "run"
    write_tasks(file, [library()])
    words = ("--user", "scripted:random", "--no-lint", "--turns", 5, "-o", run, "--json")
    done = cli("rollout", file, "--agent", "scripted:reference", *words)
    assert done.json[0]["unscored"] == 0


def test_injected_faults_are_in_the_record_and_the_same_for_one_seed(cli, tmp_path: Path):
    file = tmp_path / "tasks.jsonl"
    write_tasks(file, [library()])
    struck = []
    for run in ("one", "two"):
        words = ("--faults", 0.4, "-n", 8, "--seed", 3, "-o", tmp_path / run)
        assert cli("rollout", file, "--agent", "scripted:spam", *words).code == 0
        struck.append(
            [[e.get("fault") for e in one["events"] if e["kind"] == "tool"] for one in episodes(tmp_path / run)]
        )
        assert cli("score", tmp_path / run, "--json").json["changed"] == 0
    assert struck[0] == struck[1]
    faults = [fault for one in struck[0] for fault in one]
    assert 0.2 < sum(fault is not None for fault in faults) / len(faults) < 0.6


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--map", "mine"), "--map: 'mine' is not one of state, paper, none, frozen"),
        (("--tools", "scripted:spam"), "known: random"),
        (("--user", "scripted:done"), "known: random"),
        ((*RANDOM, "--map-store", "ftp://x"), "no place for a response map"),
    ],
)
def test_a_wrong_option_is_told(cli, tasks: Path, tmp_path: Path, words: tuple[str, ...], said: str):
    done = cli("rollout", tasks, "--agent", "scripted:spam", *words, "-o", tmp_path / "run")
    assert done.code in (2, 3)
    assert said in done.err


@pytest.mark.parametrize("where", ["http://127.0.0.1:9", "redis://127.0.0.1:9/0", "http://localhost:99999"])
def test_a_map_that_is_not_there_stops_the_run_before_it_begins(cli, tasks: Path, tmp_path: Path, where: str):
    begun = time.monotonic()
    done = cli("rollout", tasks, "--agent", "scripted:spam", *RANDOM, "--map-store", where, "-o", tmp_path / "run")
    assert (done.code, f"is there a response map at {where}?" in done.err) == (2, True), done.err
    assert time.monotonic() - begun < 20
    assert not (tmp_path / "run" / "episodes.jsonl").read_bytes()


class Refusing(MemoryStore):
    """A store that is there and takes nothing: no entries, or no hits."""

    def __init__(self, what: str):
        super().__init__()
        self._what = what

    async def put(self, entry: Entry) -> Entry:
        if self._what == "entries":
            raise ValueError("no room for entries")
        return await super().put(entry)

    async def count(self, hits: Mapping[str, int]) -> None:
        raise ValueError("no room for hits")


def on_a_map_that_refuses(cli, what: str, *words: object) -> Any:
    """A command whose map takes nothing more of this."""

    async def done() -> Any:
        async with MapOwner(Refusing(what)) as url:
            return await anyio.to_thread.run_sync(lambda: cli(*words, "--map-store", url))

    return anyio.run(done)


def test_a_map_that_takes_no_entries_is_infrastructure_and_ends_the_run_after_a_while(cli, tasks: Path, tmp_path: Path):
    run = tmp_path / "run"
    done = on_a_map_that_refuses(
        cli, "entries", "rollout", tasks, "--agent", "scripted:spam", *RANDOM, "-n", 40, "-o", run
    )
    assert done.code == 3
    assert "in a row failed (map_unavailable: the response map cannot be used" in done.err
    assert {one["failure"]["reason"] for one in episodes(run)} == {"map_unavailable"}
    assert {one["failure"]["blame"] for one in episodes(run)} == {"infrastructure"}


def test_a_run_is_not_lost_when_its_hits_cannot_be_counted(cli, tasks: Path, tmp_path: Path):
    run = tmp_path / "run"
    done = on_a_map_that_refuses(
        cli, "hits", "rollout", tasks, "--agent", "scripted:spam", *RANDOM, "-n", 3, "-o", run, "--json"
    )
    assert done.code == 0
    assert "the hits of this run are not counted: " in done.err
    assert (len(episodes(run)), done.json[0]["unscored"]) == (3, 0)


# ---- maps on the move


def test_a_map_is_exported_and_read_into_any_other(cli, tasks: Path, tmp_path: Path):
    store, file = f"{tasks}.d/map.sqlite", tmp_path / "map.jsonl"
    cli("rollout", tasks, "--agent", "scripted:spam", *RANDOM, "-n", 2, "-o", tmp_path / "run")
    count = cli("map", "export", store, "-o", file, "--json").json["entries"]
    lines = [orjson.loads(line) for line in file.read_bytes().splitlines()]
    assert len(lines) == count > 0
    assert sum(line["hits"] for line in lines) > 0
    with redis_server(tmp_path) as redis, owner(tmp_path / "served.sqlite") as (url, _):
        for other in (redis, url, str(tmp_path / "copy.sqlite")):
            assert cli("map", "import", other, file, "--json").json == {"added": count, "same": 0, "conflicts": []}
            again = cli("map", "export", other, "-o", tmp_path / "again.jsonl", "--json")
            assert again.json["entries"] == count
            assert [orjson.loads(line) for line in (tmp_path / "again.jsonl").read_bytes().splitlines()] == lines


def test_two_maps_of_one_world_are_merged_and_conflicts_told(cli, tasks: Path, tmp_path: Path):
    for name in ("a", "b"):
        words = ("--map-store", tmp_path / f"{name}.sqlite", "-o", tmp_path / f"run-{name}")
        cli("rollout", tasks, "--agent", "scripted:spam", *RANDOM, *words)
        cli("map", "export", tmp_path / f"{name}.sqlite", "-o", tmp_path / f"{name}.jsonl")
    merged = cli("map", "import", tmp_path / "a.sqlite", tmp_path / "b.jsonl", tmp_path / "a.jsonl")
    assert merged.code == 0
    assert "conflict: " in merged.err
    assert "0 entries added" in merged.err
    cli("map", "export", tmp_path / "a.sqlite", "-o", tmp_path / "after.jsonl")
    assert (tmp_path / "after.jsonl").read_bytes() == (tmp_path / "a.jsonl").read_bytes()


def test_a_file_that_is_no_map_is_refused_line_by_line(cli, tmp_path: Path):
    file = tmp_path / "broken.jsonl"
    file.write_text('{"key": "k"}\n')
    done = cli("map", "import", tmp_path / "m.sqlite", file)
    assert (done.code, "line 1: entry_id: missing" in done.err) == (2, True)
    assert cli("map", "export", tmp_path / "nowhere.sqlite", "-o", file).code == 2
    deep = '{"a":' * 65 + "1" + "}" * 65
    lines = [as_json(entry()), {**as_json(entry()), "hits": 2**53}, as_json(entry(arguments=deep))]
    for bad, why in ((lines[1], "hits: not a whole number"), (lines[2], "arguments: nested deeper than 64 levels")):
        file.write_bytes(b"\n".join(map(orjson.dumps, [lines[0], bad])))
        done = cli("map", "import", tmp_path / "m.sqlite", file)
        assert (done.code, f"{file}: line 2: {why}" in done.err) == (2, True), done.err


def test_workers_share_a_served_map_and_the_owner_ends_tidily(cli, tasks: Path, tmp_path: Path):
    with owner(tmp_path / "map.sqlite") as (url, process):
        for worker in ("one", "two"):
            words = ("--map-store", url, "-n", 2, "-o", tmp_path / worker)
            assert cli("rollout", tasks, "--agent", "scripted:spam", *RANDOM, *words).code == 0
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    assert answers(tmp_path / "one") == answers(tmp_path / "two")


def test_a_port_in_use_and_a_map_in_use_are_told(cli, tmp_path: Path):
    with owner(tmp_path / "map.sqlite") as (url, _):
        port = url.rpartition(":")[2]
        taken = cli("serve", "map", tmp_path / "other.sqlite", "--port", port)
        assert (taken.code, "cannot listen" in taken.err) == (2, True)
        owned = cli("serve", "map", tmp_path / "map.sqlite", "--port", free_port())
        assert (owned.code, "another process" in owned.err) == (2, True)
    open_ = cli("serve", "map", tmp_path / "map.sqlite", "--host", "0.0.0.0")
    assert (open_.code, "SYNTHAGENT_TOKEN" in open_.err) == (2, True)


# ---- audits


def test_the_certificate_is_printed_and_its_exit_code_tells(cli, tasks: Path):
    good = cli("audit", "consistency", tasks, *RANDOM, "--json")
    assert (good.code, good.json["identical_share"], good.json["counterexamples"]) == (0, 1.0, [])
    assert good.json["by_class"]["restart"]["share"] == 1.0
    bad = cli("audit", "consistency", tasks, *RANDOM, "--map", "none")
    assert bad.code == 1
    assert "answers that differ" in bad.out
    assert not Path(f"{tasks}.d").exists(), "an audit leaves no map behind"


def test_the_users_error_rates_are_printed_with_examples(cli, tmp_path: Path):
    file = tmp_path / "tasks.jsonl"
    write_tasks(file, [library()])
    done = cli("audit", "user", file, "--user", "scripted:random", "-n", 4, "--json")
    assert done.json["turns"] >= 4
    assert done.json["error_rate"] > 0.9
    assert done.json["by_kind"]["invented"]["count"] >= 4
    assert done.json["examples"][0]["kinds"]
    table = cli("audit", "user", file, "--user", "scripted:random")
    assert "invented" in table.out
    assert cli("audit", "user", file, "--user", "facts").code == 2


def test_statistics_know_the_run_and_its_map(cli, tasks: Path, tmp_path: Path):
    before = cli("audit", "stats", tasks, "--json")
    assert (before.json["map_size"], before.json["interactions"]) == (None, None)
    cli("rollout", tasks, "--agent", "scripted:spam", *RANDOM, "-o", tmp_path / "run")
    after = cli("audit", "stats", tasks, "--run", tmp_path / "run", "--json")
    assert after.json["map_size"] >= 2
    assert after.json["interactions"] >= 5
    assert after.json["paper"]["map_size"] == 30.1


def test_compiling_writes_the_tasks_whatever_becomes_of_the_tools(cli, tasks: Path, tmp_path: Path):
    cli("rollout", tasks, "--agent", "scripted:spam", *RANDOM, "-o", tmp_path / "run")
    out = tmp_path / "compiled.jsonl"
    done = cli("audit", "compile", tasks, "--teacher", "scripted:random", "-o", out, "--json")
    assert (done.json["tools"], done.json["compiled"]) == (2, 0)
    assert all(verdict["reason"] for verdict in done.json["verdicts"])
    assert out.read_bytes() == tasks.read_bytes()


def test_compiling_needs_a_map_and_makes_none(cli, tasks: Path, tmp_path: Path):
    out = tmp_path / "compiled.jsonl"
    done = cli("audit", "compile", tasks, "--teacher", "scripted:random", "-o", out)
    assert (done.code, f"{tasks}.d/map.sqlite: there is no such map" in done.err) == (2, True), done.err
    assert not Path(f"{tasks}.d").exists()


def test_audits_read_a_map_that_wants_a_token(cli, tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SYNTHAGENT_TOKEN", "secret")
    with owner(tmp_path / "map.sqlite") as (url, _):
        at = ("--map-store", url)
        assert cli("rollout", tasks, "--agent", "scripted:spam", *RANDOM, *at, "-o", tmp_path / "run").code == 0
        stats = cli("audit", "stats", tasks, *at, "--json")
        assert (stats.code, stats.json["map_size"] >= 2) == (0, True), stats.err
        compiled = cli("audit", "compile", tasks, "--teacher", "scripted:random", *at, "-o", tmp_path / "c", "--json")
        assert (compiled.code, compiled.json["tools"]) == (0, 2), compiled.err
        monkeypatch.delenv("SYNTHAGENT_TOKEN")
        assert "SYNTHAGENT_TOKEN" in cli("audit", "stats", tasks, *at).err


def test_a_run_goes_on_with_the_map_that_it_began_with(cli, tasks: Path, tmp_path: Path):
    words = ("rollout", tasks, "--agent", "scripted:spam", *RANDOM, "-o", tmp_path / "run")
    assert cli(*words, "--map-store", tmp_path / "one.sqlite").code == 0
    other = cli(*words, "--map-store", tmp_path / "two.sqlite", "--resume")
    assert other.code == 3
    assert f"map_store was '{tmp_path}/one.sqlite', now '{tmp_path}/two.sqlite'" in other.err
    assert cli(*words, "--map-store", tmp_path / "one.sqlite", "--resume").code == 0


def test_simulate_takes_programs_away(cli, tmp_path: Path):
    file, out = tmp_path / "tasks.jsonl", tmp_path / "out.jsonl"
    write_tasks(file, [library()])
    assert cli("simulate", file, "-o", out, "--json").json == {"tasks": 1, "changed": 1, "tools": 4}
    assert cli("simulate", file, "-o", out, "--only", "list_loans", "--json").json["tools"] == 1
    nothing = cli("simulate", file, "-o", out, "--only", "no_such_tool")
    assert (nothing.code, "no task has a program for no_such_tool" in nothing.err) == (2, True)


# ---- screening what had to wait


def truthful(body: dict[str, Any]) -> Any:
    """An endpoint that looks members up in the rows that it is shown, as the program did."""
    text = "\n".join(str(message["content"]) for message in body["messages"])
    if "You stand in for one tool" not in text:
        return "Good morning!"
    rows, _, call = text.rpartition("The call:\nfind_member(")
    name = orjson.loads(call.strip().removesuffix(")"))["name"].casefold()
    lines = rows.rpartition("\nmembers:\n")[2].split("\n\n")[0].splitlines()
    found = [row for row in map(orjson.loads, lines) if row["name"].casefold() == name]
    result = [
        {"member_id": row["member_id"], "branch": row["branch"]} for row in sorted(found, key=lambda r: r["member_id"])
    ]
    return orjson.dumps({"entry": None, "error": None, "result": result}).decode()


def test_tasks_that_waited_for_their_tools_are_screened_with_a_simulator(cli, tmp_path: Path):
    file, waiting, out = tmp_path / "tasks.jsonl", tmp_path / "waiting.jsonl", tmp_path / "screened.jsonl"
    cli("synth", "-o", file, "-n", 6, "--domains", "library", "--difficulty", "easy", "--seed", 4)
    cli("simulate", file, "-o", waiting, "--only", "find_member")
    assert cli("check", waiting, "--json").json["objections"] == []

    async def checked() -> Any:
        async with StubServer(truthful) as url:
            words = ("check", waiting, "--tools", f"openai:stub@{url}", "-o", out, "--json")
            return await anyio.to_thread.run_sync(lambda: cli(*words))

    done = anyio.run(checked)
    assert done.json["objections"] == [], done.json
    screenings = [orjson.loads(line)["provenance"]["screening"] for line in out.read_bytes().splitlines()]
    assert len(screenings) == done.json["tasks"] >= 6
    assert {said for one in screenings for said in one.values()} == {"passed"}


def test_a_simulator_that_makes_things_up_does_not_pass_and_its_tasks_are_left_out(cli, tmp_path: Path):
    file, waiting, out = tmp_path / "tasks.jsonl", tmp_path / "waiting.jsonl", tmp_path / "screened.jsonl"
    cli("synth", "-o", file, "-n", 2, "--domains", "library", "--difficulty", "easy", "--seed", 4)
    cli("simulate", file, "-o", waiting, "--only", "find_member")
    done = cli("check", waiting, *RANDOM, "-o", out, "--json")
    assert done.code == 1
    assert {objection["screen"] for objection in done.json["objections"]} >= {"reference"}
    assert out.read_bytes() == b""
