"""Every store keeps the same promises: the first writer wins, nothing is lost, order is kept, leases run out."""

import contextlib
import os
import signal
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import astuple, replace
from pathlib import Path

import anyio
import orjson
import pytest
import redis.asyncio

from synthagent.errors import EpisodeFailure, InputError
from synthagent.llm.stub import StubServer
from synthagent.serve.map_owner import MapOwner
from synthagent.simulation.map_store import Entry, MapUnavailable, MemoryStore, as_json, from_json, id_of, merge
from synthagent.storage.maps import open_store
from synthagent.storage.maps.remote import RemoteStore
from synthagent.storage.maps.wire import packed
from tests.maps import KINDS, LASTING, Place, entry, owner, place


@pytest.fixture(params=KINDS)
def somewhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with place(request.param, tmp_path) as found:
        yield found


@pytest.fixture(params=LASTING)
def lasting(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with place(request.param, tmp_path) as found:
        yield found


def other_answer(one: Entry, response: str) -> Entry:
    return replace(one, response=response, entry_id=id_of(one.key, one.ok, response))


async def test_a_store_that_is_there_says_so(somewhere: Place):
    store = somewhere.open()
    await store.ping()
    await store.aclose()


async def test_what_was_put_is_found_whole(somewhere: Place):
    store = somewhere.open()
    one = entry(response='{"née": [1, 2.5, null]}', trail='[["write",{"a":1}]]', ok=False)
    assert await store.get(one.key) is None
    assert await store.put(one) == one
    assert await store.get(one.key) == one
    await store.aclose()


async def test_the_first_writer_wins_and_the_loser_gets_its_bytes(somewhere: Place):
    store = somewhere.open()
    one = entry()
    assert await store.put(one) == one
    assert await store.put(other_answer(one, '"y"')) == one
    assert await store.get(one.key) == one
    assert len(await store.of([one.group])) == 1
    await store.aclose()


async def test_of_many_writers_at_once_one_wins_and_all_hear_of_it(somewhere: Place):
    store = somewhere.open()
    heard: list[Entry] = []

    async def write(number: int) -> None:
        heard.append(await store.put(other_answer(entry(), f'"{number}"')))

    async with anyio.create_task_group() as group:
        for number in range(30):
            group.start_soon(write, number)
    assert len(heard) == 30
    assert len(set(heard)) == 1
    await store.aclose()


async def test_entries_come_in_the_order_in_which_they_were_put(somewhere: Place):
    store = somewhere.open()
    made = [entry(arguments=f'{{"n":{n}}}', state=f"s{n % 2}") for n in range(7)]
    for one in made:
        await store.put(one)
    groups = [made[0].group, made[1].group]
    assert await store.of(groups) == made
    assert await store.of(groups[:1]) == made[::2]
    assert await store.of(["none"]) == []
    dumped = await store.dump(0, 3) + await store.dump(3, 100)
    assert [number for number, _, _ in dumped] == list(range(1, 8))
    assert [one for _, one, _ in dumped] == made
    assert await store.dump(7, 10) == []
    await store.aclose()


async def test_hits_add_up_and_sizes_leave_aliases_out(somewhere: Place):
    store = somewhere.open()
    one = entry()
    await store.put(one)
    await store.put(entry(arguments='{"n":1}', alias_of=one.entry_id))
    await store.count({one.key: 2})
    await store.count({one.key: 3})
    assert [hits for _, _, hits in await store.dump(0, 10)] == [5, 0]
    assert await store.sizes(["world", "another"]) == {"world": 1, "another": 0}
    assert await store.sizes([]) == {}
    await store.aclose()


async def test_a_lease_keeps_others_out_until_it_is_given_back_or_runs_out(somewhere: Place):
    store = somewhere.open()
    assert await store.lease("g", "one", 60)
    assert await store.lease("g", "one", 60)
    assert not await store.lease("g", "two", 60)
    assert await store.lease("h", "two", 60)
    await store.release("g", "two")
    assert not await store.lease("g", "two", 60)
    await store.release("g", "one")
    assert await store.lease("g", "two", 0.1)
    await anyio.sleep(0.2)
    assert await store.lease("g", "one", 60)
    await store.aclose()


async def test_what_a_store_holds_is_there_when_it_is_opened_again(lasting: Place):
    store = lasting.open()
    made = [entry(arguments=f'{{"n":{n}}}') for n in range(3)]
    for one in made:
        await store.put(one)
    await store.aclose()
    again = lasting.open()
    assert await again.of([made[0].group]) == made
    await again.aclose()
    await again.aclose()


async def test_a_map_can_be_exported_and_merged_and_conflicts_are_told(somewhere: Place, tmp_path: Path):
    store = somewhere.open()
    one, two, new = entry(), entry(arguments='{"n":1}'), entry(arguments='{"n":2}')
    await store.put(one)
    await store.put(two)
    lines = [orjson.loads(orjson.dumps(as_json(e, hits))) for e, hits in
             ((one, 1), (other_answer(two, '"else"'), 0), (new, 4))]  # fmt: skip
    merged = await merge(store, [from_json(line) for line in lines])
    assert (merged.added, merged.same, len(merged.conflicts)) == (1, 1, 1)
    assert '"x" is kept, "else" is not' in merged.conflicts[0]
    assert await store.get(two.key) == two
    assert [(e, hits) for _, e, hits in await store.dump(0, 10)][-1] == (new, 4)
    await store.aclose()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"response": '"forged"'}, "changed by hand"),
        ({"key": "0" * 32}, "changed by hand"),
        ({"ok": "yes"}, "ok: of the wrong type"),
        ({"made": True}, "made: of the wrong type"),
        ({"tool": None}, "tool: missing"),
        ({"alias_of": 5}, "alias_of"),
    ],
)
def test_a_line_that_was_changed_by_hand_is_refused(change: dict[str, object], why: str):
    with pytest.raises(ValueError, match=why):
        from_json({**as_json(entry()), **change})
    with pytest.raises(ValueError, match="not an object"):
        from_json([])


