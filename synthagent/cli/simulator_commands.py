"""The groups `audit` and `map`, and `select`. Only words and wiring here, as in `main`."""

from pathlib import Path
from typing import Annotated

import typer

from synthagent.cli.options import Config, Json, JudgeRole, JudgeWay, Mode, RunPath, Store, TaskFile, Tools, User

audit = typer.Typer(help="What a task set is worth.", no_args_is_help=True, rich_markup_mode=None)
maps = typer.Typer(help="Response maps of simulated tools.", no_args_is_help=True, rich_markup_mode=None)


@audit.command("decontaminate")
def audit_decontaminate(
    tasks: TaskFile,
    against: Annotated[
        list[Path], typer.Option(help="An evaluation set: a file or a folder; may be repeated.", show_default=False)
    ],
    allow: Annotated[Path | None, typer.Option(help="Phrases that may occur in both, one a line.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Also write the findings here (JSONL).")] = None,
    json: Json = False,
) -> None:
    """Find what a task set shares with evaluation sets; exit code 1 if there is anything."""
    from synthagent.cli.audit import run_decontaminate

    run_decontaminate(tasks, against, allow, out, json)


@audit.command("diversity")
def audit_diversity(
    tasks: TaskFile,
    sample: Annotated[int, typer.Option(help="Tasks looked at, at most.", min=2)] = 20_000,
    seed: Annotated[int, typer.Option(help="Which ones, if there are more.")] = 0,
    json: Json = False,
) -> None:
    """How different the tasks of a set are from one another."""
    from synthagent.cli.audit import run_diversity

    run_diversity(tasks, sample, seed, json)


