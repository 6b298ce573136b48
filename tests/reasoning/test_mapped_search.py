"""A search behind a map: one query reaches the network once, whoever asks, today and after a restart."""

import anyio
import pytest

from synthagent.errors import EpisodeFailure, InputError, ToolFailed
from synthagent.llm.retrying import Backoff, Tries
from synthagent.llm.stub import Misbehave
from synthagent.reasoning.mapped_search import mapped_search, world_of
from synthagent.reasoning.providers import SERPER
from synthagent.reasoning.search import Hit, SearchSettings, render
from synthagent.reasoning.search_stub import SearchStub
from synthagent.reasoning.web_search import WebSearch
from synthagent.simulation.map_store import MapUnavailable, MemoryStore, as_json, from_json
from synthagent.storage.maps import open_store

COUNT = iter(range(10**9))


def fickle(query: str) -> list[Hit]:
    """A provider that never says the same twice."""
    return [Hit(f"{query} {next(COUNT)}", "http://example.org/", "")]


def serper(url: str, **settings) -> WebSearch:
    return WebSearch(SERPER, SearchSettings(**settings), "a-key", url=url, tries=Tries(Backoff(attempts=1)))


async def test_one_query_is_asked_once_however_it_is_written():
    stub = SearchStub("serper", fickle)
    async with stub as url:
        search = mapped_search(serper(url), MemoryStore())
        first = await search.search("Night ferries")
        for again in ("Night ferries", "  night   FERRIES ", "NIGHT\tferries\0"):
            assert await search.search(again) == first
        assert await search.search("day ferries") != first
        await search.aclose()
    assert [seen.body["q"] for seen in stub.seen] == ["Night ferries", "day ferries"]
    assert (search.figures.hits, search.figures.calls) == (3, 2)


async def test_many_rollouts_that_ask_at_once_ask_once_and_other_queries_do_not_wait():
    running = peak = 0

    async def slow(query):
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await anyio.sleep(0.05)
        running -= 1
        return fickle(query)

    stub, heard = SearchStub("serper", slow), set()
    async with stub as url:
        search = mapped_search(serper(url), MemoryStore())

        async def ask(query):
            heard.add(render(await search.search(query)))

        async with anyio.create_task_group() as group:
            for n in range(40):
                group.start_soon(ask, f"query {n % 4}")
        await search.aclose()
    assert (len(stub.seen), len(heard)) == (4, 4)
    assert peak == 4


async def test_two_workers_that_share_a_store_hear_the_same():
    store = MemoryStore()
    stub, heard = SearchStub("serper", fickle), []
    async with stub as url:
        workers = [mapped_search(serper(url), store) for _ in range(5)]

        async def ask(worker):
            heard.append(await worker.found("ferries"))

        async with anyio.create_task_group() as group:
            for worker in workers:
                group.start_soon(ask, worker)
        for worker in workers:
            await worker.aclose()
    assert len(stub.seen) == 1
    assert len({(found.hits, found.entry_id) for found in heard}) == 1


async def test_after_a_restart_nothing_is_asked_again_and_a_frozen_map_asks_nobody(tmp_path):
    stub = SearchStub("serper", fickle)
    async with stub as url:
        store = open_store(str(tmp_path / "map.sqlite"))
        search = mapped_search(serper(url), store)
        first = await search.found("ferries")
        await search.aclose()
        await store.aclose()
        store = open_store(str(tmp_path / "map.sqlite"))
        again = mapped_search(serper(url), store)
        assert await again.found("Ferries") == first
        await again.aclose()
    frozen = mapped_search(serper("http://127.0.0.1:9"), store, "frozen")
    assert await frozen.found("ferries") == first
    with pytest.raises(ToolFailed, match="frozen"):
        await frozen.search("tides")
    await frozen.aclose()
    await store.aclose()
    assert len(stub.seen) == 1


async def test_what_is_kept_can_be_exported_as_any_entry_of_a_map():
    store = MemoryStore()
    async with SearchStub("serper", fickle) as url:
        search = mapped_search(serper(url), store)
        found = await search.found('quotes " and \\ and 雪')
        await search.aclose()
    [(_, entry, hits)] = await store.dump(0, 10)
    assert from_json(as_json(entry, hits)) == (entry, 0)
    assert (entry.entry_id, entry.tool, entry.model) == (found.entry_id, "search", "serper")


async def test_other_settings_and_other_backends_have_entries_of_their_own():
    store, stub = MemoryStore(), SearchStub("serper", fickle)
    async with stub as url:
        for settings in ({}, {"top": 3}, {"country": "de"}):
            search = mapped_search(serper(url, **settings), store)
            await search.search("ferries")
            await search.aclose()
    assert len(stub.seen) == 3
    assert world_of("serper", SearchSettings()) != world_of("tavily", SearchSettings())


async def test_a_failure_is_nobodys_answer_and_leaves_nothing_behind():
    served = iter([Misbehave(500), Misbehave(403), [Hit("Found", "http://a/", "")]])
    store = MemoryStore()
    async with SearchStub("serper", lambda _: next(served)) as url:
        search = mapped_search(serper(url), store)
        with pytest.raises(EpisodeFailure):
            await search.search("ferries")
        with pytest.raises(InputError, match="SERPER_API_KEY"):
            await search.search("ferries")
        assert await store.dump(0, 10) == []
        assert [hit.title for hit in await search.search("ferries")] == ["Found"]
        await search.aclose()


async def test_an_empty_query_is_in_no_map():
    store = MemoryStore()
    search = mapped_search(serper("http://127.0.0.1:9"), store)
    assert await search.search(" \0 ") == ()
    assert await store.dump(0, 10) == []
    await search.aclose()


async def test_a_store_that_is_away_is_infrastructure():
    class Away(MemoryStore):
        async def get(self, key):
            raise MapUnavailable("gone")

    search = mapped_search(serper("http://127.0.0.1:9"), Away())
    with pytest.raises(EpisodeFailure) as caught:
        await search.search("ferries")
    assert caught.value.reason == "map_unavailable"
    await search.aclose()
