"""A teacher over real HTTP that does all that servers and models do wrong: every persona ends, the sums are right."""

import hashlib
import math
import os
import signal
import time
from collections import Counter
from pathlib import Path

import anyio.to_thread
import orjson
import pytest

from synthagent.llm.stub import Misbehave, StubServer
from tests import teachers

PROBED = '{"answer": ["zebra-47", "zebra-47"]}'
PEOPLE = 24


def personas_file(tmp_path: Path, count: int = PEOPLE) -> Path:
    path = tmp_path / "personas.jsonl"
    lines = [orjson.dumps({"persona": f"Keeper number {n} of the seed library of a small town"}) for n in range(count)]
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def own(kind: str, number: int) -> str:
    """A good answer that is another task for each persona: other people, seeds, tools."""
    text = teachers.answer(kind)
    for old, new in (
        ("Ines Calder", f"Ines Calder{chr(97 + number)}"),
        ("Blue Lake Bean", f"Blue Lake Bean {number}"),
        ("find_planting_month", f"find_month_{number}"),
        ("list_seed_loans", f"list_loans_{number}"),
        ("find_member", f"find_member_{number}"),
        ("extend_loan", f"extend_loan_{number}"),
        ("member_id", f"member{number}_id"),
        ("borrowed seeds a little longer", f"seeds of kind {chr(97 + number) * 3} for longer, please and thank you"),
    ):
        text = text.replace(old, new)
    return text


def answer_to(body) -> str:
    """The good answer to a request."""
    kind, number = teachers.wanted(body["messages"]), number_of(body) or 0
    if kind != "ProgramDraft":
        return own(kind, number)
    programs = orjson.loads(own("ProgramsDraft", number))["programs"]
    text = body["messages"][0]["content"]
    return next(orjson.dumps(p).decode() for p in programs if f"The tool:\n- {p['tool']}(" in text)


def number_of(body) -> int | None:
    """Which persona a request is for: named in the first prompt, in the names of what came of it in the others."""
    import re

    text = "\n".join(str(message["content"]) for message in body["messages"])
    found = re.search(r"Keeper number (\d+)|Calder([a-z])\b", text)
    return None if not found else int(found[1]) if found[1] else ord(found[2]) - 97


