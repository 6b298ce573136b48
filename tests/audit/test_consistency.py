"""The certificate: 100 % where tools are programs and behind the map, whatever the model says; far less without."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from synthagent.audit.consistency import CLASSES, Certificate, certify
from synthagent.schema.tasks import Task
from synthagent.simulation.map_store import MemoryStore
from synthagent.simulation.response_map import MapMode, ResponseMap
from tests.builders import library
from tests.maps import Place, Telling, babbling, hybrid, opened, place


async def certified(task: Task, opening: Any) -> Certificate:
    certificate = Certificate()
    assert [one.id async for one in certify([task], opening, certificate)] == [task.id]
    return certificate


@asynccontextmanager
async def nobody() -> AsyncIterator[None]:
    yield None


def behind(where: Place, mode: MapMode = "state") -> Any:
    @asynccontextmanager
    async def opening() -> AsyncIterator[ResponseMap]:
        async with opened(where, mode=mode) as tools:
            yield tools

    return opening


async def test_programs_are_consistent_in_every_class():
    certificate = await certified(library(), nobody)
    assert certificate.identical_share == 1.0
    assert certificate.counterexamples == []
    assert {kind for kind in CLASSES if certificate.checks[kind]} == set(CLASSES)
    assert certificate.match_rate is None
    assert certificate.failed == 0


@pytest.mark.parametrize("kind", ["sqlite", "http", "redis"])
async def test_behind_the_map_a_random_model_is_consistent_in_every_class(kind: str, tmp_path: Path):
    with place(kind, tmp_path) as where:
        certificate = await certified(hybrid("find_member", "list_loans", "renew_loan", "place_hold"), behind(where))
    assert certificate.identical_share == 1.0
    assert {kind for kind in CLASSES if certificate.checks[kind]} == set(CLASSES)
    assert certificate.match_rate is not None
    assert 0 < certificate.match_rate < 1, "capitals are the same by code; what a random model says never is"


async def test_without_the_map_the_same_model_contradicts_itself_and_every_case_is_shown(tmp_path: Path):
    with place("sqlite", tmp_path) as where:
        certificate = await certified(hybrid("find_member", "list_loans"), behind(where, "none"))
    assert certificate.identical_share is not None
    assert certificate.identical_share < 0.6
    assert len(certificate.counterexamples) == certificate.checks.total() - certificate.identical.total()
    assert {check.simulated for check in certificate.counterexamples} == {True}
    one = certificate.counterexamples[0]
    assert one.first != one.second
    assert one.tool in ("find_member", "list_loans")


async def test_a_map_that_forgets_is_caught_by_the_restart():
    @asynccontextmanager
    async def forgetful() -> AsyncIterator[ResponseMap]:
        yield babbling(MemoryStore())

    certificate = await certified(hybrid("find_member"), forgetful)
    assert {check.kind for check in certificate.counterexamples} == {"restart"}


async def test_the_papers_map_repeats_itself_after_a_write_and_is_consistent(tmp_path: Path):
    with place("sqlite", tmp_path) as where:
        certificate = await certified(hybrid("list_loans"), behind(where, "paper"))
    assert certificate.identical_share == 1.0


async def test_calls_that_nobody_answers_are_counted_and_are_no_evidence():
    from synthagent.errors import ToolFailed

    @asynccontextmanager
    async def failing() -> AsyncIterator[ResponseMap]:
        yield ResponseMap(MemoryStore(), Telling(*[ToolFailed("no", reason="x")] * 1000))

    certificate = await certified(hybrid("find_member"), failing)
    assert certificate.counterexamples == []
    assert all(check.tool != "find_member" for check in certificate.counterexamples)
