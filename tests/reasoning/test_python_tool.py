"""The Python tool: what honest programs get, and what hostile ones get instead of what they want."""

import importlib.util
import os
import shutil
import socket
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from synthagent.errors import InputError
from synthagent.reasoning import python_tool
from synthagent.reasoning.python_tool import PythonLimits, PythonResult, PythonSandbox, open_sandbox, tried
from synthagent.reasoning.syscalls import filter_program

LIMITS = PythonLimits(seconds=1, memory=128 << 20, output=2000)
SANDBOXED = python_tool.SANDBOXED
NO_FILTER = filter_program() is None


async def opened(tier: python_tool.Tier) -> None:
    """Skips where a tier does not work, with what it says itself."""
    if tier in SANDBOXED:
        try:
            await tried(tier)
        except InputError as reason:
            pytest.skip(str(reason))
    elif NO_FILTER:
        pytest.skip("no filter of system calls for this machine")


@pytest.fixture(scope="module", params=SANDBOXED)
async def sandbox(request) -> AsyncIterator[PythonSandbox]:
    """Each tier that holds hostile code."""
    await opened(request.param)
    async with open_sandbox(request.param, LIMITS) as sandbox:
        yield sandbox


@pytest.fixture(scope="module", params=[*SANDBOXED, "unsafe-local"])
async def any_tier(request) -> AsyncIterator[PythonSandbox]:
    """Each tier, the unsafe one too: it reads files, but it must not take the machine down."""
    await opened(request.param)
    async with open_sandbox(request.param, LIMITS) as sandbox:
        yield sandbox


@pytest.fixture(scope="module", params=["bwrap", "unsafe-local"])
async def cpython(request) -> AsyncIterator[PythonSandbox]:
    await opened(request.param)
    async with open_sandbox(request.param, LIMITS) as sandbox:
        yield sandbox


async def failed(sandbox: PythonSandbox, code: str) -> str:
    """The error of code that must not get what it wants, after which the next call must work."""
    with anyio.fail_after(30):
        result = await sandbox.run(code)
        assert result.error is not None, result
        assert result.value is None
        assert len(result.stdout) + len(result.error) < 3 * LIMITS.output
        after = await sandbox.run("1 + 1")
    assert (after.value, after.error) == ("2", None)
    return result.error


# ---- honest programs


async def test_a_program_prints_and_its_last_expression_is_its_value(any_tier):
    result = await any_tier.run("import math\nprint('pi', round(math.pi, 3))\nsum(n * n for n in range(10))")
    assert (result.stdout, result.value, result.error, result.truncated) == ("pi 3.142\n", "285", None, False)
    assert 0 < result.seconds < 30


async def test_a_program_without_a_last_expression_has_no_value(any_tier):
    assert (await any_tier.run("x = 3")).value is None
    assert (await any_tier.run("print(3)")).value is None
    assert (await any_tier.run("")).error is None


async def test_values_are_shown_as_python_shows_them(any_tier):
    assert (
        await any_tier.run("[1, 2.5, 'a', (None, True), {'k': 1}]")
    ).value == "[1, 2.5, 'a', (None, True), {'k': 1}]"
    assert (await any_tier.run("2 ** 100")).value == str(2**100)
    assert (await any_tier.run("from decimal import Decimal\nDecimal('0.1') * 3")).value == "Decimal('0.3')"


async def test_the_standard_library_is_there_in_cpython(cpython):
    code = "from fractions import Fraction\nimport statistics, itertools\nsum(Fraction(1, n) for n in range(1, 5))"
    assert (await cpython.run(code)).value == "Fraction(25, 12)"


async def test_an_error_comes_with_the_line_it_was_made_in(any_tier):
    error = await failed(any_tier, "def half(n):\n    return n / 0\nprint('before')\nhalf(3)")
    assert "line 2, in half" in error
    assert error.rstrip().endswith("ZeroDivisionError: division by zero")
    assert "SyntaxError" in await failed(any_tier, "1 +")


async def test_no_run_sees_another(any_tier):
    await any_tier.run("secret = 7")
    assert "NameError" in await failed(any_tier, "secret")


async def test_chance_is_the_same_in_every_run(any_tier):
    code = "import random\nrandom.random(), random.randint(1, 10**9), list({'a', 'b', 'c', 'd'})"
    first, second = await any_tier.run(code), await any_tier.run(code)
    assert first.value is not None
    assert first.value == second.value


async def test_runs_side_by_side_do_not_mix(any_tier):
    found: dict[int, str | None] = {}

    async def one(n: int) -> None:
        found[n] = (await any_tier.run(f"print({n})\n{n} * 10")).value

    async with anyio.create_task_group() as group:
        for n in range(5):
            group.start_soon(one, n)
    assert found == {n: str(n * 10) for n in range(5)}


async def test_who_stops_waiting_leaves_nothing_running(any_tier):
    with anyio.move_on_after(0.3):
        await any_tier.run("while True: pass")
    assert (await any_tier.run("1 + 1")).value == "2"