def test_a_response_that_is_not_json_is_refused():
    with pytest.raises(ValueError, match="response: not JSON"):
        from_json(as_json(entry(response="no json")))
    with pytest.raises(ValueError, match="arguments: not an object"):
        from_json(as_json(entry(arguments="[]")))


def nested(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"arguments": nested(65)}, "arguments: nested deeper than 64 levels"),
        ({"trail": f'[["write",{nested(65)}]]'}, "trail: nested deeper than 64 levels"),
        ({"arguments": nested(2000)}, "arguments: not JSON"),
        ({"trail": "{}"}, "trail: not a list of calls"),
        ({"trail": '[["write"]]'}, "trail: not a list of calls"),
        ({"trail": '[["write", []]]'}, "trail: not a list of calls"),
    ],
)
def test_calls_that_nobody_can_have_made_are_refused(change: dict[str, str], why: str):
    with pytest.raises(ValueError, match=why):
        from_json(as_json(entry(**change)))
    assert from_json(as_json(entry(arguments=nested(64), trail=f'[["write",{nested(64)}]]')))


@pytest.mark.parametrize("hits", [2**53, 2**70, -1, 1.5, "5", True])
def test_hits_that_cannot_be_counted_are_refused(hits: object):
    with pytest.raises(ValueError, match="hits: not a whole number"):
        from_json({**as_json(entry()), "hits": hits})
    assert from_json(as_json(entry(), 2**53 - 1))[1] == 2**53 - 1


# ---- what lies in a store and is not what was put there

ANOTHER = entry(arguments='{"n":1}')
DAMAGES = {
    "another call's answer": packed(ANOTHER),
    "another answer": packed(replace(entry(), response='"forged"')),
    "no JSON as an answer": packed(other_answer(entry(), "no json")),
    "no JSON as a trail": packed(entry(trail="-")),
    "a wrong type": [*astuple(entry())[:-1], "yesterday"],
    "half an entry": ["k"],
    "no entry": None,
}


async def tamper(where: str, body: bytes) -> None:
    """Writes into a store what no `put` would."""
    if where.startswith("redis"):
        client = redis.asyncio.from_url(where)
        (key,) = [key async for key in client.scan_iter("*:entry:*")]
        await client.set(key, body)
        await client.aclose()
        return
    with contextlib.closing(sqlite3.connect(where)) as db, db:
        assert db.execute("UPDATE entries SET body = ?", (body,)).rowcount == 1


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", ["sqlite", "redis"])
async def test_what_is_damaged_is_nobodys_answer(kind: str, damage: str, tmp_path: Path):
    with place(kind, tmp_path) as found:
        store = found.open()
        await store.put(entry())
        await store.aclose()
        await tamper(found.where, orjson.dumps(DAMAGES[damage]))
        store = found.open()
        for look in (store.get(entry().key), store.of([entry().group]), store.put(entry()), store.dump(0, 9)):
            with pytest.raises(EpisodeFailure, match="cannot be used") as caught:
                await look
            assert caught.value.reason == "map_damaged"
        await store.aclose()


