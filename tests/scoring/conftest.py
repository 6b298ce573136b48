"""A small library to score in: its task, a way to act in it, and a way to write its records by hand."""

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from pydantic import TypeAdapter

from synthagent.schema.checks import Check
from synthagent.schema.episodes import AgentEvent, Episode, Event, Limits, Stop, ToolEvent, UserEvent
from synthagent.schema.messages import AssistantTurn, ToolCall
from synthagent.schema.record import Json
from synthagent.schema.scores import Score
from synthagent.schema.tasks import ReferenceStep, Rubric, Task, identified
from synthagent.scoring.checks import Evidence, Finding, decide
from synthagent.scoring.scorer import score
from synthagent.simulation.agent import Agent, View
from synthagent.simulation.episode import Cast, Played, Stage, facts_user, play, prepare
from synthagent.simulation.reference_agent import Reference, call, speak

LIMITS = Limits(turns=40, seconds=60.0)
_CHECK: TypeAdapter[Any] = TypeAdapter(Check)
_STEPS: TypeAdapter[Any] = TypeAdapter(tuple[ReferenceStep, ...])

DDL = """
CREATE TABLE members(member_id TEXT PRIMARY KEY, name TEXT NOT NULL, fees_cents INTEGER NOT NULL) STRICT;
CREATE TABLE loans(loan_id TEXT PRIMARY KEY, member_id TEXT NOT NULL REFERENCES members, title TEXT NOT NULL,
  due TEXT NOT NULL, renewals INTEGER NOT NULL, waiting INTEGER NOT NULL) STRICT;
CREATE TABLE holds(hold_id TEXT PRIMARY KEY, member_id TEXT NOT NULL, title TEXT NOT NULL, note TEXT) STRICT;
"""
ROWS = {
    "members": [["M-204", "Ines Calder", 4250], ["M-377", "Ivo Calder", 0]],
    "loans": [
        ["L-81", "M-204", "The Salt Roads", "2031-05-09", 1, 0],
        ["L-82", "M-204", "Paper Bridges", "2031-05-11", 0, 2],
        ["L-90", "M-377", "Slow Tides", "2031-05-14", 0, 0],
    ],
    "holds": [["H-5", "M-377", "Paper Bridges", None]],
}
TEXT = {"type": "string"}
COUNT = {"type": "integer"}


def _tool(name: str, effect: str, optional: Sequence[str] = (), /, **parameters: Json) -> Json:
    required = [parameter for parameter in parameters if parameter not in optional]
    schema = {"type": "object", "properties": parameters, "required": required, "additionalProperties": False}
    return {"effect": effect, "function": {"name": name, "description": name, "parameters": schema}}


