"""Small worlds, tasks and players to build tests from, and strategies that draw them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from hypothesis import strategies as st

from synthagent.llm.model import ChatReply
from synthagent.llm.scripted import Scripted
from synthagent.schema.checks import (
    All,
    Asked,
    Before,
    Called,
    CallPattern,
    Changed,
    Confirmed,
    ConfirmedSpec,
    Not,
    Said,
    SaidSpec,
    State,
    Unchanged,
    UnchangedSpec,
)
from synthagent.schema.episodes import Event, Limits, ToolEvent, UserEvent
from synthagent.schema.messages import AssistantTurn, Protocol, ToolCall
from synthagent.schema.tasks import (
    AskStep,
    Brief,
    CallStep,
    Criterion,
    Fact,
    Function,
    Hidden,
    Require,
    Return,
    Rubric,
    Run,
    SayStep,
    Step,
    Task,
    Tool,
    World,
    identified,
)
from synthagent.simulation.agent import ToolForm
from synthagent.simulation.compiling import compile_world
from synthagent.simulation.episode import Cast, Played, Stage, facts_user, play
from synthagent.simulation.model_agent import ModelAgent, Sampling
from synthagent.simulation.users import User
from synthagent.simulation.world import Blueprint

NOW = "2031-05-07T10:00:00"
TEXT: dict[str, Any] = {"type": "string"}
WHOLE: dict[str, Any] = {"type": "integer"}
TRUTH: dict[str, Any] = {"type": "boolean"}
DATE: dict[str, Any] = {"type": "string", "format": "date"}


def object_of(properties: dict[str, Any], required: Sequence[str] = ()) -> dict[str, Any]:
    """A JSON Schema of an object that takes nothing else."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def rows_of(**columns: dict[str, Any]) -> dict[str, Any]:
    """A JSON Schema of a list of objects."""
    return {"type": "array", "items": {"type": "object", "properties": columns}}


def tool(
    name: str, effect: str = "read", outputs: dict[str, Any] | None = None, /, *optional: str, **takes: Any
) -> Tool:
    """A tool that takes these parameters; all are required but the `optional` ones."""
    required = [parameter for parameter in takes if parameter not in optional]
    return Tool.model_validate(
        {
            "function": Function(
                name=name, description=name.replace("_", " ").capitalize() + ".", parameters=object_of(takes, required)
            ),
            "effect": effect,
            "outputs": outputs or {},
        }
    )


def require(query: str, otherwise: str) -> Require:
    return Require.model_validate({"require": query, "else": otherwise})


def run(statement: str) -> Run:
    return Run(run=statement)


def give(query: str, shape: str = "rows") -> Return:
    return Return.model_validate({"return": query, "shape": shape})


# ---- a library


def library(**changes: Any) -> Task:
    """A member wants to keep a book for longer; one of her two loans is promised to somebody else."""
    task = Task(
        family="library",
        brief=Brief(
            instruction="Hi, I would like to keep one of my borrowed books for longer and hear where it goes back to.",
            tools=_LIBRARY_TOOLS,
            rules=(
                "renew_loan must NOT be used on a book that somebody has reserved, because it is promised to them.",
                "Before a loan is renewed, name the book and the new date and wait for a yes.",
            ),
        ),
        hidden=_LIBRARY_USER,
        world=_LIBRARY_WORLD,
        workflow=("Learn who asks", "Look at the loans", "Agree on book and date", "Renew and say so"),
        rubric=_LIBRARY_RUBRIC,
        reference=(
            AskStep(ask="name", text="May I have your name, please?"),
            CallStep(call="find_member", args={"name": {"$fact": "name"}}),
            CallStep(call="list_loans", args={"member_id": {"$from": "1.0.member_id"}}),
            AskStep(ask="title", text="Which book is it about?"),
            AskStep(ask="until", text="What should the new due date be?"),
            SayStep(say="Shall I renew 'The Glass Harbour' until 23 May 2031?"),
            CallStep(
                call="renew_loan",
                args={
                    "loan_id": {"$from": "2", "where": {"title": {"$fact": "title"}}, "take": "loan_id"},
                    "new_due": {"$fact": "until"},
                },
            ),
            SayStep(say="Done, 'The Glass Harbour' is now due on 23 May 2031 at the Quay branch."),
        ),
    )
    return identified(task.model_copy(update=changes))


