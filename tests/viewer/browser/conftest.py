"""`synthagent view` in a process of its own, Debian's chromium in front of it; screenshots in `runs/viewer-pages`."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
PICTURES = Path(os.environ.get("SYNTHAGENT_PICTURES", ROOT / "runs" / "viewer-pages"))
CHROMIUM = next((found for name in ("chromium", "chromium-browser") if (found := shutil.which(name))), None)


@contextmanager
def viewer(cache: Path, *paths: Path) -> Iterator[str]:
    """The URL of a viewer over these paths."""
    words = [
        sys.executable,
        "-c",
        "from synthagent.cli.main import run; run()",
        "view",
        *map(str, paths),
        "--keep",
        str(cache.parent / "person"),
        "--port",
        "0",
    ]
    environ = {**os.environ, "SYNTHAGENT_CACHE": str(cache), "PYTHONPATH": str(ROOT)}
    environ.pop("SYNTHAGENT_TOKEN", None)
    with subprocess.Popen(words, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            found = re.search(r"http://\S+", said)
            assert found, said + process.stdout.read()
            yield found[0].rstrip("/")
        finally:
            process.terminate()
            process.wait(20)


@pytest.fixture(scope="module")
def browser(run: Path, tasks: Path) -> Iterator[Any]:
    """A browser without a window, for as long as it is needed.

    While it runs its driver holds this thread's event loop: what plays episodes has to be made before.
    """
    sync_api = pytest.importorskip("playwright.sync_api", reason="make test-viewer installs it")
    if CHROMIUM is None:
        pytest.skip("there is no chromium: make test-viewer installs it")
    with sync_api.sync_playwright() as playwright:
        # Root, as in containers, has no sandbox of Chromium's; only our own pages are opened.
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page whose errors fail the test."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    context.set_default_timeout(30_000)
    opened = context.new_page()
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    yield opened
    context.close()
    assert errors == []


@pytest.fixture(scope="session")
def picture() -> Callable[[Any, str], None]:
    """Keeps a screenshot."""
    PICTURES.mkdir(parents=True, exist_ok=True)

    def taken(page: Any, name: str) -> None:
        page.screenshot(path=PICTURES / f"{name}.png")

    return taken