TOOLS = [
    _tool("find_member", "read", name=TEXT),
    _tool("list_loans", "read", member_id=TEXT),
    _tool("get_account", "read", member_id=TEXT),
    _tool("opening_hours", "read"),
    _tool("renew_loan", "write", loan_id=TEXT, new_due={"type": "string", "format": "date"}),
    _tool("place_hold", "write", ("note", "copies", "tags", "express"), member_id=TEXT, title=TEXT, note=TEXT,
          copies=COUNT, tags={"type": "array"}, express={"type": "boolean"}),
    _tool("drop_hold", "write", hold_id=TEXT),
    _tool("pay_fees", "write", member_id=TEXT, amount_cents=COUNT),
    _tool("transfer_to_human", "write", summary=TEXT),
]  # fmt: skip
LOANS = "SELECT loan_id, title, due, renewals, waiting FROM loans"
PROGRAMS = {
    "find_member": [{"return": "SELECT member_id FROM members WHERE name = :name ORDER BY member_id"}],
    "list_loans": [{"return": f"{LOANS} WHERE member_id = :member_id ORDER BY loan_id"}],
    "get_account": [
        {"return": "SELECT member_id, fees_cents FROM members WHERE member_id = :member_id", "shape": "row"}
    ],
    "opening_hours": [
        {
            "return": "SELECT '09:30' AS opens, '2031-05-26' AS closed_on, '2031-05-27T14:15' AS back,"
            " 7 AS desks, 14 AS lamps, '1500' AS hall, 'The Salt Roads is out.' AS news",
            "shape": "row",
        }
    ],
    "renew_loan": [
        {"require": "SELECT 1 FROM loans WHERE loan_id = :loan_id", "else": "no such loan"},
        {"run": "UPDATE loans SET due = :new_due, renewals = renewals + 1 WHERE loan_id = :loan_id"},
        {"return": f"{LOANS} WHERE loan_id = :loan_id", "shape": "row"},
    ],
    "place_hold": [
        {"run": "INSERT INTO holds VALUES (new_id('H'), :member_id, :title, :note)"},
        {"return": "SELECT new_id('H') AS hold_id, :copies AS copies, :tags AS tags", "shape": "row"},
    ],
    "drop_hold": [
        {"run": "DELETE FROM holds WHERE hold_id = :hold_id"},
        {"return": "SELECT 1 AS dropped", "shape": "row"},
    ],
    "pay_fees": [
        {"run": "UPDATE members SET fees_cents = fees_cents - :amount_cents WHERE member_id = :member_id"},
        {
            "return": "SELECT fees_cents, :amount_cents AS amount_cents FROM members WHERE member_id = :member_id",
            "shape": "row",
        },
    ],
    "transfer_to_human": [{"return": "SELECT 1 AS transferred", "shape": "row"}],
}
FACTS = [
    {"id": "name", "topic": "member name", "aliases": ["your name", "who are you"], "text": "I'm Ines Calder.",
     "value": "Ines Calder"},
    {"id": "title", "topic": "which book", "aliases": ["title", "which loan"], "text": "It's The Salt Roads.",
     "value": "The Salt Roads"},
    {"id": "until", "topic": "new due date", "aliases": ["until when"], "text": "Until 23 May 2031, please.",
     "value": "2031-05-23"},
]  # fmt: skip
SALT = "loan_id = 'L-81'"
SUBGOALS = [
    {"called": {"tool": "list_loans", "args": {"member_id": "M-204"}}},
    {
        "all": [
            {"state": f"SELECT due = '2031-05-23' FROM loans WHERE {SALT}"},
            {"unchanged": {"except": [{"table": "loans", "key": {"loan_id": "L-81"}, "columns": ["due", "renewals"]}]}},
        ]
    },
    {"before": [{"called": {"tool": "renew_loan"}}, {"said": {"tool": "renew_loan", "path": "renewals"}}]},
]
CONFIRMED = {"confirmed": {"tool": "renew_loan", "args": ["new_due"], "values": ["The Salt Roads"]}}
INTERACTIONS = [{"asked": "name"}, {"asked": "title"}, {"asked": "until"}, CONFIRMED]
FORBIDDEN = [
    {
        "called": {
            "tool": "renew_loan",
            "where": "SELECT 1 FROM base.loans WHERE loan_id = :loan_id AND waiting > 0",
        }
    },
    {"all": [{"called": {"tool": "renew_loan", "args": {"loan_id": "L-81"}}}, {"not": CONFIRMED}]},
]
ASK_NAME = {"ask": "name", "text": "What name is on the card?"}
ASK_TITLE = {"ask": "title", "text": "Which book is it?"}
ASK_UNTIL = {"ask": "until", "text": "Until when would you like to keep it?"}
RENEWAL = {"call": "renew_loan", "args": {"loan_id": "L-81", "new_due": {"$fact": "until"}}}
REFERENCE = [
    ASK_NAME,
    {"call": "find_member", "args": {"name": {"$fact": "name"}}},
    {"call": "list_loans", "args": {"member_id": "M-204"}},
    ASK_TITLE,
    ASK_UNTIL,
    {"say": "Shall I renew The Salt Roads until 23 May 2031?"},
    RENEWAL,
    {"say": "Done: The Salt Roads is renewed, that makes 2 renewals so far."},
]


def _criteria(letter: str, checks: Sequence[Json]) -> list[Json]:
    return [{"id": f"{letter}{n}", "text": f"{letter}{n}", "check": check} for n, check in enumerate(checks, start=1)]


def rubric_of(forbidden: Sequence[Json] = (), subgoals: Sequence[Json] = (), interactions: Sequence[Json] = ()) -> Json:
    """A rubric from bare checks; criteria are f1, f2, ..., s1, ..., i1, ..."""
    return {
        "forbidden": _criteria("f", forbidden),
        "subgoals": _criteria("s", subgoals),
        "interactions": _criteria("i", interactions),
    }


@pytest.fixture(scope="session")
def task() -> Task:
    """A member with a hidden name, book and date wants a loan renewed; another loan must not be touched."""
    return identified(
        Task.model_validate(
            {
                "family": "library",
                "brief": {
                    "instruction": "Hello, could you keep one of my 14 library books a little longer for me?",
                    "tools": TOOLS,
                    "rules": [
                        "renew_loan must NOT be used on a loan that others are waiting for.",
                        "Before a loan is renewed, name the book and the new due date and get a yes.",
                        "No hall is lent to more than 1500 people.",
                    ],
                },
                "hidden": {"goal": "I want to renew The Salt Roads until 23 May 2031.", "facts": FACTS},
                "world": {
                    "now": "2031-05-07T10:00:00",
                    "ddl": DDL,
                    "rows": ROWS,
                    "programs": PROGRAMS,
                    "ends_episode": ["transfer_to_human"],
                },
                "rubric": rubric_of(FORBIDDEN, SUBGOALS, INTERACTIONS),
                "reference": REFERENCE,
            }
        )
    )


@pytest.fixture(scope="session")
def stage(task) -> Stage:
    return prepare(task)


