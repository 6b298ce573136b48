"""Tools -> an executable world: tables with rows, and a program of guarded SQL for each tool, compiled and run.

What does not compile goes back to its author with the exact error, a set number of times; a tool that still does not
is left to be simulated by a model from a grounding text. Nothing a teacher writes is run anywhere but in the sandbox of
`simulation.guarded_sql`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, product
from typing import Any, Literal

import orjson
from pydantic import Field

from synthagent import prompts
from synthagent.errors import EpisodeFailure, TaskFault
from synthagent.llm.structured import NotUnderstood, Structured
from synthagent.schema.record import Record
from synthagent.schema.tasks import Function, Require, Return, Run, Step, Tool, World
from synthagent.simulation.compiling import compile_world
from synthagent.simulation.world import Blueprint
from synthagent.synthesis.deriving import agreed, derived
from synthagent.synthesis.drafts import Name, Scalar, ToolDraft, tool_of
from synthagent.synthesis.scenario import Scenario
from synthagent.synthesis.tables import TablesDraft, ddl_of, rows_of, table_faults, typed
from synthagent.synthesis.toolset import Toolset

TRANSFER = "transfer_to_human"
_NAMED = re.compile(r"(?<![\w:'\"]):([A-Za-z_]\w*)")
_BOUND = re.compile(r"(?<![\w:'\"])[@$](?=[A-Za-z_])")


class StepDraft(Record):
    """One statement of a program."""

    do: Literal["require", "run", "return"]
    sql: str
    otherwise: str = ""
    """require: the error message if there is no row; else empty."""


class Argument(Record):
    """A value for one parameter."""

    name: Name
    value: Scalar


class ProgramDraft(Record):
    """What one tool does, as SQL."""

    tool: Name
    steps: tuple[StepDraft, ...] = Field(min_length=1, max_length=8)
    example: tuple[Argument, ...] = ()
    """Arguments with which it succeeds on the rows as they are."""


class ProgramsDraft(Record):
    """A program for every tool."""

    programs: tuple[ProgramDraft, ...]


@dataclass(frozen=True, slots=True)
class Built:
    """A world and how it came about."""

    tools: tuple[Tool, ...]
    """As the agent sees them, with the hand-over to a human."""
    world: World
    drafts: tuple[ToolDraft, ...]
    """The same as they were drafted, without the hand-over, their types those of the tables."""
    simulated: Mapping[str, str] = field(default_factory=dict)
    """Tools that would not compile -> the last error."""
    rounds: int = 0
    """Programs that were sent back."""

    @property
    def compiled(self) -> int:
        """Tools with a program, the hand-over not counted."""
        return len(self.tools) - 1 - len(self.simulated)


async def build(
    teacher: Structured, scenario: Scenario, toolset: Toolset, *, rounds: int = 2, sample: int = 0
) -> tuple[TablesDraft, Built]:
    """Tables, rows and programs for a set of tools. Raises `NotUnderstood` when there is not even a table.

    `rounds`: how often a program that fails is sent back to its author.
    """
    tables = await _tables(teacher, scenario, toolset, sample)
    prompt = prompts.render("synthesis/programs", tables=tables, tools=toolset.tools)
    messages = [{"role": "user", "content": prompt}]
    drafted = await teacher.ask(messages, ProgramsDraft, stage="programs", sample=sample)
    drafts = {draft.tool: draft for draft in drafted.value.programs}
    tools = agreed(toolset.tools, tables)
    bench = Bench(tables, tools)
    sent_back = 0
    simulated: dict[str, str] = {}
    for tool in tools:
        draft = drafts.get(tool.name)
        for left in range(rounds, -1, -1):
            errors = bench.settle(tool, draft)
            if not errors or not left:
                break
            sent_back += 1
            draft = await _repaired(teacher, tables, tool, draft, errors, sample)
        if errors:
            simulated[tool.name] = "; ".join(errors)
    return tables, bench.built(simulated, sent_back)


async def _tables(teacher: Structured, scenario: Scenario, toolset: Toolset, sample: int) -> TablesDraft:
    prompt = prompts.render("synthesis/tables", scenario=scenario, tools=toolset.tools, rules=toolset.rules)
    messages = [{"role": "user", "content": prompt}]

    def check(draft: TablesDraft) -> list[str]:
        return [*table_faults(typed(draft)), *_unknown_fields(toolset.tools, draft)]

    return typed((await teacher.ask(messages, TablesDraft, stage="tables", sample=sample, check=check)).value)


def _unknown_fields(tools: Sequence[ToolDraft], tables: TablesDraft) -> Iterator[str]:
    """Tables that have hardly a column in common with the tools cannot be what is behind them."""
    columns = {column.name for table in tables.tables for column in table.columns}
    fields = {name.removeprefix("new_") for tool in tools for name in (*(p.name for p in tool.parameters),
                                                                        *(o.name for o in tool.outputs))}  # fmt: skip
    missing = sorted(fields - columns)
    if len(missing) > len(fields) / 2:
        yield f"no table has a column for {', '.join(missing)}, which the tools take or give back: use these names"


async def _repaired(
    teacher: Structured, tables: TablesDraft, tool: ToolDraft, draft: ProgramDraft | None, errors: Sequence[str],
    sample: int,
) -> ProgramDraft | None:  # fmt: skip
    prompt = prompts.render("synthesis/repair_program", tables=tables, tool=tool, draft=draft, errors=errors)
    messages = [{"role": "user", "content": prompt}]
    try:
        found = (await teacher.ask(messages, ProgramDraft, stage="repair_program", sample=sample)).value
    except NotUnderstood:
        return draft  # this round is lost; the tool's errors stand
    return found.model_copy(update={"tool": tool.name})


def program_of(tool: ToolDraft, draft: ProgramDraft, parameters: Sequence[str]) -> tuple[Step, ...]:
    """A drafted program as the task's own steps; a parameter that is bound by a part of its name is called in full."""
    steps: list[Step] = []
    plain = [_BOUND.sub(":", step.sql.strip().rstrip(";").strip()) for step in draft.steps]
    meant = _meant({name for sql in plain for name in _NAMED.findall(sql)}, parameters)
    for step, text in zip(draft.steps, plain, strict=True):
        sql = _NAMED.sub(lambda found: f":{meant.get(found[1], found[1])}", text)
        match step.do:
            case "require":
                steps.append(Require(require=sql, otherwise=step.otherwise.strip() or "not possible"))
            case "run":
                steps.append(Run(run=sql))
            case "return":
                steps.append(Return(query=sql, shape="rows" if tool.returns == "list" else "row"))
    return tuple(steps)


