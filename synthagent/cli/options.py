"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")]
TaskFile = Annotated[Path, typer.Argument(help="A task file (JSONL).", show_default=False)]
RunPath = Annotated[Path, typer.Argument(help="A run folder.", show_default=False)]
User = Annotated[str, typer.Option(help="Who plays the user: facts, or a model.")]
Tools = Annotated[str | None, typer.Option(help="The model that stands in for tools without a program.")]
Mode = Annotated[str, typer.Option("--map", help="How its answers are kept: state, paper, none or frozen.")]
Store = Annotated[
    str | None, typer.Option(help="Where: a file, memory, http://... or redis://...; default beside the tasks.")
]
Config = Annotated[Path | None, typer.Option(help="Settings file; default synthagent.toml here.")]
Knob = Annotated[str | None, typer.Option(help="Range such as 2 or 1-3; overrides the difficulty.")]
Search = Annotated[
    str | None, typer.Option("--search", help="What answers searches: corpus:FILE, serper, tavily or searxng:URL.")
]
Python = Annotated[str, typer.Option("--python", help="What runs Python: auto, monty, bwrap or unsafe-local.")]
UnsafeLocal = Annotated[
    bool, typer.Option("--unsafe-local", help="Run Python without a sandbox, on a machine that may be lost.")
]
JudgeRole = Annotated[str | None, typer.Option("--judge", help="The model that decides what code cannot see.")]
JudgeWay = Annotated[
    str, typer.Option("--judge-mode", help="checks, or paper: the judge decides everything, as in the paper.")
]
Formula = Annotated[
    str | None, typer.Option("--reward", help="How verdicts become a reward: mean, strict, subgoals or weighted.")
]
Engine = Annotated[
    str, typer.Option("--engine", help="local, or ray: workers of a cluster, ray:ADDRESS of a running one.")
]
Workers = Annotated[
    int | None, typer.Option("--workers", help="Of --engine ray; default one a processor of the cluster.", min=1)
]
