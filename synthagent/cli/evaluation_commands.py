"""The group `eval`. Only words and wiring here, as in `main`."""

from pathlib import Path
from typing import Annotated

import typer

from synthagent.cli.options import Config, Engine, Json, JudgeRole, Python, Search, UnsafeLocal, Workers

evaluation = typer.Typer(help="Public benchmarks, and tasks held out.", no_args_is_help=True, rich_markup_mode=None)


@evaluation.command("run")
def eval_run(
    suite: Annotated[str, typer.Option(help="Comma-separated suites or groups; see eval list.", show_default=False)],
    agent: Annotated[str, typer.Option(help="Who plays.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="The evaluation folder.", show_default=False)],
    user: Annotated[str | None, typer.Option(help="The model that plays TAU-2's user.")] = None,
    judge: JudgeRole = None,
    trials: Annotated[int | None, typer.Option(help="Tries at each entry; default as in the paper.", min=1)] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first so many entries of each suite.", min=1)] = None,
    search: Search = None,
    python: Python = "auto",
    unsafe_local: UnsafeLocal = False,
    data_file: Annotated[
        list[str] | None, typer.Option(help="SUITE=FILE: this data, not the hub's; may be repeated.")
    ] = None,
    data_sha256: Annotated[
        list[str] | None, typer.Option(help="SUITE=HASH: what its data must have; may be repeated.")
    ] = None,
    harness_option: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE for BFCL and TAU-2; may be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seeds the tries.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Run what is missing or failed.")] = False,
    config: Config = None,
    in_flight: Annotated[int | None, typer.Option(help="Entries at once.", min=1)] = None,
    temperature: Annotated[float | None, typer.Option(help="Of the agent's model.", min=0)] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Longest turn, in tokens.", min=1)] = None,
    tool_form: Annotated[
        str | None, typer.Option(help="How the agent's model is told of tools: native, hermes, json or compact.")
    ] = None,
    key_env: Annotated[str | None, typer.Option(help="Environment variable with the endpoint's key.")] = None,
    request_timeout: Annotated[float | None, typer.Option(help="Seconds a model call may take.", min=0)] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of a model in this process.", min=1)] = None,
    engine: Engine = "local",
    workers: Workers = None,
    json: Json = False,
) -> None:
    """Run suites and measure an agent; exit code 4 if one of them failed, which is never a score."""
    from synthagent.cli.engines import engine as engine_for
    from synthagent.cli.evaluating import EvalWords, run_eval

    options = {
        "in_flight": in_flight, "temperature": temperature, "max_tokens": max_tokens, "tool_form": tool_form,
        "key_env": key_env, "request_timeout": request_timeout, "threads": threads,
    }  # fmt: skip
    run_eval(
        EvalWords(
            suites=suite, agent=agent, out=out, user=user, judge=judge, trials=trials, limit=limit, search=search,
            python=python, unsafe_local=unsafe_local, data_file=data_file or (), data_sha256=data_sha256 or (),
            harness_option=harness_option or (), seed=seed, config=config, options=options, resume=resume, json=json,
            engine=engine_for(engine, workers),
        )
    )  # fmt: skip


@evaluation.command("report")
def eval_report(
    folders: Annotated[list[Path], typer.Argument(help="Evaluation folders.", show_default=False)],
    json: Json = False,
) -> None:
    """The paper's tables with our rows beside them, every figure with its interval, and differences between folders."""
    from synthagent.cli.evaluation_report import run_eval_report

    run_eval_report(folders, json)


@evaluation.command("list")
def eval_list(json: Json = False) -> None:
    """The suites there are, and whether what they need is here."""
    from synthagent.cli.evaluation_report import run_eval_list

    run_eval_list(json)


@evaluation.command("setup")
def eval_setup(harness: Annotated[str, typer.Argument(help="bfcl or tau2.", show_default=False)]) -> None:
    """Build the environment in which a benchmark's own code runs."""
    from synthagent.cli.evaluating_harness import setup

    setup(harness)
