"""A problem as a task: the same task file, rollouts and scores as tasks with a world, and nobody to ask."""

from synthagent.errors import InputError
from synthagent.reasoning.problems import Problem
from synthagent.reasoning.python_tool import python_tool
from synthagent.reasoning.search import search_tool
from synthagent.schema.checks import Answered, AnswerKind, AnswerSpec
from synthagent.schema.tasks import (
    Brief,
    Criterion,
    Hidden,
    Provenance,
    Rubric,
    SayStep,
    Service,
    Task,
    Tool,
    World,
    identified,
)

ENDINGS: dict[AnswerKind, str] = {
    "math": "Put your final answer in \\boxed{}.",
    "text": 'End with a line that begins with "Answer:" and holds nothing but your final answer.',
}
"""How the final answer is to be given: the last line of every brief."""
_ALONE: dict[AnswerKind, str] = {"math": "", "text": ", given without alternatives,"}
"""For the judge of a free answer: who lists what might be right has not answered."""
_NOW = "2000-01-01T00:00:00"
"""A world needs a clock; reasoning tasks are not told of it."""


def as_task(problem: Problem, *, provenance: Provenance | None = None, family: str = "") -> Task:
    """The task to answer this question, with the tools that the problem names.

    Its one sub-goal is the right answer, which `scripted:reference` gives. `family`: what problems share that are not
    independent of each other; empty: the problem stands alone. Raises `InputError` for a problem without an answer,
    or without a question.
    """
    where = f"problem {problem.id}"
    question, gold = problem.question.strip(), (problem.gold or "").strip()
    if not question:
        raise InputError("there is no question", where=where)
    if not gold:
        raise InputError("nobody knows its answer, so that no answer could be scored", where=where)
    saying = f"\\boxed{{{gold}}}" if problem.answer == "math" else f"Answer: {gold}"
    right = Criterion(
        id="answer",
        text=f"The final answer to the question{_ALONE[problem.answer]} means the same as: {gold}",
        check=Answered(answer=AnswerSpec(gold=gold, kind=problem.answer)),
        evidence=("message",),
    )
    return _task(problem, right, (SayStep(say=saying),), provenance, family)


def posed(problem: Problem) -> Task:
    """The task of a problem whose answer nobody knows: it can be played, and says nothing of who is right."""
    return _task(problem, Criterion(id="answer", text="There is a final answer to the question."), (), None, "")


def _task(
    problem: Problem, criterion: Criterion, reference: tuple[SayStep, ...], provenance: Provenance | None, family: str
) -> Task:
    tools = {service: tool_of(service) for service in dict.fromkeys(problem.tools)}
    source = problem.source or "problem"
    task = Task(
        family=family or f"{source}/{problem.id}",
        brief=Brief(
            instruction=f"{problem.question.strip()}\n\n{ENDINGS[problem.answer]}",
            tools=tuple(tools.values()), kind="reasoning",
        ),
        hidden=Hidden(goal="The right answer to the question."),
        world=World(
            now=_NOW, ddl="", rows={}, programs={}, services={tool.name: service for service, tool in tools.items()}
        ),
        rubric=Rubric(subgoals=(criterion,)),
        reference=reference,
        provenance=provenance or Provenance(domain=source, features=("reasoning", problem.answer, *problem.tools)),
    )  # fmt: skip
    return identified(task)


def tool_of(service: Service) -> Tool:
    """The tool that a service answers, as an agent sees it."""
    return python_tool() if service == "python" else search_tool()


def services_of(task: Task) -> frozenset[Service]:
    """What the tools of a task need."""
    return frozenset(task.world.services.values())
