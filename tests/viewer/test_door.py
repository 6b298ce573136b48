"""Who may look, and what a page may load."""

import hashlib
import re
from pathlib import Path

import pytest

from synthagent.serve.access import is_loopback
from synthagent.viewer.app import STATIC
from synthagent.viewer.door import Door
from tests.commands import synthagent


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({"host": "127.0.0.1:8720"}, True),
        ({"host": "localhost:8720"}, True),
        ({"host": "[::1]:8720"}, True),
        ({"host": "evil.example"}, False),
        ({}, False),
        ({"host": "127.0.0.1:8720", "origin": "http://127.0.0.1:8720"}, True),
        ({"host": "127.0.0.1:8720", "origin": "http://127.0.0.1:9"}, False),
        ({"host": "127.0.0.1:8720", "origin": "https://evil.example"}, False),
        ({"host": "127.0.0.1:8720", "origin": "null"}, False),
    ],
)
def test_without_a_token_only_pages_of_this_machine_pass(headers, passes: bool):
    assert (Door(None, is_loopback).refusal(headers) is None) == passes


COOKIE = str(Door("open", is_loopback).cookie("token=open")).partition(";")[0]


@pytest.mark.parametrize(
    ("headers", "query", "passes"),
    [
        ({"authorization": "Bearer open"}, "", True),
        ({"cookie": f"a=b; {COOKIE}"}, "", True),
        ({"cookie": "synthagent_token=open"}, "", False),
        ({}, "token=open", True),
        ({}, "", False),
        ({}, "token=shut", False),
        ({"authorization": "Bearer "}, "", False),
        ({"cookie": "synthagent_token=shut"}, "", False),
        ({"cookie": COOKIE, "origin": "https://evil.example"}, "", False),
    ],
)
def test_with_a_token_whoever_has_it_passes(headers, query: str, passes: bool):
    door = Door("open", is_loopback)
    assert (door.refusal({"host": "gpu-box:8720", **headers}, query) is None) == passes


async def test_strangers_get_nothing_and_every_answer_says_what_a_page_may_load(viewing, run: Path):
    async with viewing(run) as ask:
        stranger, text, headers = await ask.raw("/api/library", Host="evil.example")
        assert (stranger, "played" in text) == (403, False)
        for path in ("/", "/api/library", "/static/app.js", "/nothing"):
            _, _, headers = await ask.raw(path)
            policy = headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "http" not in policy
            assert headers["X-Content-Type-Options"] == "nosniff"
        assert (await ask.raw("/static/../app.py"))[0] == 404
        assert (await ask.raw("/static/%2e%2e/app.py"))[0] == 404


async def test_a_token_in_the_address_becomes_a_cookie_that_scripts_cannot_read(viewing, run: Path):
    async with viewing(run, token="s3cret") as ask:
        assert (await ask.raw("/api/library"))[0] == 403
        code, _, headers = await ask.raw("/?token=s3cret")
        assert (code, headers["Location"]) == (303, "/")
        cookie = headers["Set-Cookie"]
        assert "s3cret" not in cookie
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert (await ask.raw("/api/library", Cookie=cookie.partition(";")[0]))[0] == 200


def test_the_pages_load_nothing_from_elsewhere_and_write_no_html():
    for path in [*STATIC.glob("*.js"), STATIC / "index.html", STATIC / "style.css"]:
        text = path.read_text()
        assert not re.search(r"https?://", text), path.name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|dangerouslySet|document\.write|eval\(", text), (
            path.name
        )


def test_beyond_loopback_a_token_is_wanted(run: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("SYNTHAGENT_TOKEN", raising=False)
    done = synthagent("view", run, "--host", "0.0.0.0")
    assert done.code == 2
    assert "SYNTHAGENT_TOKEN" in done.err


def test_what_was_taken_over_is_byte_for_byte_what_the_list_says():
    page = (Path(__file__).parents[2] / "docs" / "decisions" / "dependencies.md").read_text()
    listed = dict(re.findall(r"^\| `([\w.-]+)` \|.*\| `([0-9a-f]{64})` \|$", page, re.MULTILINE))
    carried = {path.name: path for path in (STATIC / "vendor").iterdir() if not path.name.startswith("LICENSE")}
    assert listed.keys() == carried.keys()
    for name, path in carried.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == listed[name], name
