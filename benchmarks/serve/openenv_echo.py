"""OpenEnv's echo environment, as its repository has it, on OpenEnv's own server: `python -m ... SESSIONS`.

Asynchronous, which OpenEnv answers in its loop: its own echo is not, and goes through a thread. Run by the Python of an
environment that has OpenEnv.
"""

import socket
import sys
from typing import Any
from uuid import uuid4

import uvicorn
from openenv.core.env_server import Action, Environment, Observation, State, create_fastapi_app


class Echo(Action):
    """Something to be said again."""

    message: str


class Echoed(Observation):
    """The same, said again."""

    echoed_message: str = ""
    message_length: int = 0


class EchoEnvironment(Environment[Echo, Echoed, State]):
    """Says everything again."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self) -> None:
        super().__init__()
        self._state = State(episode_id=str(uuid4()), step_count=0)

    async def reset_async(self, **_: Any) -> Echoed:
        """Begins anew."""
        self._state = State(episode_id=str(uuid4()), step_count=0)
        return Echoed(echoed_message="Echo environment ready!", done=False, reward=0.0)

    async def step_async(self, action: Echo, **_: Any) -> Echoed:
        """Says it again, for a tenth of its length."""
        self._state.step_count += 1
        length = len(action.message)
        return Echoed(echoed_message=action.message, message_length=length, done=False, reward=length * 0.1)

    def reset(self, *_: Any, **__: Any) -> Echoed:
        """Not used, where there is `reset_async`."""
        raise NotImplementedError

    def step(self, *_: Any, **__: Any) -> Echoed:
        """Not used, where there is `step_async`."""
        raise NotImplementedError

    @property
    def state(self) -> State:
        """How far it is."""
        return self._state


def main(sessions: int) -> None:
    """Serves until it is stopped."""
    app = create_fastapi_app(EchoEnvironment, Echo, Echoed, max_concurrent_envs=sessions)
    listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
    print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listening])


if __name__ == "__main__":
    main(int(sys.argv[1]))