async def test_an_owner_tells_what_is_damaged_and_serves_the_rest(tmp_path: Path):
    file = tmp_path / "map.sqlite"
    store = open_store(str(file))
    await store.put(entry())
    await store.aclose()
    await tamper(str(file), orjson.dumps(DAMAGES["another answer"]))
    with owner(file) as (url, _):
        remote = RemoteStore(url)
        with pytest.raises(EpisodeFailure, match="changed by hand") as caught:
            await remote.get(entry().key)
        assert caught.value.reason == "map_damaged"
        assert await remote.put(ANOTHER) == ANOTHER
        await remote.aclose()


class Liar(MemoryStore):
    """A store that gives the same entry whatever it is asked for."""

    async def get(self, key: str) -> Entry | None:
        return entry()

    async def put(self, entry: Entry) -> Entry:
        return replace(entry, response='"forged"')

    async def of(self, groups: Sequence[str]) -> list[Entry]:
        return [entry()]


async def test_an_owner_that_answers_another_question_is_not_believed():
    async with MapOwner(Liar()) as url:
        store = RemoteStore(url)
        for look in (store.get(ANOTHER.key), store.put(ANOTHER), store.of(["another"])):
            with pytest.raises(EpisodeFailure) as caught:
                await look
            assert caught.value.reason == "map_damaged"
        await store.aclose()


# ---- one owner


async def test_a_file_has_one_owner_and_the_message_says_how_to_share_it(tmp_path: Path):
    store = open_store(str(tmp_path / "map.sqlite"))
    with pytest.raises(MapUnavailable, match="synthagent serve map"):
        open_store(str(tmp_path / "map.sqlite"))
    await store.aclose()


async def test_another_programs_file_is_left_alone(tmp_path: Path):
    for content, why in ((b"not a database at all, but long enough to be one" * 50, "no file of entries"),):
        file = tmp_path / "other.sqlite"
        file.write_bytes(content)
        with pytest.raises(InputError, match=why):
            open_store(str(file))
        assert file.read_bytes() == content


def test_a_word_that_is_no_store_is_refused():
    with pytest.raises(InputError, match="no place for a response map"):
        open_store("ftp://somewhere")


def test_a_killed_owner_loses_nothing_that_was_answered_and_workers_wait_for_the_next(tmp_path: Path):
    file = tmp_path / "map.sqlite"

    async def story() -> None:
        with owner(file) as (url, process):
            port = int(url.rpartition(":")[2])
            store = RemoteStore(url)
            made = [await store.put(entry(arguments=f'{{"n":{n}}}')) for n in range(50)]
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            found: list[Entry] = []
            answered = anyio.Event()

            async def ask() -> None:
                found.extend(await store.of([made[0].group]))
                answered.set()

            async with anyio.create_task_group() as group:
                group.start_soon(ask)
                await anyio.sleep(0.2)
                assert not found
                with owner(file, port), anyio.fail_after(20):
                    await answered.wait()
            assert found == made
            await store.aclose()

    anyio.run(story)


async def test_an_owner_that_stays_away_is_an_infrastructure_failure_in_the_end():
    store = RemoteStore("http://127.0.0.1:9", patience=0.2)
    begun = time.monotonic()
    with pytest.raises(EpisodeFailure, match=r"127\.0\.0\.1:9") as caught:
        await store.get("k")
    assert caught.value.reason == "map_unavailable"
    assert time.monotonic() - begun < 5
    await store.aclose()


@pytest.mark.parametrize("where", ["http://127.0.0.1:9", "redis://127.0.0.1:9/0"])
async def test_whether_a_store_is_there_is_known_soon(where: str):
    store = open_store(where)
    with pytest.raises(EpisodeFailure) as caught, anyio.fail_after(10):
        await store.ping()
    assert caught.value.reason == "map_unavailable"
    await store.aclose()


async def test_whoever_else_answers_is_no_map():
    async with StubServer(lambda _: "Good morning!") as url:
        store = open_store(url)
        with pytest.raises(InputError, match="is it `synthagent serve map`"):
            await store.ping()
        await store.aclose()


async def test_a_file_that_cannot_be_used_any_more_is_told(tmp_path: Path):
    store = open_store(str(tmp_path / "map.sqlite"))
    await store.aclose()
    key = entry().key
    for use in (store.ping(), store.get(key), store.put(entry()), store.of(["g"]), store.count({key: 1}),
                store.sizes(["world"]), store.dump(0, 1)):  # fmt: skip
        with pytest.raises(MapUnavailable, match=r"map\.sqlite: cannot be used"):
            await use


async def test_a_redis_that_is_not_there_is_an_infrastructure_failure():
    store = open_store("redis://127.0.0.1:9/0")
    with pytest.raises(EpisodeFailure, match=r"127\.0\.0\.1:9") as caught:
        await store.get("k")
    assert caught.value.reason == "map_unavailable"
    await store.aclose()
