"""The owner of a map over HTTP: who may talk to it, what it takes, and that one worker's mistake is nobody else's."""

import io
from dataclasses import replace
from pathlib import Path

import aiohttp
import orjson
import pytest

from synthagent.errors import InputError
from synthagent.serve.access import checked_host, refusal
from synthagent.serve.map_owner import MapOwner
from synthagent.simulation.map_store import MemoryStore
from synthagent.storage.maps.remote import RemoteStore
from synthagent.storage.maps.sqlite import SqliteStore
from synthagent.storage.maps.wire import MOST_OPERATIONS, packed
from tests.maps import entry


async def posted(url: str, data: bytes | io.BytesIO, **headers: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.post(f"{url}/map", data=data, headers=headers) as response:
        return response.status, await response.text()


async def test_it_does_a_list_of_operations_in_order():
    async with MapOwner(MemoryStore()) as url:
        one = entry()
        operations = [["get", one.key], ["put", packed(one)], ["get", one.key], ["lease", "g", "w", 5]]
        status, text = await posted(url, orjson.dumps(operations))
        assert status == 200
        assert orjson.loads(text) == [None, packed(one), packed(one), True]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[[]]",
        b'[["drop"]]',
        b'[["get"]]',
        b'[["put", [1]]]',
        b'[["put", ["k","i",null,"w","s","t","a","yes","r","[]","","","",0]]]',
        orjson.dumps([["put", packed(replace(entry(), response='"forged"'))]]),
        orjson.dumps([["put", packed(replace(entry(), key="k"))]]),
        b'[["lease", "g", "w", "soon"]]',
        b'[["dump", null, null]]',
        b'[["of", 5]]',
        b'[[["a"]]]',
        b'[["count", {"k": 18446744073709551615}]]',
        orjson.dumps([["get", "k"]] * (MOST_OPERATIONS + 1)),
    ],
)
async def test_what_is_no_operation_is_refused_and_changes_nothing(body: bytes, tmp_path: Path):
    store = SqliteStore.open(tmp_path / "map.sqlite")
    async with MapOwner(store) as url:
        status, _ = await posted(url, body)
        assert status == 400
        assert (await posted(url, b'[["dump", 0, 10]]'))[1] == "[[]]"
    await store.aclose()


async def test_one_workers_mistake_does_not_undo_anothers_entry(tmp_path: Path):
    store = SqliteStore.open(tmp_path / "map.sqlite")
    async with MapOwner(store) as url, aiohttp.ClientSession() as session:
        one = entry()
        wrong = session.post(f"{url}/map", data=b'[["drop"]]')
        right = session.post(f"{url}/map", data=orjson.dumps([["put", packed(one)]]))
        async with wrong as refused, right as taken:
            assert (refused.status, taken.status) == (400, 200)
        assert await store.get(one.key) == one
    await store.aclose()


async def test_a_request_that_is_too_large_is_refused():
    async with MapOwner(MemoryStore()) as url:
        assert (await posted(url, io.BytesIO(b" " * (17 * 1024 * 1024))))[0] == 413


async def test_other_paths_and_methods_are_not_there():
    async with MapOwner(MemoryStore()) as url, aiohttp.ClientSession() as session:
        async with session.get(f"{url}/map") as response:
            assert response.status == 404
        async with session.get(f"{url}/health") as response:
            assert (response.status, await response.text()) == (200, "ok")


async def test_web_pages_and_other_names_of_this_machine_are_turned_away():
    async with MapOwner(MemoryStore()) as url:
        assert (await posted(url, b"[]", Origin="https://evil.example"))[0] == 403
        assert (await posted(url, b"[]", Host="evil.example"))[0] == 403
        assert (await posted(url, b"[]", Host="localhost:80"))[0] == 200


async def test_with_a_token_only_who_has_it_gets_in():
    async with MapOwner(MemoryStore(), token="secret") as url:
        assert (await posted(url, b"[]"))[0] == 403
        assert (await posted(url, b"[]", Authorization="Bearer secre"))[0] == 403
        assert (await posted(url, b"[]", Authorization="Bearer secret"))[0] == 200
        refused = RemoteStore(url)
        with pytest.raises(InputError, match="SYNTHAGENT_TOKEN"):
            await refused.get("k")
        await refused.aclose()
        let_in = RemoteStore(url, "secret")
        assert await let_in.get("k") is None
        await let_in.aclose()


def test_beyond_loopback_a_token_must_be_set():
    with pytest.raises(InputError, match="SYNTHAGENT_TOKEN"):
        checked_host("0.0.0.0", None)
    assert checked_host("0.0.0.0", "secret") == "0.0.0.0"
    for name in ("127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"):
        assert checked_host(name, None) == name


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:1", "[::1]:80", "[::1]"])
def test_loopback_has_many_names(host: str):
    assert refusal({"Host": host}, None) is None


@pytest.mark.parametrize("host", ["", "example.com", "127.0.0.1.example.com", "localhost.evil:80", "10.0.0.1:80"])
def test_other_hosts_are_refused(host: str):
    assert refusal({"Host": host}, None) is not None