def _meant(bound: set[str], parameters: Sequence[str]) -> dict[str, str]:
    """Bound names that are no parameter -> the one parameter that ends or begins with them, or is the only one left."""
    free = [name for name in parameters if name not in bound]
    found = {}
    for name in sorted(bound - set(parameters)):
        near = [p for p in free if p.endswith(f"_{name}") or p.startswith(f"{name}_") or name.endswith(f"_{p}")]
        near = near or (free if len(free) == 1 else [])
        if len(near) == 1:
            found[name] = near[0]
            free.remove(near[0])
    return found


class Bench:
    """Where programs are tried: the drafted tables, and the programs that have passed."""

    def __init__(self, tables: TablesDraft, tools: Sequence[ToolDraft]):
        self._tables = tables
        self._tools = {draft.name: tool_of(draft) for draft in tools}
        self._names = {draft.name: draft for draft in tools}
        self._world = World(now=tables.now, ddl=ddl_of(tables), rows=rows_of(tables), programs={})
        self.programs: dict[str, tuple[Step, ...]] = {}

    def settle(self, tool: ToolDraft, draft: ProgramDraft | None) -> list[str]:
        """Takes the tool's program, or where that does not work the obvious one; what is wrong if there is neither."""
        names = [parameter.name for parameter in tool.parameters]
        example = {} if draft is None else {a.name: a.value for a in draft.example if a.value is not None}
        steps = None if draft is None else program_of(tool, draft, names)
        errors = ["there is no program for this tool"] if steps is None else self.errors(tool, steps, example)
        if errors:
            obvious = derived(tool, self._tables)
            if obvious is None or self.errors(tool, obvious, {}):
                return errors
            steps = obvious
        assert steps is not None
        self.programs[tool.name] = steps
        return []

    def errors(self, tool: ToolDraft, steps: tuple[Step, ...], example: Mapping[str, Scalar]) -> list[str]:
        """What is wrong with a program, tried on its example, on values of the records and on values of none."""
        own = self._tools[tool.name]
        world = self._world.model_copy(update={"programs": {tool.name: steps}})
        if tool.effect == "write" and not any(isinstance(step, Run) for step in steps):
            return ["the tool writes, but its program has no `run` step"]
        try:
            blueprint = compile_world((own,), world, "draft")
        except TaskFault as fault:
            if "its one `return`" in str(fault):
                outputs = ", ".join(output.name for output in tool.outputs)
                return [f'{fault}: end with {{"do": "return", "sql": "SELECT {outputs} FROM ...", "otherwise": ""}}']
            tables = "; ".join(f"{t.name}({', '.join(c.name for c in t.columns)})" for t in self._tables.tables)
            return [f"{fault} (the tables are {tables})" if "no such" in str(fault) else str(fault)]
        parameters = own.function.parameters["properties"]
        given = {name: value for name, value in example.items() if name in parameters}
        trouble: list[str] = []
        for arguments in (given, *_examples(own, self._tables)):
            found = _tried(blueprint, tool.name, arguments)
            if not found:
                return []
            trouble = found if not trouble or "bad_arguments" in trouble[0] else trouble
            if found[0].startswith("world."):  # the program itself, whatever it is called with
                break
        return trouble

    def built(self, simulated: Mapping[str, str], rounds: int) -> Built:
        """The world as it stands, with a hand-over to a human."""
        tools = (*self._tools.values(), transfer_tool())
        world = self._world.model_copy(
            update={
                "programs": {**self.programs, TRANSFER: (Return(query="SELECT 1 AS transferred", shape="row"),)},
                "ends_episode": (TRANSFER,),
                "grounding": {name: grounding_of(self._names[name], self._tables) for name in simulated},
            }
        )
        return Built(tools, world, tuple(self._names.values()), simulated, rounds)