HOSTILE = '{"programs": [{"tool": "find_member", "steps": [{"do": "return", "sql": "ATTACH \'/etc/passwd\' AS x"}]}]}'
SPOILT = (
    lambda text: f"```json\n{text}\n```",
    lambda text: text[: len(text) // 2],
    lambda _: "I am only a language model.",
    lambda _: '{"tools": 3, "workflow": {"a": []}, "tables": "none", "steps": null}',
    lambda text: HOSTILE if "programs" in text else text.replace("SELECT", "DROP TABLE members; SELECT"),
    lambda text: "[" * 9000 + text,
)


class Troublesome:
    """One call in three fails on its way, one answer in five is spoilt, by a hash of what is asked."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    def __call__(self, body):
        if body["messages"][-1]["content"].startswith("Say good"):
            return PROBED
        key = hashlib.sha256(orjson.dumps([body["messages"], body.get("seed")])).hexdigest()
        self.seen[key] += 1
        luck = int(key[:4], 16)
        if self.seen[key] == 1 and luck % 3 == 0:
            return (
                Misbehave(429, headers={"Retry-After": "0"}),
                Misbehave(500),
                Misbehave(drop="inside", body="{}" * 50),
                Misbehave(503),
            )[luck // 3 % 4]
        number = number_of(body)
        if number is not None and number % 12 == 11:
            return Misbehave(stall=math.inf)
        text = answer_to(body)
        return SPOILT[luck // 7 % len(SPOILT)](text) if luck % 5 == 1 else text


def wait_for_lines(path: Path, count: int) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if path.exists() and path.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.002)
    raise AssertionError(f"{path} never got {count} lines")


def rows(path: Path) -> list:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


async def test_every_persona_ends_as_a_verified_task_or_as_a_rejection_with_a_reason(cli, tmp_path: Path):
    trouble = Troublesome()
    (tmp_path / "synthagent.toml").write_text("request_timeout = 0.5\nattempts = 3\n")
    out = tmp_path / "tasks.jsonl"
    async with StubServer(trouble, remember=False) as url:
        words = ("synth", "--teacher", f"openai:stub@{url}", "--personas", personas_file(tmp_path), "--out", out,
                 "--config", tmp_path / "synthagent.toml", "--in-flight", 12, "--json")  # fmt: skip
        done = await anyio.to_thread.run_sync(lambda: cli(*words))
    assert done.code == 0, done.err
    figures = done.json
    assert figures["kept"] + figures["rejected"] == PEOPLE
    assert figures["kept"] >= 5
    assert figures["rejected"] >= 2
    assert sum(figures["rejected_by_reason"].values()) == figures["rejected"]
    assert figures["rejected_by_reason"]["teacher: timeout"] == 2
    outcomes = rows(tmp_path / "tasks.jsonl.d" / "outcomes.jsonl")
    assert sorted(outcome["index"] for outcome in outcomes) == list(range(PEOPLE))
    assert all(bool(outcome.get("tasks")) != bool(outcome.get("reason")) for outcome in outcomes)
    assert len(rows(out)) == figures["tasks"] == figures["kept"]
    checked = await anyio.to_thread.run_sync(lambda: cli("check", out, "--json"))
    assert checked.json["objections"] == []
    usage = [outcome.get("usage", {}) for outcome in outcomes]
    assert figures["tokens"] == sum(u.get("prompt", 0) + u.get("completion", 0) for u in usage)
    assert figures["tokens_per_kept_task"] == round(figures["tokens"] / figures["kept"])
    assert 0 < figures["compiled_share"] <= 1


class Counting:
    """A good teacher that counts what it is asked, and takes its time."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.seconds = seconds

    async def __call__(self, body):
        key = hashlib.sha256(orjson.dumps([body["messages"], body.get("seed")])).hexdigest()
        self.asked[key] += 1
        await anyio.sleep(self.seconds)
        self.answered[key] += 1
        if body["messages"][-1]["content"].startswith("Say good"):
            return PROBED
        return answer_to(body)


@pytest.mark.parametrize("calls", [3, 11, 30])
async def test_a_teacher_that_was_killed_at_any_moment_is_not_asked_anything_twice(
    start, cli, tmp_path: Path, calls: int
):
    teacher = Counting(0.02)
    out = tmp_path / "tasks.jsonl"
    async with StubServer(teacher, remember=False) as url:
        words = ("synth", "--teacher", f"openai:stub@{url}", "--personas", personas_file(tmp_path, 8), "--out", out,
                 "--in-flight", 3)  # fmt: skip
        with start(*words) as process:
            until = time.monotonic() + 60
            while teacher.answered.total() < calls and time.monotonic() < until:  # noqa: ASYNC110 - another process
                await anyio.sleep(0.001)
            os.kill(process.pid, signal.SIGKILL)
            await anyio.to_thread.run_sync(process.wait)
        before = teacher.asked.copy()
        assert calls <= before.total() < 65, "it was not stopped in the middle"
        done = await anyio.to_thread.run_sync(lambda: cli(*words, "--resume", "--json"))
    assert done.code == 0, done.err
    assert done.json["kept"] == 8
    repeated = {key: count for key, count in teacher.asked.items() if count > 1}
    # Only what was on its way when the process died may be asked again: nobody got those answers.
    assert len(repeated) <= 3
    assert all(count == 2 for count in repeated.values())
    assert len(teacher.asked) == 65, "eight personas of eight calls each, and one probe"


async def test_what_is_written_does_not_depend_on_having_been_stopped(start, cli, tmp_path: Path):
    files = []
    async with StubServer(Counting(0.005), remember=False) as url:
        for name, kill in (("one", False), ("two", True)):
            folder = tmp_path / name
            folder.mkdir()
            out = folder / "tasks.jsonl"
            words = ("synth", "--teacher", f"openai:stub@{url}", "--personas", personas_file(tmp_path, 6), "--out", out,
                     "--in-flight", 2)  # fmt: skip
            if kill:
                with start(*words) as process:
                    journal = folder / "tasks.jsonl.d" / "outcomes.jsonl"
                    await anyio.to_thread.run_sync(wait_for_lines, journal, 2)
                    process.send_signal(signal.SIGINT)
                    await anyio.to_thread.run_sync(process.wait)
                assert process.returncode == 130
                words = (*words, "--resume")
            done = await anyio.to_thread.run_sync(lambda words=words: cli(*words))
            assert done.code == 0, done.err
            files.append(out.read_bytes())
    assert files[0] == files[1]


async def test_a_budget_stops_the_run_and_a_larger_one_goes_on(cli, tmp_path: Path):
    teacher = Counting()
    out = tmp_path / "tasks.jsonl"
    async with StubServer(teacher, remember=False) as url:
        words = ("synth", "--teacher", f"openai:stub@{url}", "--personas", personas_file(tmp_path, 6), "--out", out,
                 "--in-flight", 1)  # fmt: skip
        done = await anyio.to_thread.run_sync(lambda: cli(*words, "--max-tokens", 20_000))
        assert done.code == 3
        assert "budget of 20000 tokens is spent" in done.err
        kept = len(rows(out))
        assert 1 <= kept < 6
        asked = teacher.asked.total()
        done = await anyio.to_thread.run_sync(lambda: cli(*words, "--max-tokens", 500_000, "--resume"))
    assert done.code == 0, done.err
    assert len(rows(out)) == 6
    assert max(teacher.asked.values()) == 1
    assert teacher.asked.total() > asked


async def test_an_endpoint_that_is_gone_stops_the_run_and_what_was_finished_is_kept(cli, tmp_path: Path):
    out = tmp_path / "tasks.jsonl"
    (tmp_path / "synthagent.toml").write_text("request_timeout = 5\n")
    good = Counting()

    async def handle(body):
        if number_of(body) in (0, 1, None):
            return await good(body)
        return Misbehave(401, body={"error": {"message": "your key has expired"}})

    async with StubServer(handle, remember=False) as url:
        words = ("synth", "--teacher", f"openai:stub@{url}", "--personas", personas_file(tmp_path), "--out", out,
                 "--in-flight", 1)  # fmt: skip
        done = await anyio.to_thread.run_sync(lambda: cli(*words))
        assert done.code == 3
        assert "16 personas in a row failed" in done.err
        assert "your key has expired" in done.err
        assert "--resume" in done.err
    async with StubServer(good, remember=False) as url2:
        refused = await anyio.to_thread.run_sync(lambda: cli(*words[:2], f"openai:stub@{url2}", *words[3:], "--resume"))
    assert refused.code == 3
    assert "teacher was" in refused.err


async def test_a_course_is_not_begun_over_another(cli, tmp_path: Path):
    out = tmp_path / "tasks.jsonl"
    async with StubServer(Counting(), remember=False) as url:
        words = ("synth", "--teacher", f"openai:stub@{url}", "--personas", personas_file(tmp_path, 2), "--out", out)
        assert (await anyio.to_thread.run_sync(lambda: cli(*words))).code == 0
        again = await anyio.to_thread.run_sync(lambda: cli(*words))
        other = await anyio.to_thread.run_sync(lambda: cli(*words, "--resume", "--rounds", 1))
    assert (again.code, other.code) == (3, 3)
    assert "--resume" in again.err
    assert "plan was" in other.err


async def test_near_duplicates_are_rejected_and_more_personas_are_taken_instead(cli, tmp_path: Path):
    async def same(body):
        if body["messages"][-1]["content"].startswith("Say good"):
            return PROBED
        number = number_of(body)
        return own(teachers.wanted(body["messages"]), 0 if number in (None, 0, 1, 2) else number)

    out = tmp_path / "tasks.jsonl"
    async with StubServer(same, remember=False) as url:
        words = ("synth", "--teacher", f"openai:stub@{url}", "--personas", personas_file(tmp_path, 8), "--out", out,
                 "-n", 3, "--in-flight", 2, "--json")  # fmt: skip
        done = await anyio.to_thread.run_sync(lambda: cli(*words))
    assert done.code == 0, done.err
    assert done.json["tasks"] == 3
    assert done.json["rejected_by_reason"]["screening: near duplicate"] >= 1


def test_a_dry_run_asks_nobody_and_says_what_it_would_take(cli, tmp_path: Path):
    words = ("synth", "--teacher", "openai:m@http://127.0.0.1:9/v1", "--personas", personas_file(tmp_path, 10),
             "--out", tmp_path / "t.jsonl", "--dry-run", "--json")  # fmt: skip
    done = cli(*words)
    assert done.code == 0
    assert done.json["personas"] == 10
    assert done.json["calls"][0] == 80
    assert done.json["tokens"][0] < done.json["tokens"][1]
    assert done.json["usd"] is None
    assert not (tmp_path / "t.jsonl.d").exists()
    (tmp_path / "p.toml").write_text("[prices.m]\ninput = 1.0\noutput = 2.0\n")
    priced = cli(*words, "--config", tmp_path / "p.toml")
    assert 0 < priced.json["usd"][0] < priced.json["usd"][1]


async def test_a_teacher_that_is_too_weak_is_said_to_be_and_leaves_no_junk(cli, tmp_path: Path):
    out = tmp_path / "tasks.jsonl"
    async with StubServer(lambda _: "hello hello hello") as url:
        words = ("synth", "--teacher", f"openai:weak@{url}", "--personas", personas_file(tmp_path, 3), "--out", out)
        done = await anyio.to_thread.run_sync(lambda: cli(*words))
    assert done.code == 1
    assert "nothing was kept" in done.err
    assert out.read_bytes() == b""
    assert "scenario: not understood" in done.out
