"""Harnesses that are no benchmark: small programs, driven as the benchmarks' own are."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal

from synthagent.errors import InputError
from synthagent.evaluation.gateway import Gateway
from synthagent.evaluation.harness_run import Drive, drive
from synthagent.evaluation.harness_setup import BFCL, Installed
from synthagent.llm.stub import Handler, StubServer

HERE = Installed(replace(BFCL, name="small"), Path(sys.prefix), Path(sys.executable), Path(sys.prefix))


@contextmanager
def endpoint(handler: Handler | None = None, port: int = 0) -> Iterator[StubServer]:
    """A stub endpoint in a thread, for what is not async."""
    server = StubServer(handler, port=port)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(server):
        yield server


Small = Callable[..., Drive]


@pytest.fixture
def small(tmp_path: Path) -> Small:
    """Makes a job out of a program's text. The program finds its order in `order`, and `post(role)` asks a model."""

    def make(program: str, **more: object) -> Drive:
        (tmp_path / "driver").mkdir()
        (tmp_path / "work").mkdir()
        driver = tmp_path / "driver" / "driver.py"
        driver.write_text(PREFACE + program)
        given = {"order": {}, "finished": lambda: 0, "total": 1, **more}
        return Drive(HERE, driver, work=tmp_path / "work", log=tmp_path / "log", **given)  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def confined(tmp_path_factory: pytest.TempPathFactory) -> None:
    """For tests that need namespaces: skips them where there are none."""
    folder = tmp_path_factory.mktemp("confined")
    (folder / "driver.py").write_text("")
    (folder / "work").mkdir()
    job = Drive(
        HERE, folder / "driver.py", {}, folder / "work", log=folder / "log", finished=lambda: 0, total=0
    )  # fmt: skip
    try:
        drive(job, Gateway({}))
    except InputError as error:
        pytest.skip(str(error))


PREFACE = """
import json, os, sys, urllib.error, urllib.request
order = json.load(open(sys.argv[1]))

def post(role, **body):
    url = order["base"] + "/" + role + "/v1/chat/completions"
    body = {"model": "x", "messages": [{"role": "user", "content": "hi"}], **body}
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)

def leave(value):
    with open("left.json", "w") as out:
        json.dump(value, out)

"""
