"""What every test may ask for."""

import signal

import pytest

# A shell that starts the tests in the background lets them ignore Ctrl-C, and so every process that they start and
# interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