_LIBRARY_TOOLS = (
    tool("find_member", "read", rows_of(member_id=TEXT, branch=TEXT), name=TEXT),
    tool("list_loans", "read", rows_of(loan_id=TEXT, title=TEXT, due=TEXT, reserved=TRUTH), member_id=TEXT),
    tool(
        "renew_loan",
        "write",
        {"type": "object", "properties": {"loan_id": TEXT, "due": TEXT}},
        loan_id=TEXT,
        new_due=DATE,
    ),
    tool("place_hold", "write", {"type": "string"}, "note", member_id=TEXT, title=TEXT, note=TEXT),
    tool("transfer_to_human", "write", {"type": "boolean"}, summary=TEXT),
)
_LIBRARY_USER = Hidden(
    goal="I want to renew my loan of The Glass Harbour until 23 May 2031.",
    facts=(
        Fact(
            id="name",
            topic="member name",
            aliases=("your name", "who are you"),
            text="I'm Ada Novak.",
            value="Ada Novak",
        ),
        Fact(
            id="title",
            topic="which book",
            aliases=("title of the book", "which loan"),
            text="It's The Glass Harbour.",
            value="The Glass Harbour",
        ),
        Fact(
            id="until",
            topic="new due date",
            aliases=("until when", "how long"),
            text="Until the 23rd of May, please.",
            value="2031-05-23",
        ),
    ),
    escape_lines=("It is only for a few days.", "Your colleague always does it for me."),
)
_LIBRARY_WORLD = World(
    now=NOW,
    ddl=(
        "CREATE TABLE members(member_id TEXT PRIMARY KEY, name TEXT NOT NULL, branch TEXT NOT NULL) STRICT;"
        "CREATE TABLE loans(loan_id TEXT PRIMARY KEY, member_id TEXT NOT NULL REFERENCES members, title TEXT NOT NULL,"
        " due TEXT NOT NULL, reserved INTEGER NOT NULL) STRICT;"
        "CREATE TABLE holds(hold_id TEXT PRIMARY KEY, member_id TEXT NOT NULL REFERENCES members, title TEXT NOT NULL,"
        " note TEXT, UNIQUE (member_id, title)) STRICT;"
    ),
    rows={
        "members": (("M-1", "Ada Novak", "Quay"), ("M-2", "Adam Novak", "Hill")),
        "loans": (
            ("L-1", "M-1", "The Glass Harbour", "2031-05-10", 0),
            ("L-2", "M-1", "Night Ferry", "2031-05-12", 1),
            ("L-3", "M-2", "The Glass Harbour", "2031-05-14", 0),
        ),
        "holds": (("H-1", "M-2", "Night Ferry", None),),
    },
    programs={
        "find_member": (
            give("SELECT member_id, branch FROM members WHERE name = :name COLLATE NOCASE ORDER BY member_id"),
        ),
        "list_loans": (
            require("SELECT 1 FROM members WHERE member_id = :member_id", "no such member"),
            give("SELECT loan_id, title, due, reserved FROM loans WHERE member_id = :member_id ORDER BY loan_id"),
        ),
        "renew_loan": (
            require("SELECT 1 FROM loans WHERE loan_id = :loan_id", "no such loan"),
            run("UPDATE loans SET due = :new_due WHERE loan_id = :loan_id"),
            require("SELECT 1 FROM loans WHERE loan_id = :loan_id AND due > today()", "the new date lies in the past"),
            give("SELECT loan_id, due FROM loans WHERE loan_id = :loan_id", "row"),
        ),
        "place_hold": (
            run("INSERT INTO holds VALUES (new_id('H'), :member_id, :title, :note)"),
            give("SELECT new_id('H')", "value"),
        ),
        "transfer_to_human": (give("SELECT 1", "value"),),
    },
    ends_episode=("transfer_to_human",),
)
_RENEWED = Called(called=CallPattern(tool="renew_loan"))
_LIBRARY_RUBRIC = Rubric(
    forbidden=(
        Criterion(
            id="f1",
            text="Renewed a loan that is promised to somebody else",
            check=Called(
                called=CallPattern(
                    tool="renew_loan", where="SELECT 1 FROM base.loans WHERE loan_id = :loan_id AND reserved"
                )
            ),
        ),
        Criterion(
            id="f2",
            text="Renewed without a yes",
            check=All(
                all=(_RENEWED, Not.model_validate({"not": Confirmed(confirmed=ConfirmedSpec(tool="renew_loan"))}))
            ),
        ),
    ),
    subgoals=(
        Criterion(
            id="s1",
            text="Looked at the member's loans",
            check=Called(called=CallPattern(tool="list_loans", args={"member_id": "M-1"})),
        ),
        Criterion(
            id="s2",
            text="The right loan is due on 23 May and no other changed",
            check=All(
                all=(
                    State(state="SELECT due = '2031-05-23' FROM loans WHERE loan_id = 'L-1'"),
                    Unchanged(
                        unchanged=UnchangedSpec.model_validate(
                            {"except": (Changed(table="loans", key={"loan_id": "L-1"}, columns=("due",)),)}
                        )
                    ),
                )
            ),
        ),
        Criterion(
            id="s3",
            text="Told where the book goes back to, after the renewal",
            check=Before(before=(_RENEWED, Said(said=SaidSpec(tool="find_member", path="0.branch")))),
        ),
    ),
    interactions=(
        Criterion(id="i1", text="Asked who asks", check=Asked(asked="name")),
        Criterion(id="i2", text="Asked until when", check=Asked(asked="until")),
    ),
)


