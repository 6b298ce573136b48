"""A response map in a Ray cluster: one detached actor owns the file, every worker asks it.

The file is the truth. The actor may die and be begun again, by Ray or by whoever misses it, and reads on where the file
ends; what a worker has been told is in the file. It stays on the node where the file lies.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import orjson

from synthagent.errors import EpisodeFailure, InputError
from synthagent.simulation.map_store import MapUnavailable
from synthagent.storage.maps.asked import AskedStore
from synthagent.storage.maps.batches import Batches
from synthagent.storage.maps.sqlite import SqliteStore
from synthagent.storage.maps.wire import MOST_OPERATIONS

SCHEME = "ray"
NAMESPACE = "synthagent"
"""Of the cluster's named actors."""
PATIENCE = 60.0
"""Seconds for which an owner that does not answer is asked again: it may have to be begun again elsewhere."""
IDLE = 20.0
"""Seconds without a question after which the owner lets go of the file, so that others can have it."""


class MapKeeper:
    """The actor. Its methods give ("ok", JSON), or ("unavailable" | "damaged" | "refused", text)."""

    def __init__(self, path: str, idle: float = IDLE, clock: Callable[[], float] = time.monotonic):
        self._path, self._idle, self._clock = Path(path), idle, clock
        self._store: SqliteStore | None = None
        self._batches: Batches | None = None
        self._asked = 0.0
        self._asking = 0
        self._watching: asyncio.Task[None] | None = None

    async def ask(self, body: bytes) -> tuple[str, bytes]:
        """Does a list of operations."""
        self._asked, self._asking = self._clock(), self._asking + 1
        try:
            operations = orjson.loads(body)
            if not isinstance(operations, list) or len(operations) > MOST_OPERATIONS:
                raise ValueError(f"a list of at most {MOST_OPERATIONS} operations is wanted")
            return "ok", orjson.dumps(await self._opened().done(operations))
        except MapUnavailable as error:
            return "unavailable", str(error).encode()
        except EpisodeFailure as error:
            return "damaged", str(error).encode()
        except (ValueError, InputError) as error:
            return "refused", str(error).encode()
        finally:
            self._asked, self._asking = self._clock(), self._asking - 1

    def _opened(self) -> Batches:
        if self._batches is None:
            self._store = SqliteStore.open(self._path)
            self._batches = Batches(self._store)
            self._watching = asyncio.get_running_loop().create_task(self._watch())
        return self._batches

    async def _watch(self) -> None:
        """Lets go of the file once nobody has asked for a while: the driver may have been killed."""
        while self._asking or self._clock() - self._asked < self._idle:
            wait = self._idle / 4
            await asyncio.sleep(wait)
        await self.close()

    async def close(self) -> None:
        """Lets go of the file; the next question opens it again."""
        store, self._store, self._batches = self._store, None, None
        if store is not None:
            await store.aclose()


def word_for(path: Path) -> str:
    """The word by which the workers' `open_store` finds the owner of this file, on the node where this is called."""
    import ray

    return f"{SCHEME}://{ray.get_runtime_context().get_node_id()}/{quote(str(path.resolve()), safe='')}"


def store_of(word: str) -> AskedStore:
    """The store that `word_for` named. Raises `InputError` outside of a cluster."""
    try:
        import ray
    except ImportError as error:
        raise InputError("there is no Ray here", where=word, way_out="pip install 'synthagent[ray]'") from error
    node, mark, path = word.removeprefix(f"{SCHEME}://").partition("/")
    if not mark or not path or not ray.is_initialized():
        raise InputError("no response map of a Ray cluster", where=word, way_out="it belongs to --engine ray")
    return AskedStore(_Line(node, unquote(path)))


async def let_go(word: str) -> None:
    """The driver's last act: the owner closes the file and ends. A worker of another run begins it again."""
    import ray
    from ray.exceptions import RayActorError

    path = word.removeprefix(f"{SCHEME}://").partition("/")[2]
    try:
        actor = ray.get_actor(_name(unquote(path)), NAMESPACE)
        await asyncio.wait_for(actor.close.remote(), 10)
        ray.kill(actor)
    except (ValueError, RayActorError, TimeoutError):  # it is gone, or was never needed
        return


def _name(path: str) -> str:
    return f"map-{hashlib.sha256(path.encode()).hexdigest()[:16]}"


class _Line:
    way_out = "is the file's node still part of the cluster?"
    patience = PATIENCE
    at_once = PATIENCE

    def __init__(self, node: str, path: str):
        self.where = f"the response map {path}"
        self._node, self._path = node, path
        self._actor: Any = None

    async def send(self, operations: Sequence[Any], patience: float) -> Any:
        from ray.exceptions import RayError

        loop = asyncio.get_running_loop()
        body, give_up, wait = orjson.dumps(operations), loop.time() + patience, 0.05
        while True:
            try:
                left = max(0.1, give_up - loop.time())
                kind, answer = await asyncio.wait_for(self._begun().ask.remote(body), left)
                if kind == "ok":
                    return orjson.loads(answer)
                problem = answer.decode(errors="replace")
                if kind == "damaged":
                    raise EpisodeFailure(f"{self.where}: {problem}", reason="map_damaged")
                if kind == "unavailable" and not operations:  # nobody waits for a file that another has
                    raise InputError(problem)
                if kind == "refused":
                    raise InputError(problem, where=self.where)
            except (RayError, TimeoutError, ValueError) as error:
                self._actor = None
                problem = " ".join(str(error).split())[:300] or "no answer"
            if loop.time() + wait > give_up:
                raise EpisodeFailure(f"{self.where}: {problem}", reason="map_unavailable")
            await asyncio.sleep(wait)
            wait = min(2 * wait, 1.0)

    async def aclose(self) -> None:
        self._actor = None

    def _begun(self) -> Any:
        """The owner, begun if there is none: whoever comes first does it."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        if self._actor is None:
            self._actor = (
                ray.remote(MapKeeper)
                .options(
                    name=_name(self._path), namespace=NAMESPACE, lifetime="detached", get_if_exists=True, num_cpus=0,
                    max_restarts=-1, max_concurrency=1000,
                    scheduling_strategy=NodeAffinitySchedulingStrategy(self._node, soft=False),
                )
                .remote(self._path)
            )  # fmt: skip
        return self._actor
