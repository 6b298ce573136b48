"""The task file: one task is a small world with a brief, a user, a rubric and a reference solution.

Source of the parts: Lyu et al., *Mock Worlds, Real Skills*, section 3.1; worlds, checks and twins are ours.
"""

from functools import cached_property
from typing import Any, Literal

from pydantic import Field

from synthagent.schema.checks import Check
from synthagent.schema.record import Json, Record, content_id, dump

SCHEMA = "synthagent.task/1"

Disposition = Literal["cooperative", "terse", "pushy", "adversarial"]
Kind = Literal["tool_use", "reasoning"]
"""`tool_use`: the agent does something for a user. `reasoning`: it finds the answer to a question, alone."""
Service = Literal["python", "search"]
"""What really answers a tool: the Python sandbox, the search backend."""


class Function(Record):
    """A tool as the agent sees it, in OpenAI's function-calling form."""

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$")
    description: str
    parameters: dict[str, Any]
    """JSON Schema of the arguments: an object."""


class Tool(Record):
    """A tool of a task: OpenAI's form plus what it returns and whether it writes."""

    type: Literal["function"] = "function"
    function: Function
    outputs: dict[str, Any] = {}
    """JSON Schema of the result."""
    effect: Literal["read", "write"]
    reads: tuple[str, ...] | None = None
    """Simulated tools: the tables (or other things by name) whose state the answer may depend on; None: anything."""
    writes: tuple[str, ...] | None = None
    """Simulated write tools: what a call may change, by the names that `reads` uses; None: anything."""

    @property
    def name(self) -> str:
        return self.function.name


class Brief(Record):
    """All that the agent ever sees of a task (paper: the instruction I)."""

    instruction: str
    """One sentence in the user's words. Names no tool and leaks no hidden value."""
    tools: tuple[Tool, ...]
    rules: tuple[str, ...] = ()
    """Restrictions as the agent reads them."""
    kind: Kind = "tool_use"
    """`reasoning`: there is nobody to ask, and a message without a tool call is the final answer."""


class Fact(Record):
    """One thing only the user knows (paper: a part of the context C)."""

    id: str
    topic: str
    """What the fact is about, in a few words."""
    aliases: tuple[str, ...] = ()
    """Other ways to ask for it."""
    text: str
    """How the user says it."""
    value: str | int | float | bool


class Request(Record):
    """Something the user asks for only after the first request has been dealt with."""

    id: str
    text: str


class Hidden(Record):
    """All that the user knows and the agent does not."""

    goal: str
    """What the user wants, in the user's words."""
    disposition: Disposition = "cooperative"
    facts: tuple[Fact, ...] = ()
    escape_lines: tuple[str, ...] = ()
    """What the user says, one after another, to get round a refusal."""
    parts: int = 1
    """How many separate things the opening instruction asks for."""
    requests: tuple[Request, ...] = ()
    """Revealed one at a time, each when the one before is closed."""


class Require(Record):
    """A precondition: the query must return a row, or the call fails with the message."""

    require: str
    otherwise: str = Field(alias="else")


class Run(Record):
    """A write: one INSERT, UPDATE or DELETE that must change at least one row."""

    run: str


class Return(Record):
    """The result of the call."""

    query: str = Field(alias="return")
    shape: Literal["rows", "row", "value", "column"] = "rows"
    """`rows`: list of objects; `row`: one object or null; `value`: the first column of one row; `column`: a list."""


Step = Require | Run | Return


class World(Record):
    """The state behind the tools: a small SQLite database, and a program of guarded SQL for each tool."""

    now: str
    """The fixed clock, ISO 8601 without zone."""
    ddl: str
    """CREATE TABLE statements, STRICT, with primary keys; money in cents."""
    rows: dict[str, tuple[tuple[Any, ...], ...]]
    programs: dict[str, tuple[Step, ...]]
    """Tool name -> ordered steps. A tool without a program is simulated by a model from `grounding`, or is one of the
    `services`."""
    ends_episode: tuple[str, ...] = ()
    """Tools whose success ends the episode."""
    grounding: dict[str, str] = {}
    """Tool name -> what a model needs to know to simulate it."""
    services: dict[str, Service] = {}
    """Tool name -> the service that answers it; such a tool has neither a program nor a grounding."""


class SayStep(Record):
    """The agent says something that is neither a question for a fact nor a call."""

    say: str


class AskStep(Record):
    """The agent asks the user for a fact."""

    ask: str
    """The fact's id."""
    text: str