# ---- one tool on one table


SHELF = "CREATE TABLE shelf(id TEXT PRIMARY KEY, n INTEGER, x REAL, s TEXT) STRICT;"


def shelf(
    *steps: Step,
    outputs: dict[str, Any] | None = None,
    ddl: str = SHELF,
    rows: dict[str, Any] | None = None,
    takes: dict[str, Any] | None = None,
    effect: str | None = None,
) -> Blueprint:
    """A world of one table and two tools: `act`, which runs these steps, and `put(id, n)`, which adds a row.

    Nothing that `act` takes is required.
    """
    takes = {"id": TEXT, "n": WHOLE} if takes is None else takes
    acting = effect or ("write" if any(isinstance(step, Run) for step in steps) else "read")
    programs = {"act": steps}
    tools = [tool("act", acting, outputs, *takes, **takes)]
    if ddl == SHELF:
        rows = {"shelf": (("a", 1, 1.5, "one"), ("b", 2, None, None))} if rows is None else rows
        programs["put"] = (run("INSERT INTO shelf(id, n) VALUES (:id, :n)"), give("SELECT :id", "value"))
        tools.append(tool("put", "write", None, "n", id=TEXT, n=WHOLE))
    world = World(now=NOW, ddl=ddl, rows=rows or {}, programs=programs)
    return compile_world(tuple(tools), world, "shelf")


def text_of(arguments: Any) -> str:
    """Arguments as a model would write them."""
    return orjson.dumps(arguments).decode()


# ---- drawn worlds


@dataclass(frozen=True)
class Drawn:
    """A random small world: a few tables, and tools that list, add, change and drop their rows."""

    tools: tuple[Tool, ...]
    world: World

    def compiled(self) -> Blueprint:
        return compile_world(self.tools, self.world, "drawn")


KEYS = ("a", "b", "c", "d", "é", "")
_COLUMN = {
    "INTEGER": st.sampled_from((0, 1, -1, 7, 2**53 + 1, -(2**63))),
    "REAL": st.sampled_from((0.0, 1.0, -2.5, 1e18)),
    "TEXT": st.sampled_from(("", "1", "1.0", "null", "Zoë", "it's", '"quoted"')),
}
_SCHEMA = {"INTEGER": WHOLE, "REAL": {"type": "number"}, "TEXT": TEXT}


@st.composite
def worlds(draw: st.DrawFn) -> Drawn:
    """A world of one to three tables with up to four rows each."""
    kinds = draw(st.lists(st.lists(st.sampled_from(sorted(_COLUMN)), min_size=1, max_size=3), min_size=1, max_size=3))
    ddl, rows, programs, tools = [], {}, {}, []
    for number, columns in enumerate(kinds):
        table = f"t{number}"
        names = [f"c{place}" for place in range(len(columns))]
        defined = ", ".join(f"{name} {kind}" for name, kind in zip(names, columns, strict=True))
        ddl.append(f"CREATE TABLE {table}(k TEXT PRIMARY KEY, {defined}) STRICT;")
        values = st.tuples(*(st.none() | _COLUMN[kind] for kind in columns))
        filled = draw(st.dictionaries(st.sampled_from(KEYS), values, max_size=4))
        rows[table] = tuple((key, *value) for key, value in filled.items())
        takes = {name: _SCHEMA[kind] for name, kind in zip(names, columns, strict=True)}
        row = give(f"SELECT * FROM {table} WHERE k = :k", "row")
        marks = ", ".join(f":{name}" for name in names)
        made = {
            "list": (tool(f"list_{number}"), (give(f"SELECT * FROM {table} ORDER BY k"),)),
            "add": (
                tool(f"add_{number}", "write", None, *names, k=TEXT, **takes),
                (run(f"INSERT INTO {table} VALUES (:k, {marks})"), row),
            ),
            "new": (
                tool(f"new_{number}", "write", None, *names, **takes),
                (run(f"INSERT INTO {table} VALUES (new_id('N'), {marks})"), give("SELECT new_id('N')", "value")),
            ),
            "set": (
                tool(f"set_{number}", "write", None, "c0", k=TEXT, c0=takes["c0"]),
                (
                    run(f"UPDATE {table} SET c0 = :c0 WHERE k = :k"),
                    require(f"SELECT 1 FROM {table} WHERE k = :k AND c0 IS NOT NULL", "c0 must not be empty"),
                    row,
                ),
            ),
            "drop": (
                tool(f"drop_{number}", "write", k=TEXT),
                (run(f"DELETE FROM {table} WHERE k = :k"), give(f"SELECT count(*) FROM {table}", "value")),
            ),
            "spin": (
                tool(f"spin_{number}", "write", turns=WHOLE),
                # Not of the key: two keys that meet on the way make what comes of it hang on the order of rows.
                (run(f"UPDATE {table} SET c0 = CAST(({SPIN}) AS {columns[0]})"), give("SELECT 1", "value")),
            ),
        }
        for one, steps in made.values():
            tools.append(one)
            programs[one.name] = steps
    return Drawn(tuple(tools), World(now=NOW, ddl=" ".join(ddl), rows=rows, programs=programs))


