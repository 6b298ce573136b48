"""The response map: what is a hit, what costs a model call, who decides, and what a failure is."""

import time
from collections.abc import Sequence

import anyio
import orjson
import pytest

from synthagent.errors import Blame, EpisodeFailure, InputError, ToolFailed
from synthagent.simulation.calling import called
from synthagent.simulation.episode import prepare
from synthagent.simulation.map_store import Entry, MapUnavailable, MemoryStore
from synthagent.simulation.response_map import ResponseMap, Simulation
from synthagent.simulation.simulated import SimulatedCall
from tests.builders import text_of
from tests.maps import Telling, answers, hybrid, undeclared

LIBRARY = prepare(hybrid()).blueprint
UNDECLARED = prepare(undeclared()).blueprint
ADA = ("find_member", text_of({"name": "Ada Novak"}))
LOANS = ("list_loans", text_of({"member_id": "M-1"}))
HOLD = ("place_hold", text_of({"member_id": "M-1", "title": "Night Ferry"}))
RENEW = ("renew_loan", text_of({"loan_id": "L-1", "new_due": "2031-06-01"}))
MEMBERS = [{"member_id": "M-1", "branch": "Quay"}]


def name(text: str) -> tuple[str, str]:
    return "find_member", text_of({"name": text})


async def told(tools: ResponseMap, *calls: tuple[str, str], blueprint=LIBRARY) -> list[str]:
    with blueprint.open() as world:
        return await answers(world, tools, calls)


async def test_the_same_call_is_answered_once():
    telling = Telling(MEMBERS)
    tools = ResponseMap(MemoryStore(), telling)
    assert await told(tools, ADA, ADA) == [orjson.dumps(MEMBERS).decode()] * 2
    assert await told(tools, ADA) == [orjson.dumps(MEMBERS).decode()]
    assert len(telling.asked) == 1
    assert (tools.figures.hits, tools.figures.misses, tools.figures.calls) == (2, 1, 1)


async def test_case_and_spaces_are_no_other_call_and_cost_no_model_call():
    telling = Telling(MEMBERS)
    store = MemoryStore()
    tools = ResponseMap(store, telling)
    first, second = await told(tools, ADA, name("  ada   NOVAK"))
    assert first == second
    assert len(telling.asked) == 1
    (_, own, _), (_, alias, _) = await store.dump(0, 10)
    assert (alias.alias_of, alias.model) == (own.entry_id, "code")


async def test_a_model_may_say_that_a_call_is_another_in_other_words_and_that_stays():
    telling = Telling(MEMBERS, 1, [])
    store = MemoryStore()
    tools = ResponseMap(store, telling)
    first, second, again = await told(tools, ADA, name("Novak, Ada"), name("Novak, Ada"))
    assert first == second == again
    assert len(telling.asked) == 2
    assert tools.figures.aliases == 1
    entries = [entry for _, entry, _ in await store.dump(0, 10)]
    assert entries[1].alias_of == entries[0].entry_id
    assert entries[1].entry_id != entries[0].entry_id


async def test_an_alias_of_an_alias_points_to_the_first_answer():
    store = MemoryStore()
    tools = ResponseMap(store, Telling(MEMBERS, 1, 2))
    await told(tools, ADA, name("Novak, Ada"), name("Ms Ada Novak"))
    entries = [entry for _, entry, _ in await store.dump(0, 10)]
    assert [entry.alias_of for entry in entries] == [None, entries[0].entry_id, entries[0].entry_id]


async def test_a_miss_shows_the_tools_entries_of_this_state_and_of_those_before_it():
    telling = Telling()
    tools = ResponseMap(MemoryStore(), telling)
    await told(tools, LOANS, ADA, RENEW, LOANS)
    call, known = telling.asked[-1]
    assert [entry.tool for entry in known] == ["list_loans"]
    assert [(deed.tool, dict(deed.arguments)) for deed in call.deeds] == [("renew_loan", orjson.loads(RENEW[1]))]
    assert [moment.deeds for moment in call.moments] == [0, 1]
    assert known[0].state == call.moments[0].state != call.state
    assert call.rows["loans"][0]["due"] == "2031-06-01"
    assert set(call.rows) == {"loans", "members"}


