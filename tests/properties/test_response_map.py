"""Invariants 2 and 3 where tools are simulated, over every store, by a model that never says the same twice.

Processes are killed in between: what a worker has been told stays true for everybody after it.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synthagent.simulation.episode import prepare
from tests.builders import ToolUse, library_uses, text_of
from tests.maps import KINDS, LASTING, Place, answers, hybrid, opened, owner, place, worker

TASK = hybrid()
LIBRARY = prepare(TASK).blueprint
CALLS = st.lists(library_uses(), max_size=8)
some = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module", params=KINDS)
def somewhere(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(request.param, tmp_path_factory.mktemp("map")) as found:
        yield found


async def played(where: Place, calls: Sequence[ToolUse], who: str = "worker") -> tuple[list[str], str]:
    """Answers and final digest of a world of its own, as a new process would have them."""
    async with opened(where, who=who) as tools:
        with LIBRARY.open() as world:
            return await answers(world, tools, calls), world.final().digest


@some
@given(CALLS)
def test_the_same_calls_give_the_same_bytes_to_every_worker_and_after_every_restart(somewhere: Place, calls):
    async def story() -> None:
        first = await played(somewhere, calls, "one")
        assert await played(somewhere, calls, "two") == first
        assert await played(somewhere, calls, "one") == first

    anyio.run(story)


@some
@given(st.lists(CALLS, min_size=2, max_size=4))
def test_workers_at_the_same_time_hear_the_same(somewhere: Place, lists):
    """Several episodes in one process, all at once, twice over: each list of calls has one outcome."""

    async def story() -> None:
        outcomes: dict[int, list[Any]] = {}
        async with opened(somewhere) as tools:

            async def episode(number: int) -> None:
                with LIBRARY.open() as world:
                    told = await answers(world, tools, lists[number]), world.final().digest
                outcomes.setdefault(number, []).append(told)

            async with anyio.create_task_group() as group:
                for number in [*range(len(lists))] * 2:
                    group.start_soon(episode, number)
        assert all(one == other for one, other in outcomes.values())

    anyio.run(story)


def reformatted(raw: str, draw: st.DataObject) -> str:
    arguments = orjson.loads(raw)
    parts = [f'\n "{name}" :\t{text_of(arguments[name])}' for name in draw.draw(st.permutations(sorted(arguments)))]
    return "{" + ",".join(parts) + " }"


@some
@given(st.lists(library_uses(sensible=True), max_size=6), st.data())
def test_order_and_form_of_arguments_never_change_an_answer(somewhere: Place, calls, data):
    async def story() -> None:
        plain = await played(somewhere, calls)
        assert await played(somewhere, [(name, reformatted(raw, data)) for name, raw in calls]) == plain

    anyio.run(story)


LOANS: ToolUse = ("list_loans", text_of({"member_id": "M-1"}))
MEMBER: ToolUse = ("find_member", text_of({"name": "Ada Novak"}))
HOLD: ToolUse = ("place_hold", text_of({"member_id": "M-1", "title": "Night Ferry"}))
RENEW: ToolUse = ("renew_loan", text_of({"loan_id": "L-1", "new_due": "2031-06-01"}))


@some
@given(st.lists(library_uses(effects=("read",), sensible=True), max_size=5), st.data())
def test_reads_in_between_change_no_answer_of_the_others(somewhere: Place, reads, data):
    calls = [MEMBER, LOANS, RENEW, LOANS, HOLD, MEMBER]

    async def story() -> None:
        plain, digest = await played(somewhere, calls)
        mixed, places = [], []
        for call in calls:
            mixed += data.draw(st.lists(st.sampled_from(reads), max_size=2)) if reads else []
            places.append(len(mixed))
            mixed.append(call)
        told, digest_too = await played(somewhere, mixed)
        assert [told[at] for at in places] == plain
        assert digest_too == digest

    anyio.run(story)


def test_a_write_changes_what_its_readers_say_and_nothing_that_others_say(somewhere: Place):
    async def story() -> None:
        (loans, member, renewed, after, member_too), _ = await played(somewhere, [LOANS, MEMBER, RENEW, LOANS, MEMBER])
        assert orjson.loads(renewed) == {"loan_id": "L-1", "due": "2031-06-01"}
        assert after != loans
        assert member_too == member
        (held, loans_held), _ = await played(somewhere, [HOLD, LOANS])
        assert loans_held == loans, "holds are none of a loan's business"
        assert held

    anyio.run(story)


def test_a_simulated_write_makes_another_state(somewhere: Place):
    async def story() -> None:
        _, untouched = await played(somewhere, [LOANS])
        _, held = await played(somewhere, [HOLD])
        _, held_in_other_words = await played(somewhere, [(HOLD[0], HOLD[1].replace("Night Ferry", "night  FERRY"))])
        assert untouched == LIBRARY.digest != held
        assert held_in_other_words == held

    anyio.run(story)


# ---- processes that are killed


@pytest.fixture(params=LASTING)
def lasting(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with place(request.param, tmp_path) as found:
        yield found


def calls_of(seed: int) -> list[ToolUse]:
    """A long mixed list: reads that repeat, and writes that move the state on."""
    names = [f"{first} {last}" for first in ("Ada", "Adam", "Eve", "Nora") for last in ("Novak", "Roth")]
    calls: list[ToolUse] = []
    for n in range(40):
        k = (n * 7 + seed * 3) % 5
        calls.append(
            [
                ("find_member", text_of({"name": names[(n + seed) % len(names)]})),
                ("list_loans", text_of({"member_id": f"M-{n % 3}"})),
                ("place_hold", text_of({"member_id": "M-1", "title": f"Book {n % 4}"})),
                ("renew_loan", text_of({"loan_id": "L-1", "new_due": f"2031-06-{1 + n % 20:02}"})),
                ("list_loans", text_of({"member_id": "M-1"})),
            ][k]
        )
    return calls


@pytest.mark.parametrize("seed", [0, 1])
def test_what_a_killed_worker_was_told_stays_true(lasting: Place, seed: int):
    calls = calls_of(seed)
    told: list[str] = []
    for kill_after in (3, 11, 25):
        process = worker(lasting.where, calls)
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(kill_after)]
        process.kill()
        lines += process.stdout.readlines()
        process.wait()
        process.stdout.close()
        heard = [orjson.loads(line) for line in lines if line.endswith("\n")]
        assert len(heard) >= kill_after
        assert heard[: len(told)] == told[: len(heard)]
        told = max(told, heard, key=len)
    answers_now, _ = anyio.run(played, lasting, calls, "the last")
    assert answers_now[: len(told)] == told


def test_two_workers_and_an_owner_that_is_killed_between_them(tmp_path: Path):
    calls = calls_of(2)
    file = tmp_path / "map.sqlite"
    with owner(file) as (url, process):
        port = int(url.rpartition(":")[2])
        workers = [worker(url, calls) for _ in range(2)]
        first = [w.stdout.readline() for w in workers if w.stdout]
        process.kill()
        process.wait()
        with owner(file, port):
            rest = [w.stdout.read() for w in workers if w.stdout]
            assert [w.wait(timeout=60) for w in workers] == [0, 0]
            for w in workers:
                w.stdout.close()  # type: ignore[union-attr]
            assert first[0] + rest[0] == first[1] + rest[1]
            answers_now, _ = anyio.run(played, Place("http", url), calls, "the last")
    assert [orjson.loads(line) for line in (first[0] + rest[0]).splitlines()] == answers_now
