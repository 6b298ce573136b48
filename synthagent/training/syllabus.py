"""Which tasks of a file are learnt from, as a recipe wants it. No torch here."""

from collections.abc import Iterable, Sequence

from synthagent.errors import InputError
from synthagent.schema.messages import Protocol
from synthagent.schema.tasks import Task
from synthagent.simulation.agent import ToolForm, opening, tools_for
from synthagent.simulation.model_agent import as_told
from synthagent.synthesis.ungapped import without_gap
from synthagent.training.recipe import Data, Rollouts
from synthagent.training.tokens import Scroll, Tokenizer

REASONING = "reasoning"
"""The feature of a task that counts as a reasoning task, whatever its kind."""


def is_reasoning(task: Task) -> bool:
    """Whether a task is about thinking (mathematics, search) and not about acting in a world."""
    return task.kind == "reasoning" or REASONING in task.provenance.features


def syllabus(tasks: Iterable[Task], data: Data, where: str) -> list[Task]:
    """The tasks that a recipe takes of a file: the first `data.tasks` that act, and reasoning tasks if it wants some.

    Raises `InputError` when it wants some and there are none, or when nothing is left. `where`: the file.
    """
    found = list(tasks)
    thinking = [task for task in found if is_reasoning(task)] if data.reasoning else []
    acting = [task for task in found if not is_reasoning(task)] if data.reasoning < 1 else []
    if data.reasoning and not thinking:
        raise InputError(
            f"data.reasoning is {data.reasoning:g}, and the file holds no task with the feature '{REASONING}'",
            where=where, way_out="set data.reasoning = 0, or add reasoning tasks: --reasoning FILE",
        )  # fmt: skip
    if data.reasoning < 1 and not acting:
        raise InputError("holds no tasks to act in", where=where, way_out="set data.reasoning = 1 for reasoning alone")
    acting = acting[: data.tasks]
    return [*(acting if data.information_gap else map(without_gap, acting)), *thinking]


def begun(task: Task, protocol: Protocol, tokenizer: Tokenizer, form: ToolForm) -> Scroll:
    """A task's opening as tokens: what the policy is to continue. Raises `TemplateError`."""
    tools = tools_for(task.brief, protocol) if form == "native" else None
    return Scroll(tokenizer, as_told(opening(task.brief, protocol, task.world.now, form), form), tools)


def refuse_long(tasks: Sequence[Task], tokenizer: Tokenizer, form: ToolForm, rollouts: Rollouts) -> None:
    """Raises `InputError` naming the first task whose opening is longer than the recipe's `prompt_tokens`."""
    for task in tasks:
        length = len(begun(task, rollouts.protocol, tokenizer, form).ids)
        if length > rollouts.prompt_tokens:
            raise InputError(
                f"rollouts.prompt_tokens: the opening of task {task.id} has {length} tokens, more than "
                f"{rollouts.prompt_tokens}"
            )
