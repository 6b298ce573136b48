"""The chat stub for tests of commands, which run a loop of their own: served from another thread."""

from collections.abc import Iterator
from contextlib import contextmanager

from anyio.from_thread import start_blocking_portal

from synthagent.llm.stub import Handler, StubServer


@contextmanager
def endpoint(handler: Handler) -> Iterator[tuple[str, StubServer]]:
    """(its address, the stub) while the block runs."""
    stub = StubServer(handler)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(stub) as url:
        yield url, stub
