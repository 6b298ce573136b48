"""An endpoint that knows BFCL's answers: it finds the entry by what it is asked, and calls what the ground truth calls.

For tests of the whole way from an endpoint to a score. It keeps nothing between requests.
"""

import ast
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthagent.evaluation.harness_folder import read_lines
from synthagent.llm.model import ChatReply
from synthagent.llm.scripted import calling

_FUNCTIONS = {
    "GorillaFileSystem": "gorilla_file_system", "MathAPI": "math_api", "MessageAPI": "message_api",
    "TwitterAPI": "posting_api", "TicketAPI": "ticket_api", "TradingBot": "trading_bot",
    "TravelAPI": "travel_booking", "VehicleControlAPI": "vehicle_control",
}  # fmt: skip
_MORE = "I have updated some more functions you can choose from. What about now?"
"""What BFCL says in a turn that brings functions instead of a message."""
_RESULT = "[{'role': 'tool'"
"""How BFCL hands results to a model that sees tools as text only."""


@dataclass(frozen=True, slots=True)
class _Entry:
    id: str
    turns: Sequence[str]
    calls: Sequence[Sequence[tuple[str, dict[str, Any]]]]
    """Of each turn: name and arguments."""
    functions: frozenset[str]
    late: Mapping[str, int]
    """Functions that are missing until a turn."""

    def offered(self, turn: int) -> frozenset[str]:
        """The functions that there are in a turn."""
        return self.functions - {name for name, when in self.late.items() if when > turn}


class BfclOracle:
    """Replies to a chat request as the ground truth would have it.

    `data` is BFCL's data folder. With several categories, 24 turns of 800 entries read the same in two of them and have
    other answers: the earlier category's is given. Within one category there is no such turn.
    """

    def __init__(self, data: Path, categories: Iterable[str]):
        self._entries: dict[str, list[_Entry]] = {}
        signatures = {name: _signatures(data, file) for name, file in _FUNCTIONS.items()}
        for category in categories:
            file = f"BFCL_v4_{category}.json"
            answers = {line["id"]: line["ground_truth"] for line in read_lines(data / "possible_answer" / file)}
            for line in read_lines(data / file):
                entry = _entry(line, answers[line["id"]], signatures)
                self._entries.setdefault(entry.turns[0], []).append(entry)

    def __call__(self, body: dict[str, Any]) -> ChatReply:
        """Raises `LookupError` for a conversation that is none of BFCL's."""
        messages = body["messages"]
        asked = [str(message["content"]) for message in messages if _asks(message)]
        last = messages[-1]
        entry = self._found(asked, body)
        calls = entry.calls[len(asked) - 1]
        if last["role"] == "tool" or str(last["content"]).startswith(_RESULT) or not calls:
            return ChatReply(content="Done.")
        if body.get("tools"):
            return calling(*calls)
        return ChatReply(content="[" + ", ".join(_written(name, arguments) for name, arguments in calls) + "]")

    def _found(self, asked: Sequence[str], body: Mapping[str, Any]) -> _Entry:
        turn = len(asked) - 1
        for entry in self._entries.get(asked[0], ()):
            heard = entry.turns[: turn + 1]
            if len(heard) == len(asked) and all(map(_same, heard, asked)) and _offers(body, entry, turn):
                return entry
        raise LookupError(f"no entry of BFCL begins with these {len(asked)} turns: {asked[0][:80]}")


def _entry(line: Mapping[str, Any], answer: Sequence[Sequence[str]], signatures: Mapping[str, Any]) -> _Entry:
    known = {name: given for part in line["involved_classes"] for name, given in signatures[part].items()}
    late = {name: int(turn) for turn, names in line.get("missed_function", {}).items() for name in names}
    return _Entry(
        id=line["id"],
        turns=[turn[-1]["content"] if turn else _MORE for turn in line["question"]],
        calls=[[_call(text, known) for text in turn] for turn in answer],
        functions=frozenset(known),
        late=late,
    )


def _signatures(data: Path, file: str) -> dict[str, list[str]]:
    """Function -> its parameters, in order."""
    lines = read_lines(data / "multi_turn_func_doc" / f"{file}.json")
    return {line["name"]: list(line["parameters"]["properties"]) for line in lines}


def _call(text: str, known: Mapping[str, Sequence[str]]) -> tuple[str, dict[str, Any]]:
    """`cd(folder='x')` or `cd('x')` -> name and arguments by name. Only literals are read."""
    call = ast.parse(text.strip(), mode="eval").body
    assert isinstance(call, ast.Call), text
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func)
    arguments = dict(zip(known[name], map(ast.literal_eval, call.args), strict=False))
    return name, arguments | {word.arg: ast.literal_eval(word.value) for word in call.keywords if word.arg}


def _written(name: str, arguments: Mapping[str, Any]) -> str:
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"


def _asks(message: Mapping[str, Any]) -> bool:
    return message["role"] == "user" and not str(message["content"]).startswith(_RESULT)


def _same(turn: str, text: str) -> bool:
    return text == turn or (turn == _MORE and text.endswith(_MORE))


def _offers(body: Mapping[str, Any], entry: _Entry, turn: int) -> bool:
    """Whether the request offers what the entry has in this turn, as tools or in its text."""
    if tools := body.get("tools"):
        return {tool["function"]["name"] for tool in tools} == entry.offered(turn)
    text = json.dumps([message["content"] for message in body["messages"] if message["role"] in ("system", "user")])
    named = set(re.findall(r"""['"]name\\*['"]: ?\\*['"](\w+)""", text))
    return entry.offered(turn) <= named and not (entry.functions - entry.offered(turn)) & named
