"""eval report and eval list."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from synthagent.cli.console import print_json, print_table, say
from synthagent.errors import InputError
from synthagent.evaluation.results import Evaluation
from synthagent.evaluation.suites import OURS, Suite, benchmark, names
from synthagent.evaluation.tables import Run, markdown, pairs

SHOWN = ("suite", "kind", "size", "licence", "metric", "null_baseline", "needs", "ready", "data")
"""Columns of the table; `--json` has the titles too."""


def run_eval_report(folders: Sequence[Path], json: bool) -> None:
    """Prints the tables of evaluation folders, or their figures. Raises `RunFolderError` for what is none."""
    runs = [_run(path) for path in folders]
    if json:
        results = [
            {"run": run.name, "suite": suite, **result.model_dump(mode="json")}
            for run in runs
            for suite, result in run.results.items()
        ]
        print_json({"results": results, "differences": [pair.model_dump(mode="json") for pair in pairs(runs)]})
        return
    typer.echo(markdown(runs), nl=False)
    missing = [run.name for run in runs if not run.results]
    if missing:
        say(f"nothing finished yet: {', '.join(missing)}")


def _run(path: Path) -> Run:
    folder = Evaluation(path)
    asked, results = folder.asked(), folder.results()
    items = {suite: folder.items(suite) for suite, result in results.items() if result.status == "ok"}
    return Run(str(path), asked.agent, results, items)


def run_eval_list(json: bool) -> None:
    """Prints every suite, and whether its data or its harness is here."""
    rows = [_listed(benchmark(name).suite) for name in names()]
    if json:
        print_json(rows)
    else:
        print_table(rows, SHOWN)


def _listed(suite: Suite) -> dict[str, Any]:
    ready, where = _at_hand(suite)
    needs = [*suite.tools]
    needs += ["user"] if suite.harness == "tau2" else []
    needs += ["judge"] if suite.kind == "search" else []
    return {
        "suite": suite.name, "title": suite.title, "kind": suite.kind, "size": suite.size, "licence": suite.licence,
        "metric": suite.metric, "null_baseline": suite.null.value, "needs": ", ".join(needs), "ready": ready,
        "data": where,
    }  # fmt: skip


def _at_hand(suite: Suite) -> tuple[bool, str]:
    """Whether nothing has to be fetched, and where it is or how to get it."""
    from synthagent.cli.evaluating_tasks import cache_root
    from synthagent.evaluation.datasets.source import at_hand

    if suite.name not in OURS:
        return True, "its plugin's"
    if suite.harness:
        from synthagent.cli.evaluating_harness import harness_of

        try:
            versions = harness_of(benchmark(suite.name)).versions()
        except InputError:
            return False, f"synthagent eval setup {suite.harness}"
        return True, ", ".join(versions.values())
    if suite.kind == "tasks":
        return True, "made here"
    path = at_hand(suite, cache_root())
    return (True, str(path)) if path else (False, f"hub: {suite.source.repo if suite.source else ''}")
