"""How well the user's ears do on free questions, written by people who had not seen them."""

from collections import defaultdict
from pathlib import Path

import orjson
import pytest

from synthagent.schema.tasks import Fact, Hidden
from synthagent.simulation.hearing import Listener
from synthagent.synthesis.procedural.domain import shipped

QUESTIONS = Path(__file__).parent.parent / "data" / "questions.jsonl"


@pytest.fixture(scope="module")
def questions():
    return [orjson.loads(line) for line in QUESTIONS.read_bytes().splitlines()]


def listener(question) -> Listener:
    """The ears of a user who knows the facts that the question was written for."""
    domain = shipped()[question["domain"]]
    facts = []
    for fact_id, value in question["values"].items():
        spec = domain.facts[fact_id]
        facts.append(Fact(id=fact_id, topic=spec.topic, aliases=spec.ways, text=str(value), value=value))
    wants = " ".join(domain.goals[goal].asks[0] for goal in question["goals"])
    return Listener(Hidden(goal=wants, facts=tuple(facts)))


def test_free_questions_are_heard(questions):
    asked = heard = wrong = 0
    ears: dict[str, Listener] = {}
    misses = defaultdict(list)
    for question in questions:
        ear = ears.setdefault(question["scenario"], listener(question))
        found = set(ear.heard(question["message"]).topics)
        expected = set(question["expects"])
        asked += len(expected)
        heard += len(expected & found)
        wrong += bool(found - expected)
        if found != expected:
            misses[question["domain"]].append((question["message"], sorted(expected), sorted(found)))
    assert len(questions) >= 300
    assert {question["domain"] for question in questions} == set(shipped())
    assert heard / asked >= 0.90, misses
    assert wrong / len(questions) <= 0.03, misses