async def test_unchanged_takes_over_the_earlier_answer():
    telling = Telling("before", 1)
    tools = ResponseMap(MemoryStore(), telling)
    before, _, after = await told(tools, LOANS, RENEW, LOANS)
    assert before == after == '"before"'
    assert len(telling.asked) == 2


async def test_a_write_that_is_none_of_a_tools_business_leaves_its_entries_valid():
    telling = Telling("loans", "held")
    tools = ResponseMap(MemoryStore(), telling)
    assert (await told(tools, LOANS, HOLD, LOANS))[::2] == ['"loans"', '"loans"']
    assert len(telling.asked) == 2


async def test_where_nobody_declared_what_is_read_every_write_asks_anew():
    telling = Telling("loans", "held", 1)
    tools = ResponseMap(MemoryStore(), telling)
    assert (await told(tools, LOANS, HOLD, LOANS, blueprint=UNDECLARED))[2] == '"loans"'
    assert len(telling.asked) == 3
    call, known = telling.asked[-1]
    assert [deed.tool for deed in call.deeds] == ["place_hold"]
    assert [entry.response for entry in known] == ['"loans"']


async def test_two_ways_of_writing_the_same_lead_to_one_state():
    telling = Telling("held", "loans", 1)
    tools = ResponseMap(MemoryStore(), telling)
    other = ("place_hold", text_of({"member_id": "M-1", "title": "The Night Ferry"}))
    one = await told(tools, HOLD, LOANS, blueprint=UNDECLARED)
    two = await told(tools, other, LOANS, blueprint=UNDECLARED)
    assert one == two
    assert len(telling.asked) == 3, "the second look at the loans is a hit"


async def test_a_failed_write_changes_nothing():
    failed = Simulation(None, False, '{"error":{"type":"precondition","message":"no such member"}}')
    tools = ResponseMap(MemoryStore(), Telling(failed))
    with UNDECLARED.open() as world:
        result, answer = await called(world, tools, *HOLD)
        assert (result.ok, result.error, result.changed) == (False, "precondition", False)
        assert answer is not None
        assert world.final().digest == UNDECLARED.digest


async def test_null_and_absence_are_one_call():
    telling = Telling("held")
    tools = ResponseMap(MemoryStore(), telling)
    held = {"member_id": "M-1", "title": "Night Ferry"}
    await told(tools, ("place_hold", text_of(held)))
    # Arguments that the schema refuses are answered by code.
    (refused,) = await told(tools, ("place_hold", text_of({**held, "note": None})))
    assert "bad_arguments" in refused
    assert len(telling.asked) == 1


async def test_bad_arguments_and_unknown_tools_never_reach_the_simulator():
    telling = Telling()
    tools = ResponseMap(MemoryStore(), telling)
    for call in (("find_member", "{"), ("find_member", "{}"), ("find_member", '{"name": 5}'), ("find", "{}")):
        assert "error" in (await told(tools, call))[0]
    assert not telling.asked


# ---- many at once


async def test_of_many_who_miss_the_same_call_at_once_one_asks_the_model():
    telling = Telling(delay=0.02)
    tools = ResponseMap(MemoryStore(), telling)
    heard: list[str] = []

    async def ask() -> None:
        heard.extend(await told(tools, ADA))

    async with anyio.create_task_group() as group:
        for _ in range(64):
            group.start_soon(ask)
    assert len(telling.asked) == 1
    assert len(set(heard)) == 1


async def test_misses_of_one_tool_in_one_state_wait_for_each_other_and_see_each_other():
    telling = Telling("one", 1, delay=0.01)
    tools = ResponseMap(MemoryStore(), telling)
    async with anyio.create_task_group() as group:
        group.start_soon(told, tools, ADA)
        group.start_soon(told, tools, name("Novak, Ada"))
    assert [len(known) for _, known in telling.asked] == [0, 1]


async def test_misses_of_other_tools_do_not_wait():
    telling = Telling(delay=0.2)
    tools = ResponseMap(MemoryStore(), telling)
    begun = time.monotonic()
    async with anyio.create_task_group() as group:
        group.start_soon(told, tools, ADA)
        group.start_soon(told, tools, LOANS)
    assert time.monotonic() - begun < 0.38


