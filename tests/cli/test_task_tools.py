"""import, perturb, evolve and audit as a user meets them."""

from pathlib import Path

import anyio.to_thread
import orjson
import pytest

from synthagent.llm.stub import Misbehave, StubServer
from tests import teachers
from tests.synthesis.test_agenticqwen import illegal, record

PROBED = '{"answer": ["zebra-47", "zebra-47"]}'


def rows(path: Path) -> list:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def good(body):
    if body["messages"][-1]["content"].startswith("Say good"):
        return PROBED
    kind = teachers.wanted(body["messages"])
    return teachers.answer(kind) if kind else "Hello to you too."


# ---- import


@pytest.mark.parametrize("form", ["a list", "lines"])
def test_published_tasks_are_imported_and_what_is_not_says_why(cli, tmp_path: Path, form: str):
    records = [record(), illegal(), {**record(), "id": "other-1", "prompt": []}, {**record(), "id": "twice-1"}]
    file = tmp_path / "published.json"
    lines = [orjson.dumps(one, option=orjson.OPT_INDENT_2 if form == "a list" else 0) for one in records]
    file.write_bytes(b"[" + b",\n".join(lines) + b"]" if form == "a list" else b"\n".join(lines) + b"\n")
    out = tmp_path / "tasks.jsonl"
    done = cli("import", file, "--from", "agenticqwen", "--out", out, "--json")
    assert done.code == 0, done.err
    assert done.json["seconds"] >= 0
    counted = {name: done.json[name] for name in ("read", "imported", "playable", "not_imported", "changed")}
    assert counted == {"read": 4, "imported": 2, "playable": 2, "not_imported": 2, "changed": 2}
    refused, twice = rows(tmp_path / "tasks.jsonl.d" / "not_imported.jsonl")
    assert (refused["record"], refused["id"]) == (3, "other-1")
    assert (twice["record"], twice["reason"]) == (4, "the same task is there already")
    assert cli("check", out).code == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[{", "record 1: not JSON"),
        ('[{"id": 1}, nonsense]', "record 2: not JSON"),
        ('[{"id": 1}', "cut off after record 1"),
        ("[" * 100_000, "nested too deep"),
    ],
)
def test_a_file_that_is_no_json_is_told_with_the_record(cli, tmp_path: Path, text: str, said: str):
    file = tmp_path / "published.json"
    file.write_text(text)
    done = cli("import", file, "--out", tmp_path / "tasks.jsonl")
    assert done.code == 2
    assert said in done.err
    assert str(file) in done.err


def test_a_source_that_is_not_known_names_those_that_are(cli, tmp_path: Path):
    done = cli("import", tmp_path / "x", "--from", "elsewhere", "--out", tmp_path / "t.jsonl")
    assert (done.code, "known: agenticqwen" in done.err) == (2, True)


# ---- perturb


def test_tasks_get_other_names_and_are_verified(cli, tasks: Path, tmp_path: Path):
    out = tmp_path / "perturbed.jsonl"
    done = cli("perturb", tasks, "--out", out, "--seed", 4, "--json")
    assert done.code == 0, done.err
    assert (done.json["tasks"], done.json["perturbed"], done.json["rejected"]) == (8, 8, 0)
    assert cli("check", out).code == 0
    old, new = rows(tasks), rows(out)
    assert [one["id"] for one in new] != [one["id"] for one in old]
    again = tmp_path / "again.jsonl"
    cli("perturb", tasks, "--out", again, "--seed", 4, "--no-verify")
    assert again.read_bytes() == out.read_bytes()


def test_a_kind_that_is_not_known_names_those_that_are(cli, tasks: Path, tmp_path: Path):
    done = cli("perturb", tasks, "--out", tmp_path / "p.jsonl", "--kinds", "names,colours")
    assert (done.code, "'colours'" in done.err, "wording" in done.err) == (2, True, True)


