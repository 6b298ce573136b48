"""`python -m tests.mutants [WORD]`: flips every scoring decision once; each flip must fail a test of tests/scoring.

mutants.toml lists the flips: the file, a text that occurs in it exactly once, what it becomes, and why that matters.
The package is copied to a temporary folder, so that nothing here is ever changed. Exits with 1 when a flip survives,
when a text no longer occurs exactly once, or when a flip does not even run. WORD: only flips that mention it.
"""

import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
LIST = Path(__file__).with_name("mutants.toml")
AT_ONCE = 2
SECONDS = 120
"""After this a flip that makes the tests hang counts as killed."""


@dataclass(frozen=True)
class Mutant:
    """One decision turned round."""

    file: str
    """Within the package."""
    old: str
    new: str
    why: str

    def __str__(self) -> str:
        return f"{self.file}: {self.why}"


def main(word: str = "") -> int:
    mutants = [m for m in (Mutant(**entry) for entry in tomllib.loads(LIST.read_text())["mutant"]) if word in str(m)]
    stale = [mutant for mutant in mutants if (ROOT / "synthagent" / mutant.file).read_text().count(mutant.old) != 1]
    if not mutants:
        print(f"no flip mentions '{word}'")
    for mutant in stale:
        print(f"STALE     {mutant}: its old text does not occur exactly once")
    if stale or not mutants:
        return 1
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        folders = [_copy(Path(place, str(number))) for number in range(AT_ONCE)]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for code, text in pool.map(lambda folder: _pytest(folder, keep=True), folders):
                if code != 0:
                    print(f"{text}\nthe tests fail without any flip")
                    return 1
            _forget(folders, mutants)
            free: queue.Queue[Path] = queue.Queue()
            for folder in folders:
                free.put(folder)
            killed = list(pool.map(lambda mutant: _killed(mutant, free), mutants))
    print(f"{len(mutants)} flips, {sum(killed)} killed, {time.monotonic() - begun:.0f} s")
    return 0 if all(killed) else 1


def _copy(folder: Path) -> Path:
    """The package, its tests of scoring and what they need."""
    (folder / "tests").mkdir(parents=True)
    shutil.copy(ROOT / "pyproject.toml", folder)
    for file in (ROOT / "tests").glob("*.py"):
        shutil.copy(file, folder / "tests")
    for part in ("synthagent", "tests/scoring"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def _forget(folders: list[Path], mutants: list[Mutant]) -> None:
    """Deletes the bytecode of every file that will be flipped: two versions may share a size and a second."""
    for folder in folders:
        for file in {folder / "synthagent" / mutant.file for mutant in mutants}:
            for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*.pyc"):
                compiled.unlink()


def _killed(mutant: Mutant, free: "queue.Queue[Path]") -> bool:
    folder = free.get()
    try:
        with _flipped(folder / "synthagent" / mutant.file, mutant):
            code, text = _pytest(folder)
    finally:
        free.put(folder)
    if code == 1:
        first = re.search(r"^FAILED tests/scoring/(\S+)", text, re.M)
        print(f"killed    {mutant} ({first[1] if first else 'too slow'})", flush=True)
        return True
    print(f"SURVIVED  {mutant}" if code == 0 else f"BROKEN    {mutant}\n{text}", flush=True)
    return False


@contextmanager
def _flipped(file: Path, mutant: Mutant) -> Iterator[None]:
    whole = file.read_text()
    file.write_text(whole.replace(mutant.old, mutant.new))
    try:
        yield
    finally:
        file.write_text(whole)


def _pytest(folder: Path, *, keep: bool = False) -> tuple[int, str]:
    """Runs the scoring tests against the copy: exit code and output. `keep`: bytecode may be written."""
    env = {**os.environ, "PYTHONPATH": str(folder)}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    if not keep:
        env["PYTHONDONTWRITEBYTECODE"] = "1"
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", "-p", "no:inline_snapshot", "tests/scoring"],
            cwd=folder, env=env, capture_output=True, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return 1, ""
    return done.returncode, done.stdout + done.stderr


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
