"""The held-out set is frozen, whole, and refused wherever somebody would learn from it."""

from pathlib import Path

import pytest

from examples.train_demo.__main__ import SEEN
from synthagent.errors import InputError
from synthagent.evaluation import heldout as module
from synthagent.evaluation.heldout import DOMAINS, SHA256, heldout, made, refuse_heldout, reserved, sha256_of
from synthagent.evaluation.items import SuiteFailed
from synthagent.evaluation.suites import HELDOUT, OURS
from synthagent.schema.tasks import Task
from synthagent.storage.digests import sha256
from synthagent.storage.task_file import write_tasks


@pytest.fixture(scope="module")
def tasks() -> list[Task]:
    return made()


def test_the_generator_still_makes_the_tasks_that_are_pinned(tasks: list[Task]):
    assert sha256_of(tasks) == SHA256
    assert len(tasks) == OURS[HELDOUT].size


def test_its_domains_are_trained_on_nowhere(tasks: list[Task]):
    assert {task.provenance.domain for task in tasks} == set(DOMAINS)
    assert not set(DOMAINS) & set(SEEN.split(","))


def test_a_set_that_was_made_before_is_read_and_one_that_was_touched_is_made_anew(tasks: list[Task], tmp_path: Path):
    file = tmp_path / f"heldout-{SHA256[:8]}.jsonl"
    write_tasks(file, tasks)
    assert sha256(file) == SHA256
    assert heldout(tmp_path) == tasks
    file.write_bytes(file.read_bytes()[:-2])
    assert heldout(tmp_path) == tasks
    assert sha256(file) == SHA256


def test_another_generator_fails_the_suite(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(module, "EACH", 2)
    with pytest.raises(SuiteFailed, match=r"makes other tasks .*install the version"):
        heldout(tmp_path)


def test_its_families_are_refused_for_training_and_others_are_not(tasks: list[Task]):
    assert all(reserved(task.family) for task in tasks)
    assert not reserved("vet-0-000012")
    assert not reserved("library-7160001-000012")
    other = tasks[0].model_copy(update={"family": "vet-0-000012"})
    refuse_heldout([other], "mine.jsonl")
    with pytest.raises(InputError, match=r"mine.jsonl: .*belongs to the suite synthagent:heldout"):
        refuse_heldout([other, tasks[0]], "mine.jsonl")
