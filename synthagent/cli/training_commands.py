"""The commands `sft` and `train`. Only words and wiring here, as in `main`."""

from pathlib import Path
from typing import Annotated

import typer

from synthagent.cli.options import Json, TaskFile

PolicyPath = Annotated[
    str, typer.Option("--policy", help="The model: a folder in the form of transformers.", show_default=False)
]
Threads = Annotated[int | None, typer.Option(help="Threads of torch; default one a core.", min=1)]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where the run stopped.")]


def sft(
    data: Annotated[list[Path], typer.Option(help="A run folder of demonstrations; may be repeated.")],
    policy: PolicyPath,
    out: Annotated[Path, typer.Option("--out", "-o", help="The training folder.", show_default=False)],
    recipe: Annotated[Path | None, typer.Option("--config", help="The recipe (TOML).")] = None,
    resume: Resume = False,
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Cold start: let a model imitate demonstrations that earned their reward."""
    from synthagent.cli.training import run_sft

    run_sft(data, policy, out, recipe, threads, resume, json)


def train(
    tasks: TaskFile,
    policy: PolicyPath,
    recipe: Annotated[Path, typer.Option("--config", help="The recipe (TOML).", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="The training folder.", show_default=False)],
    trainer: Annotated[str, typer.Option(help="native, trl, verl, or one of a plugin.")] = "native",
    heldout: Annotated[
        list[Path] | None, typer.Option("--eval", help="Held-out tasks (JSONL); may be repeated.")
    ] = None,
    reasoning: Annotated[
        Path | None, typer.Option(help="Further tasks (JSONL), such as synth-reasoning makes.")
    ] = None,
    report_to: Annotated[
        list[str] | None, typer.Option(help="Further places for figures: tensorboard or trackio; may be repeated.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With verl: write its files, and do not run it.")] = False,
    resume: Resume = False,
    settings_file: Annotated[
        Path | None, typer.Option("--settings", help="Settings file; default synthagent.toml here.")
    ] = None,
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Let a model practise on tasks: reinforcement learning (GRPO)."""
    from synthagent.cli.training import TrainWords, run_train
    from synthagent.config import settings

    run_train(
        TrainWords(
            tasks=tasks, policy=policy, trainer=trainer, config=recipe, out=out, heldout=heldout or [],
            settings=settings(settings_file, {"threads": threads}), settings_file=settings_file,
            reasoning=reasoning, report_to=tuple(report_to or ()), resume=resume, dry_run=dry_run, json=json,
        )
    )  # fmt: skip
