"""What a model writes is read in time that grows with its length: no text makes a pattern try for ever."""

import time

import pytest

from synthagent.schema.checks import AnswerSpec
from synthagent.scoring.answers import after_mark, at_once
from synthagent.simulation.hearing import Listener
from tests.builders import library

UNITS = (
    "dedded", "a", "1", "1.", " ", "\n", "\n \n", "\t", "and ", "also ", "what ", "which a ", "please ", "a, ", ". ",
    "1) ", "it's ", "- a\n", "?", "not find ", "i have now ", "é", "'", "a-", "> ", "answer", "answer ", "\\boxed{",
    "$", "1,",
)  # fmt: skip
LENGTH = 20_000
"""Characters: more than a turn of 4,096 tokens of such text has."""


@pytest.mark.parametrize("unit", UNITS)
def test_a_text_that_repeats_itself_is_read_at_once(unit):
    text = unit * (LENGTH // len(unit))
    listener = Listener(library().hidden)
    begun = time.process_time()
    for message in (text, f"{text} please", f"please {text}?", f"dedere{text}!"):
        listener.heard(message)
        listener.leanings(message)
        after_mark(message)
        at_once(AnswerSpec(gold="7"), message)
    assert time.process_time() - begun < 5
