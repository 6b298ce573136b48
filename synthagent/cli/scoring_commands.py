"""The commands `score` and `report`. Only words and wiring here, as in `main`."""

from pathlib import Path
from typing import Annotated

import typer

from synthagent.cli.options import Config, Formula, Json, JudgeRole, JudgeWay, RunPath


def score(
    run: RunPath,
    rubrics: Annotated[
        Path | None, typer.Option(help="A task file with other rubrics for the tasks played; needs --out.")
    ] = None,
    judge: JudgeRole = None,
    judge_mode: JudgeWay = "checks",
    reward: Formula = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="A new run folder; default: the run's own.")] = None,
    retry_unscored: Annotated[
        bool, typer.Option("--retry-unscored", help="Only what no judge could decide so far.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Leave out what is scored just so already.")] = False,
    config: Config = None,
    json: Json = False,
) -> None:
    """Score the stored episodes of a run again, without playing them."""
    from synthagent.cli.bench import bench
    from synthagent.cli.scoring import Rescoring, run_score

    wanted = Rescoring(run, rubrics, bench(judge, judge_mode), out, retry_unscored, resume)
    run_score(wanted, config, {"reward": reward}, json)


def report(
    run: RunPath,
    compare: Annotated[
        Path | None, typer.Option(help="Another run: differences, paired by task, and flips per criterion.")
    ] = None,
    blame: Annotated[bool, typer.Option("--blame", help="Who caused the zeros and the unscored, and why.")] = False,
    json: Json = False,
) -> None:
    """Reward, violations, blame, tokens and time per agent."""
    from synthagent.cli.report import run_report

    run_report(run, compare, json, blame=blame)