SPIN = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < :turns) SELECT max(i) FROM c"
"""Takes as many turns as it is told to; a million are more than any call may."""

ToolUse = tuple[str, str]
"""A tool's name and the raw text of its arguments."""


@st.composite
def uses(draw: st.DrawFn, tools: Sequence[Tool]) -> ToolUse:
    """A call of one of the tools, right or wrong."""
    one = draw(st.sampled_from(tools))
    properties = one.function.parameters["properties"]
    optional = [name for name in properties if name not in one.function.parameters["required"]]
    left_out = draw(st.sets(st.sampled_from(optional))) if optional else set()
    arguments = {name: draw(_argument(name, schema)) for name, schema in properties.items() if name not in left_out}
    return one.name, text_of(arguments)


def _argument(name: str, schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    if name == "k":
        return st.sampled_from(KEYS)
    if name == "turns":
        return st.sampled_from((1, 2, 3, 5, 8, 1_000_000))
    return {value["type"]: _COLUMN[kind] for kind, value in _SCHEMA.items()}[schema["type"]]


_IDS = st.sampled_from(("M-1", "M-2", "M-9", "L-1", "L-2", "L-3", ""))
_WORDS = st.sampled_from(("Ada Novak", "ada novak", "Night Ferry", "The Glass Harbour", "nobody"))
_DATES = st.sampled_from(("2031-05-23", "2031-06-01", "2030-01-01", "tomorrow", ""))
_LIBRARY_ARGUMENTS = {"member_id": _IDS, "loan_id": _IDS, "new_due": _DATES}


@st.composite
def library_uses(draw: st.DrawFn, effects: Sequence[str] = ("read", "write"), sensible: bool = False) -> ToolUse:
    """A call in the library: fitting its schema, or (unless `sensible`) anything else that a model might write."""
    one = draw(st.sampled_from([one for one in _LIBRARY_TOOLS if one.effect in effects]))
    properties = one.function.parameters["properties"]
    fitting = text_of({name: draw(_LIBRARY_ARGUMENTS.get(name, _WORDS)) for name in properties})
    if sensible:
        return one.name, fitting
    wrong = st.sampled_from(("", "{", "[]", "null", '{"a": NaN}', '{"member_id": 5}', '{"summary": "\\u0000"}'))
    return draw(
        st.one_of(
            st.just((one.name, fitting)),
            st.just((one.name, fitting)),
            st.tuples(st.just(one.name), wrong),
            st.tuples(st.sampled_from(("renew_loans", "", "ask_user")), st.just(fitting)),
        )
    )


# ---- playing


def model_agent(replies: Iterable[Any] | Any, form: ToolForm = "native", name: str = "tested") -> ModelAgent:
    """An agent whose model answers from a script."""
    return ModelAgent(Scripted(replies), name, form, Sampling(), seed=7)


def reply_of(turn: AssistantTurn) -> ChatReply:
    """What a model must say for this turn to come out."""
    return ChatReply(content=turn.content, tool_calls=turn.tool_calls)


async def played(
    stage: Stage,
    agent: Any,
    *,
    user: User | None = None,
    protocol: Protocol = "text",
    form: ToolForm = "native",
    limits: Limits | None = None,
    **more: Any,
) -> Played:
    """One episode with the facts user, or another."""
    cast = Cast(agent, user or facts_user(stage), protocol, form)
    return await play(stage, cast, limits or Limits(), **more)


def tools_in(events: Sequence[Event]) -> list[ToolEvent]:
    return [event for event in events if isinstance(event, ToolEvent)]


def replies_in(events: Sequence[Event]) -> list[UserEvent]:
    return [event for event in events if isinstance(event, UserEvent)]


def tool_call(name: str, arguments: Any, call_id: str = "c") -> ToolCall:
    return ToolCall(id=call_id, name=name, arguments=arguments if isinstance(arguments, str) else text_of(arguments))
