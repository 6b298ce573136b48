"""A task file, a run of two agents over it, and a viewer of both that answers over HTTP."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest

from synthagent.cli.casting import Others
from synthagent.cli.viewing import Place, listening, manifest_of, seated
from synthagent.config import Settings
from synthagent.serve.access import is_loopback
from synthagent.viewer.app import LIVE_EVERY, Viewer
from synthagent.viewer.door import Door
from synthagent.viewer.keeping import Keeping
from synthagent.viewer.library import Library
from tests.commands import synthagent


class Asking:
    """A client of one viewer."""

    def __init__(self, url: str, session: aiohttp.ClientSession):
        self.url, self._session = url, session

    async def get(self, path: str, code: int = 200, **query: Any) -> Any:
        words = {name: str(value) for name, value in query.items()}
        async with self._session.get(self.url + path, params=words) as response:
            assert response.status == code, await response.text()
            return await response.json()

    async def post(self, path: str, body: Any, code: int = 200, **headers: str) -> Any:
        async with self._session.post(self.url + path, json=body, headers=headers) as response:
            assert response.status == code, await response.text()
            return await response.json()

    async def raw(self, path: str, params: Any = None, **headers: str) -> tuple[int, str, Any]:
        request = self._session.get(self.url + path, params=params, headers=headers, allow_redirects=False)
        async with request as response:
            return response.status, await response.text(), response.headers

    @asynccontextmanager
    async def stream(self, path: str) -> AsyncIterator[AsyncIterator[str]]:
        """The lines of an answer that does not end."""
        async with self._session.get(self.url + path) as response:
            yield (raw.decode().rstrip("\n") async for raw in response.content)

    async def settled(self) -> None:
        """Long enough for the server to have looked at every run once."""
        await anyio.sleep(1.2 * LIVE_EVERY)


Opening = Callable[..., AbstractAsyncContextManager[Asking]]


@pytest.fixture(scope="session")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six tasks of two domains, not to be changed."""
    path = tmp_path_factory.mktemp("tasks") / "tasks.jsonl"
    words = ("synth", "--out", path, "-n", 6, "--seed", 5, "--domains", "library,clinic")
    assert synthagent(*words).code == 0
    return path


@pytest.fixture(scope="session")
def run(tasks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two agents, two tries each, not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "played"
    agents = ("--agent", "scripted:reference", "--agent", "scripted:refuse")
    assert synthagent("rollout", tasks, *agents, "-n", 2, "--out", folder).code == 0
    return folder


@pytest.fixture
def viewing(tmp_path: Path) -> Opening:
    """Opens a viewer over paths."""

    @asynccontextmanager
    async def opened(*paths: Path, token: str | None = None) -> AsyncIterator[Asking]:
        async with seated(Others(store="memory"), Settings()) as seat:
            keeping = Keeping(tmp_path / "person", manifest_of(Others(store="memory"), Settings()))
            viewer = Viewer(Library(paths, tmp_path / "cache"), Door(token, is_loopback), seat, keeping=keeping)
            async with (
                listening(viewer, Place("127.0.0.1", 0, tmp_path / "person")) as url,
                aiohttp.ClientSession() as session,
            ):
                yield Asking(url, session)

    return opened


@pytest.fixture
def cli_refusal() -> Callable[[Path], str]:
    """What `synthagent view PATH` says when it refuses."""

    def refused(path: Path) -> str:
        done = synthagent("view", path, "--port", 0)
        assert done.code == 2
        return done.err

    return refused
