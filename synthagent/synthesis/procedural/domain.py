"""A procedural domain is one data file: tables, row generators, tools as guarded SQL, goals. No Python.

The format is described for authors in docs/reference/domains.md; `load` reads it and names what is wrong with it.
"""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator

from synthagent.errors import InputError
from synthagent.schema.record import Record

Generator = dict[str, Any]
"""How a value is made: one key, the kind, and its settings. See `synthagent.synthesis.procedural.rows`."""


class PerParent(Record):
    """So many rows for each row of another table."""

    per: str
    count: tuple[int, int]


class TableSpec(Record):
    """A table: how many rows, and how each column is made. The first column is the primary key."""

    rows: tuple[int, int] | PerParent
    columns: dict[str, Generator]


class FactSpec(Record):
    """A kind of thing that only the user knows."""

    topic: str
    aliases: tuple[str, ...] = ()
    say: tuple[str, ...] = Field(min_length=1)
    """How a user says it; `{v}` is the value as spoken."""
    ask: tuple[str, ...] = Field(min_length=1)
    """How an agent may ask for it."""

    @property
    def ways(self) -> tuple[str, ...]:
        """Every way to ask for it that the domain knows: what the user's ears are given."""
        return (*self.aliases, *self.ask)


class ToolSpec(Record):
    """A tool: short forms of parameters and outputs, and its program."""

    effect: Literal["read", "write"]
    description: str
    parameters: dict[str, Any] = {}
    outputs: Any
    program: tuple[dict[str, str], ...] = Field(min_length=1)


class FactUse(Record):
    """A fact as one goal uses it."""

    value: str
    """A template for its value, such as `{loan.title}`."""
    inline: str = ""
    """A phrase that gives it away in the instruction, for tasks with fewer hidden facts."""


class Restriction(Record):
    """A rule that a goal may run into."""

    rule: str
    """As the agent reads it: "TOOL must NOT be used to ..., because ..."."""
    tool: str
    """The tool whose use it restricts."""
    violated: str
    """SQL over the call's arguments and `base`: a row means that the call breaks the rule."""
    flip: dict[str, Any]
    """What makes the goal illegal: `{binding: {column: generator}}` for rows, `{binding: generator}` for a value."""
    decided_by: tuple[str, ...] = Field(min_length=1)
    """Step aliases or fact ids that must come before declining."""
    decline: str
    """What a good agent says then."""
    pushes: tuple[str, ...] = ()
    """What the user says to get round the refusal."""


class ConfirmSpec(Record):
    """An action that needs the user's yes first."""

    tool: str
    rule: str
    args: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    """Templates of further values that the question must name."""


class BulkSpec(Record):
    """Rows that make one tool's result long."""

    table: str
    tool: str
    set: dict[str, Any] = {}


class Identify(Record):
    """One way for an agent to learn who the user is."""

    facts: dict[str, str]
    """Fact id -> template of its value, such as `{me.name}`."""
    plan: tuple[dict[str, Any], ...]
    gives: dict[str, str]
    """Name -> argument expression, used in goals as `$me.NAME`."""


class Goal(Record):
    """Something a user may want."""

    asks: tuple[str, ...] = Field(min_length=1)
    """Verb phrases for the instruction: "keep a book a little longer"."""
    wants: str
    bind: dict[str, Any] = {}
    facts: dict[str, FactUse | str] = {}
    plan: tuple[dict[str, Any], ...] = Field(min_length=1)
    done: str
    cannot: str
    """What a good agent says when the tool it would need is missing."""
    subgoals: tuple[dict[str, str], ...] = Field(min_length=1)
    restrictions: dict[str, Restriction] = Field(min_length=1)
    confirm: ConfirmSpec | None = None
    bulk: BulkSpec | None = None
    identified: bool = True
    """False: the goal does not need to know who the user is."""

    @field_validator("facts", mode="before")
    @classmethod
    def _short_facts(cls, value: Any) -> Any:
        return (
            {k: {"value": v} if isinstance(v, str) else v for k, v in value.items()}
            if isinstance(value, dict)
            else value
        )

    def uses(self) -> dict[str, FactUse]:
        """Fact id -> how it is used."""
        return {name: use for name, use in self.facts.items() if isinstance(use, FactUse)}


class Domain(Record):
    """Everything the procedural teacher knows about one walk of life."""

    name: str
    place: str
    """Where the agent works: "a town library"."""
    staff: str
    """Who takes over on a transfer: "a librarian"."""
    words: dict[str, tuple[str, ...]] = {}
    tables: dict[str, TableSpec]
    me: str
    """The table that holds the user's own row."""
    facts: dict[str, FactSpec]
    identify: dict[str, Identify] = Field(min_length=1)
    tools: dict[str, ToolSpec]
    goals: dict[str, Goal] = Field(min_length=1)


def parse(data: Any, where: str) -> Domain:
    """Checks a domain's data and its inner references. Raises `InputError` naming file and field."""
    try:
        domain = Domain.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path}: {first['msg']}", where=where) from error
    for complaint in complaints(domain):
        raise InputError(complaint, where=where)
    return domain