@audit.command("consistency")
def audit_consistency(
    tasks: TaskFile,
    tools: Tools = None,
    map_: Mode = "state",
    limit: Annotated[int | None, typer.Option(help="Only the first so many tasks.", min=1)] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Whether the same call gets the same answer, however and whenever it comes; exit code 1 if not."""
    from synthagent.cli.casting import others
    from synthagent.cli.simulators import run_consistency

    run_consistency(tasks, others("facts", tools, map_, None, tasks, 0.0), limit, config, json)


@audit.command("user")
def audit_user(
    tasks: TaskFile,
    user: Annotated[str, typer.Option(help="The model that plays the user.", show_default=False)],
    agent: Annotated[
        list[str] | None, typer.Option(help="Who talks to it; may be repeated; default scripted:reference.")
    ] = None,
    tools: Tools = None,
    map_: Mode = "state",
    map_store: Store = None,
    n: Annotated[int, typer.Option("-n", help="Episodes a task and agent.", min=1)] = 1,
    limit: Annotated[int | None, typer.Option(help="Only the first so many tasks.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="Seeds the samples.")] = 0,
    config: Config = None,
    json: Json = False,
) -> None:
    """How often a user that is a model breaks its rules."""
    from synthagent.cli.casting import others
    from synthagent.cli.simulators import run_user

    with_ = others(user, tools, map_, map_store, tasks, 0.0, strict=False)
    run_user(tasks, agent or ["scripted:reference"], with_, n, limit, seed, config, json)


@audit.command("redteam")
def audit_redteam(
    tasks: TaskFile,
    tools: Tools = None,
    map_: Mode = "state",
    map_store: Store = None,
    judge: JudgeRole = None,
    judge_mode: JudgeWay = "checks",
    limit: Annotated[int | None, typer.Option(help="Only the first so many tasks.", min=1)] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """What agents that do not try earn; exit code 1 with the tasks that let one through."""
    from synthagent.cli.bench import bench
    from synthagent.cli.casting import others
    from synthagent.cli.simulators import run_redteam

    with_ = others("facts", tools, map_, map_store, tasks, 0.0, bench=bench(judge, judge_mode))
    run_redteam(tasks, with_, limit, config, json)


@audit.command("passport")
def audit_passport(
    tasks: TaskFile,
    agent: Annotated[str, typer.Option(help="Who plays.", show_default=False)],
    n: Annotated[int, typer.Option("-n", help="Tries a task.", min=1)] = 8,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Where the tasks go (JSONL); default back into TASKS.")
    ] = None,
    threshold: Annotated[float, typer.Option(help="Rewards from here on are a pass.", min=0, max=1)] = 1.0,
    user: User = "facts",
    tools: Tools = None,
    map_: Mode = "state",
    map_store: Store = None,
    judge: JudgeRole = None,
    judge_mode: JudgeWay = "checks",
    protocol: Annotated[str, typer.Option(help="text, tools or tags.")] = "text",
    seed: Annotated[int, typer.Option(help="Seeds the samples.")] = 0,
    limit: Annotated[int | None, typer.Option(help="Only the first so many tasks.", min=1)] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """How often an agent gets each task right, noted in the tasks."""
    from synthagent.cli.bench import bench
    from synthagent.cli.casting import others
    from synthagent.cli.passports import run_passport

    with_ = others(user, tools, map_, map_store, tasks, 0.0, bench=bench(judge, judge_mode))
    run_passport(tasks, agent, with_, n, protocol, threshold, limit, seed, out, config, json)


def select(
    tasks: TaskFile,
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the tasks go (JSONL).", show_default=False)],
    band: Annotated[tuple[float, float], typer.Option(help="Lowest and highest, both kept.")] = (0.2, 0.85),
    agent: Annotated[str | None, typer.Option(help="Whose passports; default the only agent's.")] = None,
    by: Annotated[str, typer.Option(help="rate or mean_reward.")] = "rate",
    families: Annotated[bool, typer.Option(help="Keep whole families of which one task is in the band.")] = False,
    json: Json = False,
) -> None:
    """Keep the tasks that an agent gets right neither never nor always, by their passports."""
    from synthagent.cli.passports import run_select

    run_select(tasks, band, agent, by, families, out, json)


@audit.command("judge")
def audit_judge(
    run: RunPath,
    judge: Annotated[str, typer.Option(help="The model that judges.", show_default=False)],
    repeats: Annotated[int, typer.Option("--repeats", "-r", help="Times each episode is judged.", min=2)] = 6,
    judge_mode: JudgeWay = "checks",
    open_: Annotated[
        str | None, typer.Option("--open", help="Take away checks with these operators, such as said,declined.")
    ] = None,
    only_open: Annotated[bool, typer.Option("--only-open", help="Do not ask about what has a check.")] = False,
    limit: Annotated[int | None, typer.Option(help="Only the first so many episodes.", min=1)] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Keep every judgment here (JSONL).")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what --out holds.")] = False,
    config: Config = None,
    json: Json = False,
) -> None:
    """How steady a judge is, and how often it says what code knows."""
    from synthagent.cli.bench import bench
    from synthagent.cli.judging import run_judge, trial

    wanted = trial(repeats, open_, only_open=only_open)
    run_judge(run, bench(judge, judge_mode), wanted, limit, out, resume, config, json)


@audit.command("stats")
def audit_stats(
    tasks: TaskFile,
    run: Annotated[Path | None, typer.Option(help="A run of these tasks, for its interactions.")] = None,
    map_store: Store = None,
    json: Json = False,
) -> None:
    """The figures by which the paper describes its data."""
    from synthagent.cli.simulators import run_stats

    run_stats(tasks, run, map_store, json)


@audit.command("compile")
def audit_compile(
    tasks: TaskFile,
    teacher: Annotated[str, typer.Option(help="The model that writes programs.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the tasks go (JSONL).", show_default=False)],
    map_store: Store = None,
    rounds: Annotated[int, typer.Option(help="Times a program is sent back.", min=0, max=10)] = 2,
    limit: Annotated[int | None, typer.Option(help="Only the first so many tasks.", min=1)] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Make simulated tools executable, from what they were seen to answer."""
    from synthagent.cli.simulators import run_compile

    run_compile(tasks, teacher, out, map_store, rounds, limit, config, json)


@maps.command("export")
def map_export(
    store: Annotated[str, typer.Argument(help="A file, http://... or redis://...", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the entries go (JSONL).", show_default=False)],
    json: Json = False,
) -> None:
    """Write a response map as JSONL."""
    from synthagent.cli.maps import run_export

    run_export(store, out, json)


@maps.command("import")
def map_import(
    store: Annotated[str, typer.Argument(help="A file, http://... or redis://...", show_default=False)],
    files: Annotated[list[Path], typer.Argument(help="Exported maps (JSONL).", show_default=False)],
    json: Json = False,
) -> None:
    """Read exported maps into one; what is decided there already stays, and conflicts are told."""
    from synthagent.cli.maps import run_import

    run_import(store, files, json)