async def test_long_output_is_cut_and_said_to_be_cut(any_tier):
    result = await any_tier.run("print('x' * 5000)\n'y' * 5000")
    assert result.error is None
    assert result.truncated
    assert result.stdout == "x" * 2000 + "\n... (cut)"
    assert result.value == "'" + "y" * 1999 + "\n... (cut)"


# ---- programs that want too much


async def test_a_loop_without_an_end_is_stopped(any_tier):
    assert await failed(any_tier, "while True: pass") == "TimeoutError: stopped after 1 s"
    stubborn = "while True:\n    try:\n        while True: pass\n    except BaseException:\n        pass"
    assert await failed(any_tier, stubborn) == "TimeoutError: stopped after 1 s"


async def test_what_was_printed_before_is_kept(any_tier):
    result = await any_tier.run("print('so far')\nwhile True: pass")
    assert result.stdout == "so far\n"


async def test_a_memory_hog_is_stopped(any_tier):
    assert "MemoryError: more than 128 MiB" in await failed(any_tier, "x = 'a' * 10**10")
    await failed(any_tier, "x = []\nwhile True:\n    x.append('a' * 10**6 + str(len(x)))")


async def test_a_huge_number_is_stopped(any_tier):
    await failed(any_tier, "x = 10 ** 10 ** 9\nx // 7")


async def test_deep_recursion_ends_as_an_error(any_tier):
    assert "RecursionError" in await failed(any_tier, "def f(n): return f(n + 1)\nf(0)")
    await failed(any_tier, "x = " + "(" * 20_000 + ")" * 20_000)


async def test_output_without_an_end_is_stopped(any_tier):
    error = await failed(any_tier, "while True: print('x' * 1000)")
    assert error == "RuntimeError: stopped after printing 1048576 bytes"


async def test_a_small_value_with_a_very_long_text_costs_us_nothing(any_tier):
    """A list that holds one list a million times: a few megabytes, whose text is three gigabytes."""
    with anyio.fail_after(30):
        result = await any_tier.run("inner = [0] * 1000\n[inner] * 1_000_000")
    assert result.error or "cannot be shown" in str(result.value)
    assert (await any_tier.run("1 + 1")).value == "2"


async def test_code_that_is_no_code_is_refused(any_tier):
    assert "longer than" in await failed(any_tier, "1" * 300_000)
    assert "no source may hold" in await failed(any_tier, "print('\ud800')")
    assert "no source may hold" in await failed(any_tier, "1\0")


# ---- programs that want out


async def test_files_are_not_read(sandbox, tmp_path: Path):
    (tmp_path / "secret").write_text("the secret")
    for path in ("/etc/passwd", str(tmp_path / "secret"), __file__, "/proc/self/environ"):
        await failed(sandbox, f"print(open({path!r}).read())")


async def test_folders_are_not_listed(sandbox):
    """Neither the folder the tests run in nor the checkout is there."""
    for path in (Path.cwd(), Path(__file__).parents[2]):
        await failed(sandbox, f"import os\nos.listdir({str(path)!r})")


async def test_files_are_not_written(sandbox, tmp_path: Path):
    for target in (tmp_path / "mine", Path(python_tool.__file__)):
        before = target.read_bytes() if target.exists() else None
        await failed(sandbox, f"open({str(target)!r}, 'a').write('x')")
        assert (target.read_bytes() if target.exists() else None) == before


async def test_nothing_is_left_for_the_next_run(sandbox):
    await sandbox.run("open('/tmp/note', 'w').write('x')")
    await failed(sandbox, "open('/tmp/note').read()")


async def test_the_environment_holds_nothing_of_ours(any_tier, monkeypatch):
    monkeypatch.setenv("SYNTHAGENT_TEST_SECRET", "hunter2")
    result = await any_tier.run("import os\nprint(dict(os.environ))\nprint(os.getenv('SYNTHAGENT_TEST_SECRET'))")
    assert "hunter2" not in f"{result.stdout}{result.value}{result.error}"


async def test_a_server_next_door_is_never_reached(any_tier):
    reached = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        server.settimeout(0.1)
        await failed(any_tier, f"import socket\nsocket.create_connection(('127.0.0.1', {port}), timeout=1)")
        fetch = f"import urllib.request\nurllib.request.urlopen('http://127.0.0.1:{port}', timeout=1)"
        await failed(any_tier, fetch)
        try:
            server.accept()
            reached.set()
        except TimeoutError:
            pass
    assert not reached.is_set()


async def test_a_fork_bomb_does_not_go_off(any_tier):
    await failed(any_tier, "import os\nwhile True: os.fork()")
    await failed(any_tier, "import subprocess\nsubprocess.run(['/bin/true'])")
    await failed(any_tier, "import multiprocessing\np = multiprocessing.Process(target=print)\np.start()")


async def test_threads_are_bounded_and_die_with_the_run(cpython):
    code = """
import threading, time
while True:
    threading.Thread(target=time.sleep, args=(600,)).start()
"""
    await failed(cpython, code)


