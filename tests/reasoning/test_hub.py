"""Data sets of a hub: found, fetched once, pinned; and what is said when they cannot be had."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import orjson
import pytest

from synthagent.errors import InputError
from synthagent.reasoning.hub import fetch, is_hub_id, locate

COMMIT = "0123456789abcdef0123456789abcdef01234567"
DATA = b'{"question": "How much is 6 times 7?", "answer": "42"}\n'
SHA = hashlib.sha256(DATA).hexdigest()


@dataclass
class Hub:
    """A hub with one data set, which sends its files from another host name, as the real one does."""

    url: str = ""
    files: tuple[str, ...] = ("README.md", "data/test.jsonl")
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """(path, token) of every request."""
    length: int | None = None
    """Announced instead of the true one."""


@contextmanager
def serving() -> Iterator[Hub]:
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hub.asked.append((self.path, self.headers.get("Authorization")))
            if self.path.startswith("/api/datasets/own/sums/revision/main"):
                siblings = [{"rfilename": name} for name in hub.files]
                self._send(200, orjson.dumps({"sha": COMMIT, "siblings": siblings}))
            elif self.path == f"/datasets/own/sums/resolve/{COMMIT}/data/test.jsonl":
                self.send_response(302)
                self.send_header("Location", hub.url.replace("127.0.0.1", "localhost") + "/blob")
                self.end_headers()
            elif self.path == "/blob":
                self._send(200, DATA, hub.length)
            else:
                self._send(401 if "gated" in self.path else 404, b"")

        def _send(self, status: int, body: bytes, length: int | None = None) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) if length is None else length))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        hub.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()


def test_words_that_name_a_data_set():
    assert all(map(is_hub_id, ("own/sums", "own/sums@v1", "own/sums:data/a.jsonl", "own/sums@v1:a.parquet")))
    assert not any(map(is_hub_id, ("sums", "/tmp/sums.jsonl", "a/b/c.jsonl", "../sums/x", "")))


def test_a_file_is_found_by_its_commit_and_fetched_once(tmp_path: Path):
    with serving() as hub:
        environ = {"HF_ENDPOINT": hub.url + "/", "HF_TOKEN": "secret"}
        place = locate("own/sums", environ)
        assert (place.revision, place.path) == (COMMIT, "data/test.jsonl")
        first = fetch(place.repo, place.revision, place.path, SHA, tmp_path, environ)
        asked = len(hub.asked)
        again = fetch(place.repo, place.revision, place.path, SHA, tmp_path, environ)
        assert (first == again, first.read_bytes(), len(hub.asked)) == (True, DATA, asked)
    assert dict(hub.asked)["/blob"] is None  # the token is for the hub, not for where it sends one on
    assert {token for path, token in hub.asked if path != "/blob"} == {"Bearer secret"}
    # Without a network: what is in the cache is enough.
    assert fetch(place.repo, place.revision, place.path, SHA, tmp_path, {"HF_ENDPOINT": hub.url}) == first


def test_other_bytes_than_those_that_are_wanted_are_not_kept(tmp_path: Path):
    with serving() as hub:
        environ = {"HF_ENDPOINT": hub.url}
        with pytest.raises(InputError, match=f"SHA-256 is {SHA}, and {'0' * 64} is wanted"):
            fetch("own/sums", COMMIT, "data/test.jsonl", "0" * 64, tmp_path, environ)
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]
        fetch("own/sums", COMMIT, "data/test.jsonl", None, tmp_path, environ)
        with pytest.raises(InputError, match="is wanted"):
            fetch("own/sums", COMMIT, "data/test.jsonl", "0" * 64, tmp_path, environ)


def test_half_a_file_is_not_kept(tmp_path: Path):
    with serving() as hub:
        hub.length = len(DATA) + 10
        with pytest.raises(InputError, match=r"cannot be fetched"):
            fetch("own/sums", COMMIT, "data/test.jsonl", None, tmp_path, {"HF_ENDPOINT": hub.url})
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_which_file_is_meant_has_to_be_clear():
    with serving() as hub:
        environ = {"HF_ENDPOINT": hub.url}
        hub.files = ("a.jsonl", "b.parquet")
        with pytest.raises(InputError, match=r"which of its 2 files\? \(say own/sums:FILE, one of a\.jsonl, b"):
            locate("own/sums", environ)
        assert locate("own/sums:b.parquet", environ).path == "b.parquet"
        with pytest.raises(InputError, match=r"there is no file 'c\.json'"):
            locate("own/sums:c.json", environ)


def test_what_cannot_be_had_is_told_with_the_way_out(tmp_path: Path):
    with serving() as hub:
        environ = {"HF_ENDPOINT": hub.url}
        with pytest.raises(InputError, match=r"HTTP 404 \(give the file itself"):
            locate("own/missing", environ)
        with pytest.raises(InputError, match=r"HTTP 401 \(accept its terms .*HF_TOKEN"):
            fetch("own/gated", COMMIT, "a.jsonl", None, tmp_path, environ)
    with pytest.raises(InputError, match=r"cannot be fetched: .*refused"):
        locate("own/sums", environ)
    with pytest.raises(InputError, match="no path within a data set"):
        fetch("own/sums", COMMIT, "../../x.jsonl", None, tmp_path, environ)
    with pytest.raises(InputError, match="HF_ENDPOINT: 'file:///x' is no"):
        locate("own/sums", {"HF_ENDPOINT": "file:///x"})
