"""synth-reasoning, in words only: it imports what it needs when it runs."""

from pathlib import Path
from typing import Annotated

import typer

from synthagent.cli.options import Config, Json, JudgeRole, Python, Search, UnsafeLocal


def synth_reasoning(
    problems: Annotated[
        str,
        typer.Option(
            help="A file (JSONL, JSON, parquet) or a Hub data set: OWNER/NAME[@REVISION][:FILE].", show_default=False
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the tasks go (JSONL).", show_default=False)],
    teacher: Annotated[
        str, typer.Option(help="The model that rewrites and solves: openai:MODEL@URL.", show_default=False)
    ],
    personas: Annotated[Path | None, typer.Option(help="JSONL with a `persona` key; else our own.")] = None,
    n: Annotated[int, typer.Option("-n", help="Stop after so many tasks.", min=1)] = 1_000_000,
    kind: Annotated[str, typer.Option(help="How answers are compared: math or text.")] = "math",
    offer: Annotated[
        str | None, typer.Option(help="Tools that tasks offer: python, search or none; default by the kind.")
    ] = None,
    solve: Annotated[int, typer.Option(help="Solutions that must agree.", min=2)] = 3,
    variants: Annotated[int, typer.Option(help="Personas a problem.", min=1)] = 1,
    limit: Annotated[int | None, typer.Option(help="Only the first so many problems.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="Draws personas and seeds the teacher.")] = 0,
    search: Search = None,
    python: Python = "auto",
    unsafe_local: UnsafeLocal = False,
    judge: JudgeRole = None,
    licence: Annotated[str | None, typer.Option(help="Licence of the teacher's output, noted in each task.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Stop when so many tokens are spent.", min=1)] = None,
    max_usd: Annotated[float | None, typer.Option(help="Stop when so much is spent.", min=0)] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the teacher stopped.")] = False,
    record: Annotated[bool, typer.Option("--record", help="Keep every exchange with the teacher.")] = False,
    config: Config = None,
    in_flight: Annotated[int | None, typer.Option(help="Problems at once.", min=1)] = None,
    temperature: Annotated[float | None, typer.Option(help="Of the teacher.", min=0)] = None,
    turns: Annotated[int | None, typer.Option(help="Most turns of a solution.", min=1)] = None,
    key_env: Annotated[str | None, typer.Option(help="Environment variable with the endpoint's key.")] = None,
    request_timeout: Annotated[float | None, typer.Option(help="Seconds a model call may take.", min=0)] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of an embedded model.", min=1)] = None,
    json: Json = False,
) -> None:
    """Make reasoning tasks: problems in personas' words, kept where all solutions agree."""
    from synthagent.cli.bench import bench
    from synthagent.cli.questions import Questions, run_questions
    from synthagent.cli.services import serving

    options = {
        "in_flight": in_flight, "temperature": temperature, "turns": turns, "key_env": key_env,
        "request_timeout": request_timeout, "threads": threads,
    }  # fmt: skip
    asked = Questions(
        problems=problems, out=out, teacher=teacher, personas=personas, n=n, kind=kind, offer=offer, solve=solve,
        variants=variants, limit=limit, seed=seed, serving=serving(search, python, unsafe_local=unsafe_local),
        bench=bench(judge, "checks"), licence=licence or "", max_tokens=max_tokens, max_usd=max_usd, resume=resume,
        record=record, config=config, options=options,
    )  # fmt: skip
    run_questions(asked, json)
