"""How well the user's ears do on free questions.

The questions were written by people who had read neither the matcher nor the domains' aliases. `dev` and `test` are the
file as it was first written; the matcher was worked on with `dev` in view, while of `test` only the figures were read,
until its last few misses were looked at as well: neither is unseen any more. `near` came later and is the hardest:
composed tasks with up to fifteen facts, and negatives that miss a fact by a hair (the old number where only the new one
is known).
"""

from pathlib import Path

import orjson
import pytest

from synthagent.schema.tasks import Fact, Hidden
from synthagent.simulation.hearing import Listener
from synthagent.synthesis.procedural.domain import shipped

QUESTIONS = Path(__file__).parent.parent / "data" / "questions.jsonl"


def listener(question) -> Listener:
    """The ears of a user who knows the facts that the question was written for."""
    domain = shipped()[question["domain"]]
    facts = []
    for fact_id, value in question["values"].items():
        spec = domain.facts[fact_id]
        facts.append(Fact(id=fact_id, topic=spec.topic, aliases=spec.ways, text=str(value), value=value))
    wants = " ".join(domain.goals[goal].asks[0] for goal in question["goals"])
    return Listener(Hidden(goal=wants, facts=tuple(facts)))


def figures(*splits):
    """(questions, share of the asked facts that were heard, share of questions in which a wrong fact was heard)."""
    questions = [q for line in QUESTIONS.read_bytes().splitlines() if (q := orjson.loads(line))["split"] in splits]
    asked = heard = wrong = 0
    ears: dict[str, Listener] = {}
    for question in questions:
        if question["scenario"] not in ears:
            ears[question["scenario"]] = listener(question)
        found = set(ears[question["scenario"]].heard(question["message"]).topics)
        expected = set(question["expects"])
        asked += len(expected)
        heard += len(expected & found)
        wrong += bool(found - expected)
    return len(questions), heard / asked, wrong / len(questions)


def test_free_questions_are_heard():
    """The aim: nine in ten, and no more than three in a hundred misheard."""
    count, heard, misheard = figures("dev", "test")
    assert count >= 300
    assert heard >= 0.90
    assert misheard <= 0.03


# What is reached so far on each split. Raise these, never lower them.
@pytest.mark.parametrize(
    ("split", "recall", "wrong"), [("dev", 0.93, 0.02), ("test", 0.885, 0.044), ("near", 0.88, 0.06)]
)
def test_no_split_gets_worse(split, recall, wrong):
    count, heard, misheard = figures(split)
    assert count >= 250
    assert heard >= recall
    assert misheard <= wrong


def test_there_are_questions_for_every_domain():
    asked = {orjson.loads(line)["domain"] for line in QUESTIONS.read_bytes().splitlines()}
    assert asked == set(shipped())