class Tale:
    """An episode written by hand: tool calls run in the world, the user's replies are as they are told here."""

    def __init__(self, stage: Stage):
        self.stage = stage
        self._parts: list[tuple[str, Any]] = []

    def tell(self, message: str, reply: str = "All right.", **heard: Any) -> "Tale":
        """The agent says this and the user replies; `heard` is what code noted about the reply."""
        self._parts.append(("event", UserEvent(message=message, text=reply, **heard)))
        return self

    def ask_yes(self, message: str) -> "Tale":
        """The agent asks for a yes and gets it."""
        return self.tell(message, "Yes, please go ahead.", heard="confirmation", agreed=True)

    def call(self, tool: str, **arguments: Any) -> "Tale":
        self._parts.append(("call", (tool, arguments)))
        return self

    def answer(self, text: str) -> "Tale":
        """The agent's last word, where the protocol has one."""
        self._parts.append(("event", AgentEvent(text=text, answer=text)))
        return self

    def played(self, **changes: Any) -> Played:
        events: list[Event] = []
        with self.stage.blueprint.open() as world:
            for number, (kind, part) in enumerate(self._parts):
                if kind == "event":
                    events.append(part)
                    continue
                tool, arguments = part
                made = ToolCall(id=f"c{number}", name=tool, arguments=orjson.dumps(arguments).decode())
                result = world.call(tool, made.arguments)
                events.append(AgentEvent(calls=(made,)))
                events.append(
                    ToolEvent(call_id=made.id, tool=tool, arguments=result.arguments, ok=result.ok, error=result.error,
                              response=result.response, changed=result.changed)
                )  # fmt: skip
            final = world.final()
        values = {"stop": Stop.AGENT_FINAL, "digest": final.digest, "events": tuple(events), **changes}
        return Played(Episode(task_id=self.stage.task.id, agent="by hand", **values), final)

    def found(self, check: Json) -> Finding:
        """What a check, given as in a task file, finds in this episode."""
        played = self.played()
        return decide(_CHECK.validate_python(check), Evidence(self.stage, played.episode, played.final))

    def holds(self, check: Json) -> bool:
        found = self.found(check)
        assert (found.first >= 0) == found.holds, "a check holds if and only if there is a time at which it did"
        return found.holds

    def score(self, **changes: Any) -> Score:
        played = self.played(**changes)
        return score(self.stage, played.episode, played.final)


@pytest.fixture
def tale(stage) -> Tale:
    """An empty episode in the library, to be told step by step."""
    return Tale(stage)


class Script:
    """An agent with fixed turns: a text is said, a mapping or a list of them calls tools; the last turn repeats."""

    name = "script"

    def __init__(self, turns: Sequence[Any]):
        self._turns = turns

    async def act(self, view: View) -> AssistantTurn:
        number = sum(message["role"] == "assistant" for message in view.messages)
        turn = self._turns[min(number, len(self._turns) - 1)]
        if isinstance(turn, str):
            return speak(turn, view.protocol, final=number >= len(self._turns) - 1, number=number)
        wanted = turn if isinstance(turn, list) else [turn]
        made = [call(one["call"], one.get("args", {}), number * 10 + place) for place, one in enumerate(wanted)]
        return AssistantTurn(tool_calls=tuple(one for turn in made for one in turn.tool_calls))


class Theatre:
    """Plays the library's task, or another, with the user that needs no model."""

    def __init__(self, stage: Stage):
        self.stage = stage

    def other(self, **changes: Any) -> "Theatre":
        """The same task with some parts changed; `rubric`, `forbidden` and the like may be plain data."""
        parts = {kind: changes.pop(kind) for kind in ("forbidden", "subgoals", "interactions") if kind in changes}
        if parts:
            changes["rubric"] = Rubric.model_validate(rubric_of(**{"subgoals": SUBGOALS, **parts}))
        return Theatre(prepare(identified(self.stage.task.model_copy(update=changes))))

    def play(self, agent: Agent, protocol: str = "text", limits: Limits = LIMITS) -> Played:
        return asyncio.run(play(self.stage, Cast(agent, facts_user(self.stage), protocol), limits))

    def script(self, *turns: Any, protocol: str = "text", limits: Limits = LIMITS) -> Played:
        """Plays fixed turns; see `Script`."""
        return self.play(Script(turns), protocol, limits)

    def steps(self, steps: Sequence[Json], protocol: str = "text") -> Played:
        """Acts out reference steps, given as in a task file."""
        return self.play(Reference(_STEPS.validate_python(steps), self.stage.task.hidden.facts), protocol)

    def score(self, played: Played, *, live: bool = True) -> Score:
        """Scores what was just played; not `live`: from the stored record alone."""
        return score(self.stage, played.episode, played.final if live else None)

    def found(self, check: Json, played: Played) -> Finding:
        return decide(_CHECK.validate_python(check), Evidence(self.stage, played.episode, played.final))


@pytest.fixture(scope="session")
def theatre(stage) -> Theatre:
    return Theatre(stage)


@pytest.fixture(scope="session")
def reference() -> list[Json]:
    """The library's reference steps, as data."""
    return [dict(step) for step in REFERENCE]