def test_tasks_lose_their_information_gap(cli, tasks: Path, tmp_path: Path):
    out = tmp_path / "told.jsonl"
    done = cli("perturb", tasks, "--kinds", "no-gap", "--out", out, "--json")
    assert (done.code, done.json["perturbed"], done.json["rejected"]) == (0, 8, 0)
    assert cli("check", out).code == 0
    old, new = rows(tasks), rows(out)
    asked, told = ([one["brief"]["instruction"] for one in tasks_] for tasks_ in (old, new))
    assert [text.startswith(before) for before, text in zip(asked, told, strict=True)] == [True] * 8
    assert [one["brief"]["tools"] for one in new] == [one["brief"]["tools"] for one in old]
    both = tmp_path / "both.jsonl"
    assert cli("perturb", tasks, "--kinds", "no-gap,names", "--out", both).code == 0
    assert [set(one["provenance"]["features"]) >= {"no_gap", "perturbed"} for one in rows(both)] == [True] * 8


# ---- audit


def test_a_set_is_compared_with_an_evaluation_set(cli, tasks: Path, tmp_path: Path):
    clean = tmp_path / "clean"
    clean.mkdir()
    (clean / "questions.md").write_text("Nothing that anybody would ask a library.")
    done = cli("audit", "decontaminate", tasks, "--against", clean, "--json")
    assert (done.code, done.json["overlaps"], done.json["hits"]) == (0, [], {})
    found = tmp_path / "found.jsonl"
    done = cli("audit", "decontaminate", tasks, "--against", clean, "--against", tasks, "--out", found, "--json")
    assert done.code == 1
    assert done.json["hits"]["schema"] > 5
    assert len(rows(found)) == sum(done.json["hits"].values())
    plain = cli("audit", "decontaminate", tasks, "--against", tasks)
    assert plain.code == 1
    assert "more: --out FILE has them all" in plain.err
    missing = cli("audit", "decontaminate", tasks, "--against", tmp_path / "nowhere")
    assert missing.code == 2


def test_diversity_is_printed_and_a_large_set_is_sampled(cli, tasks: Path):
    whole = cli("audit", "diversity", tasks, "--json").json
    assert (whole["tasks"], whole["looked_at"]) == (8, 8)
    assert set(whole["distinct_n"]) == {"1", "2", "3"}
    part = cli("audit", "diversity", tasks, "--sample", 3, "--json").json
    assert (part["tasks"], part["looked_at"]) == (8, 3)
    assert "vendi" in cli("audit", "diversity", tasks).out


# ---- evolve


