"""The commands of the pages that need PyTorch and a model work too, with a model of random weights for theirs."""

import shutil
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, commands, saved_files, typed

TRAINING = DOCS / "training.md"


@pytest.fixture(scope="module")
def reader(tiny, tmp_path_factory) -> Path:
    """The folder of a reader who has a model, and has saved the page's files."""
    path = tmp_path_factory.mktemp("reader")
    shutil.copytree(tiny, path / "models" / "small")
    for name in ("cold-start.toml", "practice.toml"):
        (path / name).write_text(saved_files()[name])
    return path


def test_every_command_of_the_page_on_training_works_in_the_order_in_which_it_stands(reader):
    for command in commands(TRAINING):
        code, output = typed(command.bare, reader)
        assert code == 0, f"training.md:{command.line}: {command.text}\n" + "\n".join(output)
    assert (reader / "runs" / "train" / "policy" / "model.safetensors").exists()


def test_the_readmes_words_on_training_are_those_of_the_page(reader):
    """What the README shows of it is run with the page's recipe, on the page's tasks."""
    readme = DOCS.parent / "README.md"
    ours = [c for c in commands(readme) if c.text.startswith(("synthagent sft", "synthagent train"))]
    shutil.copy(reader / "parts" / "train.jsonl", reader / "tasks.jsonl")
    shutil.copytree(reader / "runs" / "demos", reader / "runs" / "careful")
    shutil.rmtree(reader / "runs" / "sft", ignore_errors=True)
    shutil.rmtree(reader / "runs" / "train", ignore_errors=True)
    assert len(ours) == 2
    for command in ours:
        code, output = typed(command.bare, reader)
        assert code == 0, f"README.md:{command.line}: {command.text}\n" + "\n".join(output)
