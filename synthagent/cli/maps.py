"""map export, map import, serve map: response maps on the move."""

import contextlib
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import anyio
import orjson

from synthagent.cli.console import print_json, say
from synthagent.cli.simulators import all_entries, there
from synthagent.errors import InputError
from synthagent.serve.access import TOKEN_ENV, checked_host
from synthagent.simulation.map_store import Entry, as_json, from_json, merge
from synthagent.storage.atomic import replacing
from synthagent.storage.maps import open_store

_AT_ONCE = 1000
"""Entries read into a map at a time."""


def run_export(store: str, out: Path, json: bool) -> None:
    """Writes a map as JSONL, whole or not at all."""
    there(store)
    count = anyio.run(_exported, store, out)
    if json:
        print_json({"entries": count})
    else:
        say(f"{count} entries in {out}")


async def _exported(where: str, out: Path) -> int:
    store, count = open_store(where, os.environ.get(TOKEN_ENV)), 0
    try:
        with replacing(out) as write:
            async for entry, hits in all_entries(store):
                write(orjson.dumps(as_json(entry, hits), option=orjson.OPT_APPEND_NEWLINE))
                count += 1
    finally:
        await store.aclose()
    return count


def run_import(store: str, files: Sequence[Path], json: bool) -> None:
    """Reads exported maps into a map. What is decided stays; conflicts are told."""
    added = same = 0
    conflicts: list[str] = []
    for file in files:
        found = anyio.run(_imported, store, file)
        added, same, conflicts = added + found[0], same + found[1], conflicts + found[2]
    if json:
        print_json({"added": added, "same": same, "conflicts": conflicts})
        return
    for conflict in conflicts:
        say(f"conflict: {conflict}")
    say(f"{added} entries added, {same} were there, {len(conflicts)} decided otherwise already")


async def _imported(where: str, file: Path) -> tuple[int, int, list[str]]:
    store = open_store(where, os.environ.get(TOKEN_ENV))
    added = same = 0
    conflicts: list[str] = []
    try:
        for some in _chunks(file):
            merged = await merge(store, some)
            added, same = added + merged.added, same + merged.same
            conflicts += merged.conflicts
    finally:
        await store.aclose()
    return added, same, conflicts


def _chunks(file: Path) -> Iterator[list[tuple[Entry, int]]]:
    found: list[tuple[Entry, int]] = []
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    found.append(from_json(orjson.loads(line)))
                except ValueError as error:
                    raise InputError(f"line {number}: {error}", where=str(file)) from error
                if len(found) >= _AT_ONCE:
                    yield found
                    found = []
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(file)) from error
    if found:
        yield found


def run_serve(store: Path, host: str, port: int) -> None:
    """Owns a map and serves it until it is stopped."""
    token = os.environ.get(TOKEN_ENV)
    checked_host(host, token)
    anyio.run(_served, store, host, port, token)


async def _served(path: Path, host: str, port: int, token: str | None) -> None:
    from synthagent.serve.map_owner import MapOwner
    from synthagent.storage.maps.sqlite import SqliteStore

    store = SqliteStore.open(path)
    owner = MapOwner(store, host, port, token)
    try:
        try:
            await owner.start()
        except OSError as error:
            raise InputError(f"cannot listen on {host}:{port}: {error.strerror}") from error
        say(f"{path} is served: use --map-store {owner.url}")
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                break
    finally:
        with contextlib.suppress(OSError):
            await owner.stop()
        await store.aclose()
    say("stopped; every entry that was answered is in the file")