async def test_two_workers_with_one_store_ask_the_model_once():
    store, telling = MemoryStore(), Telling(delay=0.05)
    workers = [ResponseMap(store, telling, who=f"worker {n}") for n in range(4)]
    heard: list[str] = []

    async def ask(tools: ResponseMap) -> None:
        heard.extend(await told(tools, ADA))

    async with anyio.create_task_group() as group:
        for worker in workers:
            group.start_soon(ask, worker)
    assert len(telling.asked) == 1
    assert len(heard) == 4
    assert len(set(heard)) == 1


async def test_the_lease_of_a_worker_that_died_runs_out():
    store, telling = MemoryStore(), Telling("mine")
    tools = ResponseMap(store, telling, who="living")
    with LIBRARY.open() as world:
        call = world.begin(*ADA)
    assert isinstance(call, SimulatedCall)
    group = f"{call.world_id}/{call.state}/find_member"
    assert await store.lease(group, "dead", 0.3)
    begun = time.monotonic()
    with anyio.fail_after(5):
        assert await told(tools, ADA) == ['"mine"']
    assert time.monotonic() - begun >= 0.25
    assert await store.lease(group, "anybody", 1), "it was given back"


async def test_a_slow_worker_keeps_its_lease():
    store, slow, quick = MemoryStore(), Telling("slow", delay=0.5), Telling("quick")
    heard: list[str] = []

    async def ask(tools: ResponseMap, wait: float) -> None:
        await anyio.sleep(wait)
        heard.extend(await told(tools, ADA))

    async with anyio.create_task_group() as group:
        group.start_soon(ask, ResponseMap(store, slow, who="slow", lease=0.15), 0)
        group.start_soon(ask, ResponseMap(store, quick, who="quick", lease=0.15), 0.05)
    assert heard == ['"slow"', '"slow"']
    assert not quick.asked


class Stalled:
    """A simulator whose process stands still for so long that its lease runs out, and another worker goes on."""

    name, prompt = "stalled", "none"

    def __init__(self, other: ResponseMap, *meanwhile: tuple[str, str]):
        self.asked: list[list[str]] = []
        self._other, self._meanwhile = other, meanwhile

    async def simulate(self, call: SimulatedCall, known: Sequence[Entry], draw: int = 0) -> Simulation:
        self.asked.append([entry.response for entry in known])
        if len(self.asked) == 1:
            self._stand_still()
            await told(self._other, *self._meanwhile)
        return Simulation(known[0] if known else None, True, '"mine"')

    def _stand_still(self) -> None:
        time.sleep(0.2)


@pytest.mark.parametrize(
    ("meanwhile", "asked", "answer"),
    [
        ((name("Novak, Ada"),), [[], ['"theirs"']], '"theirs"'),
        ((ADA,), [[]], '"theirs"'),
        ((LOANS,), [[]], '"mine"'),
    ],
)
async def test_who_lost_its_lease_looks_again_before_it_decides(meanwhile, asked: list[list[str]], answer: str):
    store = MemoryStore()
    stalled = Stalled(ResponseMap(store, Telling("theirs"), who="other", lease=60), *meanwhile)
    tools = ResponseMap(store, stalled, who="stalled", lease=0.1)
    with anyio.fail_after(5):
        assert await told(tools, ADA) == [answer]
    assert stalled.asked == asked
    assert len({entry.root for _, entry, _ in await store.dump(0, 10) if entry.tool == "find_member"}) == 1
    assert tools.figures.misses == 1


class Far(MemoryStore):
    """A store that gives leases at once, and tells of it late."""

    async def lease(self, name: str, holder: str, seconds: float) -> bool:
        given = await super().lease(name, holder, seconds)
        await anyio.sleep(0.2)
        return given


async def test_who_is_cancelled_while_it_asks_for_a_lease_leaves_none_behind():
    store = Far()
    with anyio.move_on_after(0.05) as scope:
        await told(ResponseMap(store, Telling("never"), who="one"), ADA)
    assert scope.cancelled_caught
    with anyio.fail_after(5):
        assert await told(ResponseMap(store, Telling("mine"), who="two"), ADA) == ['"mine"']


class Meanwhile:
    """A simulator that is overtaken: while it thinks, somebody else puts an entry under the same key."""

    name, prompt = "meanwhile", "none"

    def __init__(self, store: MemoryStore):
        self._store = store

    async def simulate(self, call: SimulatedCall, known: Sequence[Entry], draw: int = 0) -> Simulation:
        await told(ResponseMap(Other(self._store), Telling("first")), ADA)
        return Simulation(None, True, '"second"')