async def test_nobody_else_is_killed(any_tier):
    for call in ("os.kill(os.getppid(), 9)", f"os.kill({os.getpid()}, 9)", "os.kill(-1, 9)", "os.killpg(0, 9)"):
        await failed(any_tier, f"import os\n{call}\nraise SystemExit(1)")


async def test_no_shell_and_no_other_program(any_tier, tmp_path: Path):
    mark = tmp_path / "mark"
    for code in (
        f"import os\nif os.system('touch {mark}'): raise OSError('it failed')",
        f"__import__('os').system('touch {mark}') and 1 / 0",
        f"import os\nos.execv('/bin/sh', ['sh', '-c', 'touch {mark}'])",
        f"import os\nos.posix_spawn('/bin/sh', ['sh', '-c', 'touch {mark}'], {{}})",
    ):
        await failed(any_tier, code)
    assert not mark.exists()


async def test_the_way_over_subclasses_leads_nowhere(sandbox):
    code = """
for kind in ().__class__.__base__.__subclasses__():
    if kind.__name__ == '_wrap_close':
        print(kind.__init__.__globals__['popen']('cat /etc/passwd').read())
raise SystemExit('nothing there')
"""
    error = await failed(sandbox, code)
    assert "root:" not in error


async def test_limits_cannot_be_raised_again(cpython):
    error = await failed(
        cpython, "import resource\nresource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)"
    )
    assert "Error" in error


async def test_native_code_gets_no_further(cpython):
    """The filter is the kernel's: going around Python changes nothing."""
    code = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
said = [libc.fork(), libc.socket(2, 1, 0), libc.kill(os.getppid(), 9), libc.unshare(0x10000000)]
said += [libc.ptrace(16, 1, 0, 0)]
assert said != [-1] * 5, said
"""
    assert "[-1, -1, -1, -1, -1]" in await failed(cpython, code)
    assert "ended without a result" in await failed(cpython, "import ctypes\nctypes.string_at(0)")


async def test_leaving_early_is_no_answer_and_no_fault_of_ours(cpython):
    for code in (
        "import os\nos._exit(0)",
        "import os\nos.write(2, b'no json')\nos._exit(0)",
        "import os\nfor n in range(2, 9):\n    try: os.write(n, b'{}')\n    except OSError: pass\nos._exit(1)",
        "import os\nos.close(1)\nos.close(2)\nraise ValueError('closed')",
    ):
        await failed(cpython, code)


async def test_temporary_files_are_bounded(sandbox):
    code = "for n in range(100):\n    open(f'/tmp/{n}', 'w').write('x' * 10**6)"
    await failed(sandbox, code)


# ---- which tier


async def test_auto_takes_the_first_that_works_and_never_the_unsafe_one(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    if importlib.util.find_spec("pydantic_monty"):
        with pytest.raises(InputError, match="bubblewrap is not installed"):
            async with open_sandbox("bwrap"):
                pass
        async with open_sandbox() as sandbox:
            assert (await sandbox.run("1 + 1")).value == "2"
    monkeypatch.setitem(__import__("sys").modules, "pydantic_monty", None)
    with pytest.raises(InputError) as refusal:
        async with open_sandbox("auto"):
            pass
    said = str(refusal.value)
    assert "synthagent[sandbox]" in said
    assert "bubblewrap is not installed" in said
    assert "--unsafe-local" in said


async def test_a_bubblewrap_that_does_not_work_is_found_out_by_trying(monkeypatch, tmp_path: Path):
    if NO_FILTER:
        pytest.skip("no filter of system calls for this machine")
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'setting up uid map: Permission denied' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(InputError, match=r"bubblewrap does not work here.*uid map"):
        await tried("bwrap")


async def test_a_bubblewrap_that_holds_nothing_is_found_out_too(monkeypatch, tmp_path: Path):
    if NO_FILTER:
        pytest.skip("no filter of system calls for this machine")
    child = Path(python_tool.__file__).with_name("python_child.py")
    sham = tmp_path / "bwrap"
    sham.write_text(
        f'#!/bin/sh\nwhile [ "$1" != "--" ]; do shift; done\npython="$2"\nexec "$python" -P -s -S -B {child}\n'
    )
    sham.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(InputError, match=r"holds nothing here: .*reads files"):
        await tried("bwrap")


def test_the_filter_is_whole_and_known_for_two_machines_only():
    for machine in ("x86_64", "aarch64"):
        program = filter_program(machine)
        assert program is not None
        assert len(program) % 8 == 0
        assert len(program) // 8 < 256
    assert filter_program("riscv64") is None


def test_limits_and_fields_are_those_that_are_documented():
    page = (Path(__file__).parents[2] / "docs/reference/python-tool.md").read_text(encoding="utf-8")
    for name, field in PythonLimits.model_fields.items():
        assert f"| `{name}` | {field.default:g} |" in page.replace("268435456", f"{256 << 20:g}"), name
    for name in PythonResult.model_fields:
        assert f"| `{name}` |" in page, name