@pytest.fixture(scope="module")
async def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One task of a good teacher, not to be changed."""
    from tests.commands import synthagent

    folder = tmp_path_factory.mktemp("made")
    (folder / "one.jsonl").write_text('{"persona": "A keeper of seeds"}\n')
    out = folder / "tasks.jsonl"
    async with StubServer(good) as url:
        words = ("synth", "--teacher", f"openai:stub@{url}", "--personas", folder / "one.jsonl", "--out", out)
        done = await anyio.to_thread.run_sync(lambda: synthagent(*words))
    assert done.code == 0, done.err
    return out


async def evolving(cli, *words, handler=good):
    async with StubServer(handler) as url:
        return await anyio.to_thread.run_sync(
            lambda: cli("evolve", *words, "--teacher", f"openai:stub@{url}", "--json")
        )


async def test_a_task_file_is_grown(cli, made: Path, tmp_path: Path):
    out = tmp_path / "grown.jsonl"
    done = await evolving(cli, made, "--out", out, "--solve", 0)
    assert done.code == 0, done.err
    assert (done.json["tasks"], done.json["kept"], done.json["rejected"]) == (3, 3, 0)
    assert [row["provenance"]["features"][-1] for row in rows(out)] == ["legal", "hidden_illegal", "pushed"]
    checked = await anyio.to_thread.run_sync(lambda: cli("check", out))
    assert checked.code == 0


async def test_what_the_teacher_itself_does_not_get_through_is_not_kept(cli, made: Path, tmp_path: Path):
    """The stub talks like a teacher also when it is asked to play: it never calls a tool."""

    def handler(body):
        return "I would rather not." if body.get("tools") else good(body)

    done = await evolving(cli, made, "--out", tmp_path / "grown.jsonl", "--solve", 1, handler=handler)
    assert done.code == 1
    assert done.json["rejected_by_reason"] == {"solving: not solved": 1}
    stages = {(row["role"], row["stage"]) for row in done.json["stages"]}
    assert ("solver", "") in stages


async def test_a_try_that_broke_off_says_nothing_of_the_task(cli, made: Path, tmp_path: Path):
    def handler(body):
        return Misbehave(401) if body.get("tools") else good(body)

    out = tmp_path / "grown.jsonl"
    done = await evolving(cli, made, "--out", out, "--solve", 1, handler=handler)
    assert done.json["rejected_by_reason"] == {"teacher: http_401": 1}
    [outcome] = rows(tmp_path / "grown.jsonl.d" / "outcomes.jsonl")
    assert outcome["passing"], "it is taken again on resuming"


async def test_only_tasks_that_went_badly_are_grown(cli, made: Path, tmp_path: Path):
    run = tmp_path / "run"
    agents = ("--agent", "scripted:reference", "--agent", "scripted:ask-all")
    rolled = await anyio.to_thread.run_sync(lambda: cli("rollout", made, *agents, "--out", run))
    assert rolled.code == 0, rolled.err
    which = await evolving(cli, made, "--out", tmp_path / "a.jsonl", "--failures", run, "--solve", 0)
    assert (which.code, "--agent: the run holds several" in which.err) == (2, True)
    words = ("--failures", run, "--solve", 0)
    badly = await evolving(cli, made, "--out", tmp_path / "b.jsonl", *words, "--agent", "scripted:ask-all")
    assert badly.json["kept"] == 3
    well = await evolving(cli, made, "--out", tmp_path / "c.jsonl", *words, "--agent", "scripted:reference")
    assert well.json["kept"] == well.json["rejected"] == 0
    nobody = await evolving(cli, made, "--out", tmp_path / "d.jsonl", *words, "--agent", "scripted:nobody")
    assert (nobody.code, "did not play" in nobody.err) == (2, True)


# ---- doctor


async def test_doctor_says_what_an_endpoint_can_do(cli):
    async with StubServer(good) as url:
        done = await anyio.to_thread.run_sync(lambda: cli("doctor", "--endpoint", url, "--json"))
    found = {row["what"]: row for row in done.json}
    assert found["models"]["detail"] == "takes stub"
    assert found[f"endpoint {url}"]["works"]
    assert found["structured output"] == {
        "what": "structured output", "works": True, "necessary": False, "detail": "by json_schema (json_schema: works)",
    }  # fmt: skip
    assert not found["tool calls"]["works"]


async def test_doctor_says_which_ways_were_tried_in_vain(cli):
    async with StubServer(lambda _: "Good morning!") as url:
        done = await anyio.to_thread.run_sync(lambda: cli("doctor", "--endpoint", f"openai:m@{url}", "--json"))
    [row] = [row for row in done.json if row["what"] == "structured output"]
    assert not row["works"]
    assert row["detail"].startswith("by prompt (json_schema: ignored")


def test_doctor_says_what_is_no_endpoint_and_what_does_not_answer(cli):
    nothing = cli("doctor", "--endpoint", "gpt-9")
    assert (nothing.code, "write openai:MODEL@" in nothing.err) == (2, True)
    dead = cli("doctor", "--endpoint", "http://127.0.0.1:9/v1", "--json")
    assert dead.code == 1
    assert "no answer from http://127.0.0.1:9/v1/models" in dead.json[-1]["detail"]


# ---- options that belong to another teacher


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (("--limit", 3), "--limit"),
        (("--resume",), "--resume"),
        (("--max-usd", 1), "--max-usd"),
        (("--teacher", "openai:m@http://127.0.0.1:9/v1", "--domains", "library"), "--domains"),
        (("--teacher", "openai:m@http://127.0.0.1:9/v1", "--goals", "2"), "--goals"),
    ],
)
def test_an_option_that_means_nothing_to_a_teacher_is_refused(cli, tmp_path: Path, words, option):
    done = cli("synth", "--out", tmp_path / "t.jsonl", *words)
    assert (done.code, f"{option} means nothing to the teacher" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--max-usd", 1), "nobody knows what this teacher costs"),
        (("--skip", "world"), "--skip: 'world' cannot be left out"),
        (("--world", "flat"), "--world: 'flat'"),
        (("--band", "0.2-0.8"), "belong together"),
        (("--band", "high", "--band-agent", "scripted:done"), "--band: 'high'"),
        (("--config", "nowhere.toml"), "nowhere.toml"),
    ],
)
def test_a_wrong_option_is_told_before_anything_is_asked(cli, tmp_path: Path, words, said):
    done = cli("synth", "--teacher", "openai:m@http://127.0.0.1:9/v1", "--out", tmp_path / "t.jsonl", *words)
    assert done.code == 2, done.err
    assert said in done.err


def test_a_scripted_agent_does_not_teach(cli, tmp_path: Path):
    done = cli("synth", "--teacher", "scripted:reference", "--out", tmp_path / "t.jsonl")
    assert (done.code, "do not teach" in done.err) == (2, True)


async def test_tasks_outside_the_band_are_rejected(cli, tmp_path: Path):
    (tmp_path / "one.jsonl").write_text('{"persona": "A keeper of seeds"}\n')
    async with StubServer(good) as url:
        words = ("synth", "--teacher", f"openai:stub@{url}", "--personas", tmp_path / "one.jsonl", "--json",
                 "--band-n", 1, "--band-agent")  # fmt: skip
        low = ("scripted:nothing", "--band", "0.2-0.85", "--out", tmp_path / "a.jsonl")
        all_ = ("scripted:ask-all", "--band", "0.2-0.85", "--out", tmp_path / "b.jsonl")
        none = await anyio.to_thread.run_sync(lambda: cli(*words, *low))
        kept = await anyio.to_thread.run_sync(lambda: cli(*words, *all_))
    assert none.json["rejected_by_reason"] == {"screening: pass rate": 1}
    assert kept.json["kept"] == 1


async def test_a_recorded_course_can_be_taught_again_without_its_teacher(cli, made: Path, tmp_path: Path):
    people = made.parent / "one.jsonl"
    first, again = tmp_path / "first.jsonl", tmp_path / "again.jsonl"
    async with StubServer(good) as url:
        words = ("synth", "--teacher", f"openai:stub@{url}", "--personas", people, "--out", first, "--record")
        done = await anyio.to_thread.run_sync(lambda: cli(*words))
    assert done.code == 0, done.err
    words = ("synth", "--teacher", f"recorded:{first}.d/exchanges.jsonl", "--personas", people, "--out", again)
    done = await anyio.to_thread.run_sync(lambda: cli(*words))
    assert done.code == 0, done.err
    one, two = rows(first)[0], rows(again)[0]
    assert one["id"] == two["id"]
    other = await anyio.to_thread.run_sync(lambda: cli(*words[:-1], tmp_path / "other.jsonl", "--seed", 5))
    assert other.code == 2
    assert "no (further) answer to this request" in other.err


def test_doctor_says_which_sandboxes_for_python_work(cli):
    found = {row["what"]: row for row in cli("doctor", "--json").json}
    for tier in ("monty", "bwrap"):
        row = found[f"python tool {tier}"]
        assert not row["necessary"]
        assert row["detail"]
        assert row["works"] or "(" in row["detail"]  # the way out
    assert "python tool unsafe-local" not in found
