"""A search behind a response map: one query is asked once, by whoever comes first, and never again.

The map of simulated tools fits as it is: a search is a call of a tool without a program in a world that is named after
the backend and its settings, and the backend stands in for the tool as a model would. So hits are single-flight, shared
by all workers, outlive them, and can be exported. One thing differs: a simulated tool's calls in one state are decided
one at a time, so that two ways of asking get one answer. Queries do not depend on one another, so that each is a state
of its own, and different ones never wait for each other.
"""

import os
import secrets
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import orjson

from synthagent.errors import EpisodeFailure
from synthagent.reasoning.search import Hit, SearchBackend, SearchSettings, cleaned, search_tool
from synthagent.schema.record import canonical, content_id
from synthagent.simulation.likeness import folded
from synthagent.simulation.map_store import Entry, MapStore
from synthagent.simulation.response_map import MapFigures, ResponseMap, Simulation
from synthagent.simulation.simulated import Moment, Simulated, SimulatedCall

_TOOL = search_tool()


@dataclass(frozen=True, slots=True)
class Found:
    """Hits, and the entry of the map that holds them."""

    hits: tuple[Hit, ...]
    entry_id: str
    """Empty for the empty query, which is nowhere."""


def mapped_search(
    backend: SearchBackend, store: MapStore, mode: Literal["state", "frozen"] = "state", *, who: str | None = None
) -> "MappedSearch":
    """The same backend, each query asked once for ever. Equal but for case and white space is one query.

    `frozen`: what is not in the map is a failure (`map_miss`), and the backend is never asked. `who`: the name of this
    worker, unlike that of any other. The store stays the caller's.
    """
    return MappedSearch(backend, store, mode, who or f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}")


class MappedSearch:
    """See `mapped_search`. One a process, backend and store; a `SearchBackend` itself."""

    def __init__(self, backend: SearchBackend, store: MapStore, mode: Literal["state", "frozen"], who: str):
        self.name, self.settings = backend.name, backend.settings
        self._backend = backend
        self._map = ResponseMap(store, None if mode == "frozen" else _Standing(backend), mode, who=who)
        self._world = world_of(backend.name, backend.settings)
        self._tool = Simulated(_TOOL, "")

    @property
    def figures(self) -> MapFigures:
        """What was asked; `calls` are those that reached the backend."""
        return self._map.figures

    async def search(self, query: str) -> tuple[Hit, ...]:
        """See `SearchBackend.search`; also raises `EpisodeFailure` where the store cannot be used."""
        return (await self.found(query)).hits

    async def found(self, query: str) -> Found:
        """The hits, and where they are kept. A search that fails leaves nothing behind."""
        words = cleaned(query)
        if not words:
            return Found((), "")
        key = folded(canonical({"query": words}).decode())
        call = SimulatedCall(
            world_id=self._world, now="", tool=self._tool, arguments={"query": words}, canonical=key,
            moments=(Moment(content_id(key), 0),), deeds=(), rows={},
        )  # fmt: skip
        answer = await self._map.answer(call)
        return Found(_decoded(answer.response), answer.entry_id)

    async def flush(self) -> None:
        """Hands the hits that were counted to the store."""
        await self._map.flush()

    async def aclose(self) -> None:
        """Counts what was asked, and closes the backend. The store stays open."""
        try:
            await self.flush()
        finally:
            await self._backend.aclose()


def world_of(name: str, settings: SearchSettings) -> str:
    """The world under which a backend's entries are kept: other settings, other entries."""
    return f"search-{content_id([name, settings.model_dump(mode='json')])}"


class _Standing:
    """A backend as whoever stands in for a tool."""

    prompt = ""

    def __init__(self, backend: SearchBackend):
        self.name = backend.name
        self._backend = backend

    async def simulate(
        self,
        call: SimulatedCall,
        known: Sequence[Entry],  # noqa: ARG002 - a query is no other in other words
        draw: int = 0,  # noqa: ARG002 - there is always a map
    ) -> Simulation:
        """Asks the backend, whatever is known."""
        hits = await self._backend.search(call.arguments["query"])
        return Simulation(None, True, orjson.dumps([asdict(hit) for hit in hits]).decode())


def _decoded(response: str) -> tuple[Hit, ...]:
    try:
        return tuple(Hit(str(row["title"]), str(row["url"]), str(row["snippet"])) for row in orjson.loads(response))
    except (ValueError, TypeError, KeyError) as error:
        text = f"the response map holds what is no list of hits: {error}"
        raise EpisodeFailure(text, reason="map_damaged") from error
