"""The registry: fourteen data sets, groups, and suites of strangers."""

import pytest

from synthagent import plugins
from synthagent.errors import InputError
from synthagent.evaluation.bfcl import SUITES as BFCL
from synthagent.evaluation.datasets.shapes import SHAPES
from synthagent.evaluation.paper import ROWS, TABLES
from synthagent.evaluation.suites import GROUPS, HELDOUT, OURS, Benchmark, chosen
from synthagent.evaluation.tau2 import SUITES as TAU2


def test_all_names_the_papers_fourteen_and_its_tables_hold_them():
    assert len(GROUPS["all"]) == 14
    assert set(GROUPS["all"]) == {suite for suites in TABLES.values() for suite in suites}
    assert {suite for row in ROWS for suite in row.figures} == set(TABLES["tool use"])


def test_each_suite_has_somebody_who_can_run_it():
    for name, suite in OURS.items():
        known = {"harness": {*BFCL, *TAU2}, "math": set(SHAPES), "search": set(SHAPES), "tasks": {HELDOUT}}
        assert name in known[suite.kind]
        assert (suite.source is not None) == (suite.kind in ("math", "search"))


def test_groups_are_spelt_out_and_nothing_is_run_twice():
    found = [one.suite.name for one in chosen("aime25, math,bfcl_base")]
    assert found == ["aime25", "aime24", "hmmt25", "olympiadbench", "bfcl_base"]


@pytest.mark.parametrize("text", ["", ",", "aime23", "aime24,bfcl_all"])
def test_an_unknown_suite_is_told_with_those_there_are(text: str):
    with pytest.raises(InputError, match=r"aime24.*tau2"):
        chosen(text)


def test_a_null_baseline_says_what_measured_it():
    for suite in OURS.values():
        assert (suite.null.value is None) == (suite.null.command == "")
        assert suite.null.value is None or f"--suite {suite.name} " in suite.null.command


def test_the_group_of_plugins_is_known():
    assert "synthagent.benchmarks" in plugins.GROUPS
    assert Benchmark(OURS["aime24"]).problems is None
