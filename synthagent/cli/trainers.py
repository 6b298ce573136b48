"""Which trainers there are: ours, TRL's and those of plugins, which get a `Job`; and verl, which gets files."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from synthagent import plugins
from synthagent.cli.casting import FACTS
from synthagent.cli.console import print_json, say
from synthagent.cli.training_company import OPENS
from synthagent.errors import InputError
from synthagent.schema.tasks import Task
from synthagent.training.job import Trainer
from synthagent.training.recipe import Recipe
from synthagent.training.tokens import Tokenizer
from synthagent.training.verl_launch import Others, launch, write_launch

GROUP = "synthagent.trainers"
OURS = ("native", "trl", "verl")
NEEDS_TORCH = "PyTorch, then pip install 'synthagent[train]': see README, PyTorch"


def refuse_unknown(name: str) -> None:
    """Raises `InputError` with the trainers there are."""
    known = (*OURS, *plugins.names(GROUP))
    if name not in known:
        raise InputError(f"--trainer: '{name}' is not one of {', '.join(known)}")


def trainer_of(name: str, recipe: Recipe) -> Trainer:
    """The trainer of a name, and a line for everything in which it does not follow the recipe. Raises `InputError`."""
    if name not in OURS:
        found: Trainer = plugins.load(GROUP, name)
        return found
    try:
        if name == "trl":
            from synthagent.training.trl_settings import notes_on, refuse_version

            refuse_version()
            from synthagent.training.trl_trainer import practise

            tell(notes_on(recipe))
            return practise
        from synthagent.training.native import practise as native
    except ImportError as error:
        raise InputError(f"training needs torch and transformers ({error})", way_out=NEEDS_TORCH) from error
    return native


def tell(notes: Sequence[str]) -> None:
    """Says what is otherwise than the recipe has it."""
    for note in notes:
        say(f"note: {note}")


def run_verl(
    tasks: Sequence[Task], recipe: Recipe, policy: Path, tokenizer: Tokenizer, out: Path,
    heldout: Mapping[str, Sequence[Task]], settings_file: Path | None, *, dry_run: bool, json: bool,
) -> None:  # fmt: skip
    """Writes what verl needs into a folder, and runs it unless that is all that was asked for. Raises `InputError`."""
    others = None
    if recipe.data.user != FACTS:
        options = {"user": recipe.data.user}
        if settings_file is not None:
            options["settings_file"] = str(settings_file.resolve())
        others = Others(opens=OPENS, options=options)
    planned = write_launch(
        tasks, recipe, policy.resolve(), out, held_out=heldout, others=others, tokenizer=tokenizer
    )  # fmt: skip
    tell(planned.notes)
    say(f"written for verl: {planned.folder}; the command is in command.txt")
    if json:
        print_json({"folder": str(planned.folder), "overrides": planned.overrides, "notes": planned.notes})
    if not dry_run:
        launch(planned)