class Other(MemoryStore):
    """Another worker's view of a store, whose lease on the group was lost."""

    def __init__(self, inner: MemoryStore):
        super().__init__()
        self._inner = inner

    async def get(self, key: str) -> Entry | None:
        return await self._inner.get(key)

    async def put(self, entry: Entry) -> Entry:
        return await self._inner.put(entry)


async def test_whoever_is_overtaken_gets_the_winners_bytes():
    store = MemoryStore()
    assert await told(ResponseMap(store, Meanwhile(store)), ADA) == ['"first"']


# ---- modes


async def test_the_papers_map_ignores_the_state():
    telling = Telling("loans")
    tools = ResponseMap(MemoryStore(), telling, "paper")
    assert (await told(tools, LOANS, RENEW, LOANS))[::2] == ['"loans"', '"loans"']
    assert len(telling.asked) == 1


async def test_without_a_map_every_call_is_made_up_anew():
    telling = Telling()
    tools = ResponseMap(MemoryStore(), telling, "none")
    one, two = await told(tools, ADA, ADA)
    assert one != two
    assert all(known == [] for _, known in telling.asked)


async def test_a_frozen_map_answers_what_it_knows_and_fails_at_all_else():
    store = MemoryStore()
    await told(ResponseMap(store, Telling("known")), ADA)
    frozen = ResponseMap(store, None, "frozen")
    assert await told(frozen, ADA) == ['"known"']
    with pytest.raises(ToolFailed, match="not in the response map") as caught:
        await told(frozen, name("Eve"))
    assert caught.value.reason == "map_miss"
    with pytest.raises(ValueError, match="needs somebody"):
        ResponseMap(store, None)


async def test_modes_do_not_share_entries():
    store = MemoryStore()
    await told(ResponseMap(store, Telling("with state")), ADA)
    assert await told(ResponseMap(store, Telling("without"), "paper"), ADA) == ['"without"']


# ---- failures


async def test_a_failed_simulator_is_a_failure_and_leaves_no_entry_and_no_lease():
    store, telling = MemoryStore(), Telling(ToolFailed("no answer", reason="model:timeout"), "later")
    tools = ResponseMap(store, telling)
    with pytest.raises(ToolFailed, match="no answer"):
        await told(tools, ADA)
    assert await store.dump(0, 10) == []
    assert await told(tools, ADA) == ['"later"']


class Full(MemoryStore):
    """A store that takes no entry, or gives none."""

    def __init__(self, error: Exception, *, gives: bool):
        super().__init__()
        self._error, self._gives = error, gives

    async def get(self, key: str) -> Entry | None:
        if not self._gives:
            raise self._error
        return await super().get(key)

    async def put(self, entry: Entry) -> Entry:
        raise self._error


@pytest.mark.parametrize("gives", [True, False])
@pytest.mark.parametrize("error", [MapUnavailable("disk full"), InputError("HTTP 403"), OSError("gone")])
async def test_a_store_that_refuses_or_is_full_is_a_failure_of_infrastructure(error: Exception, gives: bool):
    tools = ResponseMap(Full(error, gives=gives), Telling("mine"))
    with pytest.raises(EpisodeFailure, match=str(error)) as caught:
        await told(tools, ADA)
    assert (caught.value.blame, caught.value.reason) == (Blame.INFRASTRUCTURE, "map_unavailable")


async def test_what_is_wrong_with_a_simulator_is_no_fault_of_the_store():
    tools = ResponseMap(MemoryStore(), Telling(InputError("no such model")))
    with pytest.raises(InputError, match="no such model"):
        await told(tools, ADA)


async def test_provenance_and_hits_are_kept_with_the_entry():
    store = MemoryStore()
    tools = ResponseMap(store, Telling("loans"), who="host/1/a", now=lambda: 1234.5)
    await told(tools, RENEW, LOANS, LOANS, LOANS)
    await tools.flush()
    await tools.flush()
    ((_, entry, hits),) = await store.dump(0, 10)
    assert (entry.who, entry.model, entry.prompt, entry.made, hits) == ("host/1/a", "telling", "none", 1234.5, 2)
    assert orjson.loads(entry.trail) == [["renew_loan", orjson.loads(RENEW[1])]]
