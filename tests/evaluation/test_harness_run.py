"""A harness's process: what it can reach, and how its end is told."""

import json
import socket
from pathlib import Path

import pytest

from synthagent.evaluation.gateway import Gateway, Patience
from synthagent.evaluation.harness_run import Drive, Watch, drive, last_words
from synthagent.evaluation.items import Endpoint, SuiteFailed
from tests.harnesses import Small, endpoint

HASTE = Patience(seconds=5, pauses=())


def left(job: Drive) -> object:
    return json.loads((job.work / "left.json").read_bytes())


def test_it_reaches_its_model_and_holds_no_key(small: Small, confined: None):
    job = small("leave([post('agent'), dict(os.environ)])")
    with endpoint(lambda _: "hello") as server:
        door = Gateway({"agent": Endpoint("real-name", server.url, "THE_KEY")}, {"THE_KEY": "s3cret"}, HASTE)
        assert drive(job, door) == 0
    (status, reply), environment = left(job)  # type: ignore[misc]
    assert (status, reply["choices"][0]["message"]["content"]) == (200, "hello")
    assert "s3cret" not in str(environment) and environment["HOME"] == "/tmp"
    (seen,) = server.seen
    assert (seen.body["model"], seen.headers["Authorization"]) == ("real-name", "Bearer s3cret")


ESCAPE = """
found = {}
def attempt(name, step):
    try:
        found[name] = str(step())
    except BaseException as error:
        found[name] = "refused: " + type(error).__name__

def reach(host, port):
    import socket
    socket.create_connection((host, port), timeout=3).close()
    return "reached"

attempt("secret", lambda: open(order["secret"]).read())
attempt("passwords", lambda: open("/etc/passwd").read())
attempt("others", lambda: [pid for pid in os.listdir("/proc") if pid.isdigit() and int(pid) > 50])
attempt("driver", lambda: open(__file__, "a").write("x"))
attempt("interpreter", lambda: open(os.path.join(sys.prefix, "new"), "w").write("x"))
attempt("root", lambda: open("/new", "w").write("x"))
attempt("stub", lambda: reach("127.0.0.1", order["port"]))
attempt("outside", lambda: reach("192.0.2.1", 80))
attempt("host", lambda: __import__("socket").socket(40, 1, 0).close())  # AF_VSOCK: no namespace holds it
attempt("keys", lambda: os.listdir("/etc/ssl/private"))
attempt("fork", os.fork)
attempt("program", lambda: os.spawnv(os.P_WAIT, "/bin/true", ["true"]))
attempt("mount", lambda: __import__("ctypes").CDLL(None).mount(b"none", b"/tmp", b"tmpfs", 0, None))
attempt("user", os.getuid)
attempt("scratch", lambda: open("/tmp/new", "w").write("x"))
leave(found)
"""


def test_it_reaches_nothing_else(small: Small, confined: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SECRET", "s3cret")
    (tmp_path / "secret").write_text("s3cret")
    with socket.create_server(("127.0.0.1", 0)) as stub:
        order = {"secret": str(tmp_path / "secret"), "port": stub.getsockname()[1]}
        job = small(ESCAPE, order=order)
        assert drive(job, Gateway({})) == 0
    found = left(job)
    assert isinstance(found, dict)
    allowed = {"scratch": "1", "user": "65534", "mount": "-1", "others": "[]"}
    assert {name: text for name, text in found.items() if not text.startswith("refused: ")} == allowed


def test_without_namespaces_it_has_no_environment_either(small: Small, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SECRET", "s3cret")
    job = small("leave([post('agent')[0], sorted(os.environ), os.environ['HOME']])", unsafe_local=True)
    with endpoint() as server:
        assert drive(job, Gateway({"agent": Endpoint("m", server.url)})) == 0
    status, names, home = left(job)  # type: ignore[misc]
    assert status == 200 and "SECRET" not in names and home == str(job.work / "home")


def test_a_lost_endpoint_ends_it(small: Small):
    job = small("while True: post('agent')", unsafe_local=True)
    with endpoint() as server:
        url = server.url
    with pytest.raises(SuiteFailed, match=r"endpoint was lost: http://127\.0\.0\.1:\d+/v1 \(agent\): Client"):
        drive(job, Gateway({"agent": Endpoint("m", url)}, {}, HASTE))


def test_what_stands_still_ends(small: Small):
    job = small("import time; time.sleep(600)", unsafe_local=True, watch=Watch(stall=1.5))
    with pytest.raises(SuiteFailed, match="nothing has moved for"):
        drive(job, Gateway({}))


def test_its_end_and_its_last_words_are_known(small: Small):
    told: list[str] = []
    job = small("print('how sad'); sys.exit(3)", unsafe_local=True, watch=Watch(told.append), total=7)
    assert drive(job, Gateway({})) == 3
    assert last_words(job.log).endswith("how sad")


def test_progress_is_told(small: Small, tmp_path: Path):
    told: list[str] = []
    program = "import time\nfor n in 'ab':\n    time.sleep(1.5); open(n, 'w').close()\ntime.sleep(1.5)"
    work = tmp_path / "work"
    job = small(
        program,
        unsafe_local=True,
        watch=Watch(told.append),
        total=2,
        collect=lambda: sum((work / name).exists() for name in "ab"),
    )
    assert drive(job, Gateway({})) == 0
    assert (told[0], told[-1]) == ("0 of 2 entries", "2 of 2 entries")
