"""The commands `demos`, `rubrics`, `score` and `report`. Only words and wiring here, as in `main`."""

from pathlib import Path
from typing import Annotated

import typer

from synthagent.cli.options import (
    Config,
    Engine,
    Formula,
    Json,
    JudgeRole,
    JudgeWay,
    Mode,
    RunPath,
    Store,
    TaskFile,
    Tools,
    User,
    Workers,
)


def demos(
    tasks: TaskFile,
    agent: Annotated[list[str], typer.Option(help="Who demonstrates; may be repeated.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="The run folder.", show_default=False)],
    k: Annotated[int, typer.Option("-k", help="Demonstrations a task.", min=1)] = 4,
    user: User = "facts",
    tools: Tools = None,
    map_: Mode = "state",
    map_store: Store = None,
    protocol: Annotated[str, typer.Option(help="text, tools or tags.")] = "text",
    limit: Annotated[int | None, typer.Option(help="Only the first so many tasks.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="Seeds the samples.")] = 0,
    resume: Annotated[bool, typer.Option(help="Go on where the run stopped.")] = False,
    config: Config = None,
    engine: Engine = "local",
    workers: Workers = None,
    json: Json = False,
) -> None:
    """Let a strong agent demonstrate tasks: a run folder for `rubrics` and for supervised training."""
    from synthagent.cli.casting import others
    from synthagent.cli.engines import engine as engine_for
    from synthagent.cli.rollout import run_rollout

    with_, who = others(user, tools, map_, map_store, tasks, 0.0), engine_for(engine, workers)
    run_rollout(tasks, agent, with_, k, protocol, limit, seed, out, resume, config, {}, json, who)


def rubrics(
    tasks: TaskFile,
    demos: Annotated[Path, typer.Option(help="The run folder with the demonstrations.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the tasks go (JSONL).", show_default=False)],
    teacher: Annotated[
        str, typer.Option(help="Who reads them: procedural, or a model such as openai:MODEL@URL.")
    ] = "procedural",
    undone: Annotated[
        float | None, typer.Option(help="Share of a workflow that may be left undone.", min=0, max=1)
    ] = None,
    domain_file: Annotated[
        list[Path] | None, typer.Option(help="A domain of your own (YAML); may be repeated.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first so many tasks.", min=1)] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the teacher stopped.")] = False,
    config: Config = None,
    json: Json = False,
) -> None:
    """Derive rubrics from workflow, rules and demonstrations; what can be a check is one, and proved."""
    from synthagent.cli.rubrics import Wish, run_rubrics

    run_rubrics(Wish(tasks, demos, teacher, out, undone, domain_file or (), limit, resume), config, json)


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
    engine: Engine = "local",
    workers: Workers = None,
    json: Json = False,
) -> None:
    """Score the stored episodes of a run again, without playing them."""
    from synthagent.cli.bench import bench
    from synthagent.cli.engines import engine as engine_for
    from synthagent.cli.scoring import Rescoring, run_score

    wanted = Rescoring(run, rubrics, bench(judge, judge_mode), out, retry_unscored, resume)
    run_score(wanted, config, {"reward": reward}, json, engine_for(engine, workers))


def report(
    run: Annotated[Path, typer.Argument(help="A run folder, or a training folder.", show_default=False)],
    compare: Annotated[
        Path | None, typer.Option(help="Another run: differences, paired by task, and flips per criterion.")
    ] = None,
    blame: Annotated[bool, typer.Option("--blame", help="Who caused the zeros and the unscored, and why.")] = False,
    no_pictures: Annotated[
        bool, typer.Option("--no-pictures", help="Of a training run: only print; write no report.html.")
    ] = False,
    json: Json = False,
) -> None:
    """Reward, violations, blame, tokens and time per agent; of a training run, what it came to, with pictures."""
    from synthagent.cli.report import run_report

    run_report(run, compare, json, blame=blame, pictures=not no_pictures)