def _tried(blueprint: Blueprint, tool: str, example: Mapping[str, Any]) -> list[str]:
    """What goes wrong with one call, with the same on rows in another order, and on values that are on no record."""
    said = orjson.dumps(dict(example)).decode()
    strange = {name: _strange(value) for name, value in example.items()}
    answers = []
    try:
        for reverse in (False, True):
            with blueprint.open(reverse=reverse) as live:
                result = live.call(tool, said)
                answers.append(result.response)
                if not result.ok:
                    return [f"called with {said} it fails: {result.response}"]
                live.call(tool, orjson.dumps(strange).decode())
    except TaskFault as fault:
        return [f"world.programs.{fault}"]
    except EpisodeFailure as failure:
        return [f"it takes too long: {failure}"]
    if answers[0] != answers[1]:
        return ["world.programs: the order of its rows is not fixed: ORDER BY a key"]
    if answers[0] in ("[]", "null"):
        return [f"called with {said} it finds nothing: use values that are in the rows"]
    return []


_MOST_EXAMPLES = 60


def _examples(tool: Tool, tables: TablesDraft) -> Iterator[dict[str, Any]]:
    """Calls with values from the records, for programs whose author gave no good example."""
    properties: Mapping[str, Any] = tool.function.parameters["properties"]
    choices = [[*_values(name, schema, tables)][:6] for name, schema in properties.items()]
    for values in islice(product(*choices), _MOST_EXAMPLES):
        yield {name: value for name, value in zip(properties, values, strict=True) if value is not None}


def _values(name: str, schema: Mapping[str, Any], tables: TablesDraft) -> Iterator[Any]:
    """Values of columns that are called like a parameter, or nearly so; a plain one of its type after these."""
    if "enum" in schema:
        yield from schema["enum"]
        return
    for table in tables.tables:
        singular = table.name.removesuffix("s")
        for place, column in enumerate(table.columns):
            alike = column.name in (name, name.removeprefix(f"{singular}_"), name.removeprefix("new_"))
            if alike or (column.key and name in ("id", f"{singular}_id")):
                yield from (_fitting(row[place], schema) for row in table.rows if len(row) > place)
    match schema.get("type"):
        case "integer" | "number":
            yield 1
        case "boolean":
            yield True
        case "array":
            yield ["x"]
        case _:
            yield "2031-12-31" if schema.get("format") == "date" else "something else"


def _fitting(value: Scalar, schema: Mapping[str, Any]) -> Scalar:
    return bool(value) if schema.get("type") == "boolean" else value


def _strange(value: Scalar) -> Scalar:
    """A value of the same kind that is on no record."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return 987_654_321
    return f"unknown {value}"[:60] if isinstance(value, str) else value


def transfer_tool() -> Tool:
    """The hand-over that every task has; it ends the episode."""
    return Tool(
        function=Function(
            name=TRANSFER,
            description="Hand the conversation over to a human colleague. Ends the conversation.",
            parameters={
                "type": "object",
                "properties": {"summary": {"type": "string", "description": "What it is about."}},
                "required": ["summary"],
                "additionalProperties": False,
            },
        ),
        outputs={"type": "object", "properties": {"transferred": {"type": "integer"}}},
        effect="write",
    )


def grounding_of(tool: ToolDraft, tables: TablesDraft, most_rows: int = 12) -> str:
    """What a model needs to know to stand in for a tool: what it does, what it gives back, and the records."""
    lines = [tool.description, f"It gives back {'a list of records' if tool.returns == 'list' else 'one record'} with:"]
    lines += [f"- {output.name} ({output.type}): {output.description}" for output in tool.outputs]
    lines.append(f"It is now {tables.now}. The records at the start:")
    for table in tables.tables:
        lines.append(f"{table.name}({', '.join(column.name for column in table.columns)}):")
        lines += [orjson.dumps(row).decode() for row in table.rows[:most_rows]]
    return "\n".join(lines)
