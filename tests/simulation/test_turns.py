"""The linter against turns written by hand: is what it finds there, and does it find what is there?

tests/data/user_turns.json holds `dev`, which the detectors were made with; `seen` and `seen_2`, which were written by
people who did not know them, and then used to make them better; and `test`, by the author of `seen_2`, of which only
the counts were ever looked at.
"""

from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest

from synthagent.schema.tasks import Hidden
from synthagent.simulation.hearing import Listener
from synthagent.simulation.user_linter import KINDS, Turn, lint
from synthagent.simulation.users import without_echo
from synthagent.simulation.values import plain

FILE = Path(__file__).parent.parent / "data" / "user_turns.json"


@cache
def splits() -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(FILE.read_bytes())
    return found


def found_in(scene: dict[str, Any], one: dict[str, Any]) -> set[str]:
    """Kinds of what the linter finds in one turn."""
    hidden = Hidden.model_validate(scene["hidden"])
    listener, history = Listener(hidden), [(said, answered) for said, answered in one["history"]]
    own = [plain(scene["opening"]), *(plain(answered) for _, answered in history)]
    heard = listener.heard(without_echo(one["message"], own))
    turn = Turn(hidden, listener, scene["opening"], scene["tools"], history, one["message"], one["reply"], one["done"],
                heard, told=hidden.escape_lines)  # fmt: skip
    return {finding.kind for finding in lint(turn)}


def counted(split: str) -> dict[str, Counter[str]]:
    """Right, wrong and missed findings by kind."""
    scenes, found = (
        splits()[split]["scenes"],
        {"right": Counter[str](), "wrong": Counter[str](), "missed": Counter[str]()},
    )
    for one in splits()[split]["turns"]:
        got, there = found_in(scenes[one["scene"]], one), set(one["labels"])
        found["right"].update(got & there)
        found["wrong"].update(got - there)
        found["missed"].update(there - got)
    return found


@pytest.mark.parametrize(
    ("split", "precision", "recall"),
    [("dev", 0.99, 0.99), ("seen", 0.98, 0.95), ("seen_2", 0.93, 0.88), ("test", 0.90, 0.80)],
)
def test_what_the_linter_finds_is_there_and_what_is_there_it_finds(split: str, precision: float, recall: float):
    found = counted(split)
    right, wrong, missed = (found[name].total() for name in ("right", "wrong", "missed"))
    assert right / (right + wrong) >= precision, found["wrong"]
    assert right / (right + missed) >= recall, found["missed"]


def test_the_turns_hold_every_kind_and_as_much_that_is_fine():
    for split in splits().values():
        labels = Counter(label for one in split["turns"] for label in one["labels"])
        assert set(labels) == set(KINDS) - {"left_out"}, "nothing is due in these turns"
        assert sum(not one["labels"] for one in split["turns"]) >= 0.35 * len(split["turns"])
    assert len(splits()["dev"]["turns"]) >= 120