def complaints(domain: Domain) -> list[str]:
    """References between the parts of a domain that lead nowhere."""
    found = []
    if domain.me not in domain.tables:
        found.append(f"me: there is no table '{domain.me}'")
    found += _table_complaints(domain)
    for way, identify in domain.identify.items():
        found += _plan_complaints(domain, f"identify.{way}", identify.plan, set(identify.facts), set())
    for name, goal in domain.goals.items():
        where = f"goals.{name}"
        facts = set(goal.facts) | {fact for way in domain.identify.values() for fact in way.facts}
        found += _plan_complaints(domain, where, goal.plan, facts, set(goal.restrictions))
        found += _name_complaints(domain, where, goal)
        aliases = {str(step["as"]) for step in goal.plan if "as" in step}
        for key, restriction in goal.restrictions.items():
            found += [
                f"{where}.restrictions.{key}.decided_by: '{name}' is neither a step nor a fact"
                for name in restriction.decided_by
                if name not in aliases | facts
            ]
            found += [
                f"{where}.restrictions.{key}.flip: there is no binding '{name}'"
                for name in restriction.flip
                if name not in {*goal.bind, "me"}
            ]
            if not any(step.get("decide") == key for step in goal.plan):
                found.append(f"{where}.plan: no `decide: {key}` step")
        for fact in goal.facts:
            if fact not in domain.facts:
                found.append(f"{where}.facts: '{fact}' is not among the domain's facts")
        for number, subgoal in enumerate(goal.subgoals):
            kinds = set(subgoal) & {"looked", "outcome", "said"}
            if len(kinds) != 1 or subgoal[min(kinds)].split(".")[0] not in aliases:
                found.append(f"{where}.subgoals.{number}: wants one of looked, outcome, said, naming a step's `as`")
    return found


def _table_complaints(domain: Domain) -> list[str]:
    """Tables are filled in order: what one refers to must come before it."""
    found = []
    earlier: set[str] = set()
    for name, table in domain.tables.items():
        parents = {f"tables.{name}.rows.per": table.rows.per} if isinstance(table.rows, PerParent) else {}
        for column, generator in table.columns.items():
            if "ref" in generator:
                parents[f"tables.{name}.columns.{column}.ref"] = generator["ref"]
            found += _word_complaints(domain, f"tables.{name}.columns.{column}", generator)
        found += [
            f"{place}: there is no table '{p}' before this one" for place, p in parents.items() if p not in earlier
        ]
        earlier.add(name)
    return found


def _name_complaints(domain: Domain, where: str, goal: Goal) -> list[str]:
    """Tools, tables and words that a goal speaks of beside its plan."""
    tools = {f"{where}.restrictions.{key}.tool": restriction.tool for key, restriction in goal.restrictions.items()}
    tables = {f"{where}.bind.{key}.row": spec["row"] for key, spec in goal.bind.items() if "row" in spec}
    if goal.confirm:
        tools[f"{where}.confirm.tool"] = goal.confirm.tool
    if goal.bulk:
        tools[f"{where}.bulk.tool"] = goal.bulk.tool
        tables[f"{where}.bulk.table"] = goal.bulk.table
    found = [f"{place}: there is no tool '{tool}'" for place, tool in tools.items() if tool not in domain.tools]
    found += [f"{place}: there is no table '{table}'" for place, table in tables.items() if table not in domain.tables]
    return found + _word_complaints(domain, f"{where}.bind", goal.bind)


def _word_complaints(domain: Domain, where: str, value: Any) -> list[str]:
    """Lists of words that are picked from and not there, at any depth."""
    if not isinstance(value, dict):
        return []
    words = value.get("pick")
    found = (
        [f"{where}.pick: there are no words '{words}'"] if isinstance(words, str) and words not in domain.words else []
    )
    return found + [one for key, item in value.items() for one in _word_complaints(domain, f"{where}.{key}", item)]


def _plan_complaints(
    domain: Domain, where: str, plan: tuple[dict[str, Any], ...], facts: set[str], restrictions: set[str]
) -> list[str]:
    found = []
    for number, step in enumerate(plan):
        place = f"{where}.plan.{number}"
        kinds = set(step) & {"ask", "call", "decide", "confirm"}
        if len(kinds) != 1:
            found.append(f"{place}: a step is one of ask, call, decide, confirm")
        elif "ask" in step and (step["ask"] not in facts or step["ask"] not in domain.facts):
            found.append(f"{place}: there is no fact '{step['ask']}' here")
        elif "call" in step and step["call"] not in domain.tools:
            found.append(f"{place}: there is no tool '{step['call']}'")
        elif "call" in step and "as" not in step:
            found.append(f"{place}: a call wants a name, `as`")
        elif "decide" in step and step["decide"] not in restrictions:
            found.append(f"{place}: there is no restriction '{step['decide']}'")
    return found


def load(path: Path) -> Domain:
    """Reads a domain file (YAML). Raises `InputError`."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error
    return _read(text, str(path))


def _read(text: bytes, where: str) -> Domain:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        data = yaml.load(text, Loader=loader)
    except yaml.YAMLError as error:
        raise InputError(f"not YAML: {error}", where=where) from error
    return parse(data, where)


@cache
def shipped() -> Mapping[str, Domain]:
    """The domains that come with the package, by name."""
    folder = resources.files(__package__).joinpath("domains")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".yaml")), key=lambda f: f.name)
    domains = [_read(file.read_bytes(), file.name) for file in files]
    return {domain.name: domain for domain in domains}