class CallStep(Record):
    """The agent calls a tool.

    Arguments may hold `{"$fact": ID}` and `{"$from": "STEP.path"}`, the latter with `where` (column -> value) to pick
    the one matching row of a list, and `take` for the path within it.
    """

    call: str
    args: dict[str, Any] = {}


ReferenceStep = AskStep | CallStep | SayStep


class Criterion(Record):
    """One line of a rubric."""

    id: str
    text: str
    check: Check | None = None
    """None: only a judge can decide."""
    evidence: tuple[Literal["call", "message"], ...] = ()
    """What can prove it to a judge: a tool call that succeeded, an exchange with the user; empty: what suits its part
    of the rubric."""
    trap: tuple[ReferenceStep, ...] = ()
    """Forbidden criteria: steps that break the rule; they succeed in the world and cost the whole reward."""


class Rubric(Record):
    """How an episode is scored (paper, section 3.3)."""

    forbidden: tuple[Criterion, ...] = ()
    """A check here states the violation: true means violated."""
    subgoals: tuple[Criterion, ...] = Field(min_length=1)
    interactions: tuple[Criterion, ...] = ()

    @cached_property
    def rubric_id(self) -> str:
        return content_id(dump(self))

    @property
    def unchecked(self) -> list[str]:
        """Ids of the criteria that only a judge can decide."""
        every = (*self.forbidden, *self.subgoals, *self.interactions)
        return [criterion.id for criterion in every if criterion.check is None]


class Provenance(Record):
    """Where a task comes from. Not part of its id."""

    persona: str = ""
    teacher: str = ""
    domain: str = ""
    """The procedural domain or the scenario's, for splitting."""
    templates: tuple[str, ...] = ()
    """The goals that were composed."""
    features: tuple[str, ...] = ()
    """What the task exercises: `missing_tool`, `revealed`, `long_result`, `confirm`, ..."""
    difficulty: dict[str, int] = {}
    """Knob -> value that was drawn."""
    twin: Literal["fact", "row"] | None = None
    """How this task differs from the root of its family; None for a root."""
    legal: bool = True
    """False: a restriction forbids (part of) what the user wants."""
    seeds: tuple[int, ...] = ()
    prompts: dict[str, str] = {}
    """Prompt file -> fingerprint."""
    parents: tuple[str, ...] = ()
    tokens: int = 0
    """Tokens the teacher spent."""
    screening: dict[str, str] = {}
    """Screen -> `passed` or `pending_simulation`."""
    passports: dict[str, Any] = {}
    """Agent -> how often it got the task right: see `synthagent.audit.passports`."""
    output_licence: str = ""
    """Licence of the teacher's output."""


class Task(Record):
    """One line of a task file."""

    schema_: Literal["synthagent.task/1"] = Field(default="synthagent.task/1", alias="schema")
    id: str = ""
    """Hash of everything but family and provenance; filled in by `identified`."""
    world_id: str = ""
    """Hash of tools, world, programs and grounding: the key of the response map."""
    family: str
    """Twins and branches of one root share it."""
    brief: Brief
    hidden: Hidden
    world: World
    workflow: tuple[str, ...] = ()
    """Sub-goals in words (paper: 5-7 macro sub-goals)."""
    rubric: Rubric
    reference: tuple[ReferenceStep, ...] = ()
    provenance: Provenance = Provenance()

    @property
    def kind(self) -> Kind:
        """Which kind of task it is."""
        return self.brief.kind


def world_id_of(tools: tuple[Tool, ...], world: World) -> str:
    """Hash of the tools and the world behind them."""
    return _world_id([dump(tool) for tool in tools], dump(world))


def task_id_of(task: Task) -> str:
    """Hash of what an episode and its score depend on."""
    return _task_id(task, dump(task.brief), dump(task.world))


def play_id_of(task: Task) -> str:
    """Hash of what an episode depends on: tasks that differ in rubric, workflow or reference alone are played alike."""
    return content_id({"brief": dump(task.brief), "hidden": dump(task.hidden), "world": dump(task.world)})


def identified(task: Task) -> Task:
    """The same task with its ids filled in."""
    brief, world = dump(task.brief), dump(task.world)
    ids = {"id": _task_id(task, brief, world), "world_id": _world_id(brief["tools"], world)}
    return task.model_copy(update=ids)


def _world_id(tools: list[Json], world: Json) -> str:
    return content_id({"tools": tools, "world": world})


def _task_id(task: Task, brief: Json, world: Json) -> str:
    parts = {"brief": brief, "hidden": dump(task.hidden), "world": world, "rubric": dump(task.rubric)}
    parts["workflow"] = list(task.workflow)
    parts["reference"] = [dump(step) for step in task.reference]
    return content_id(parts)
