"""Personas: one sentence each; what is wrong with a file is said by line."""

from random import Random

import pytest

from synthagent.errors import InputError
from synthagent.synthesis.personas import load, shipped
from synthagent.synthesis.procedural.voice import disposition_of, own_name, who


def test_enough_distinct_personas_are_shipped():
    people = shipped()
    assert len(set(people)) == len(people) >= 200
    assert all("\n" not in persona and len(persona.split()) > 3 for persona in people)


def test_a_file_of_ones_own_is_read_with_its_space_tidied(tmp_path):
    path = tmp_path / "people.jsonl"
    path.write_text('{"persona": "  A diver\\n who hums. "}\n\n{"persona": "A cook", "age": 3}\n')
    assert load(path) == ["A diver who hums.", "A cook"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"persona": "A cook"}\n{"person": "A diver"}\n', r'people\.jsonl:2: expected \{"persona"'),
        ("\n\nA cook\n", r'people\.jsonl:3: expected \{"persona"'),
        ('["A cook"]\n', r'people\.jsonl:1: expected \{"persona"'),
        ('{"persona": " "}\n', r"people\.jsonl:1: persona: expected a non-empty text"),
        ('{"persona": 7}\n', r"people\.jsonl:1: persona: expected a non-empty text"),
        ("\n", r"people\.jsonl: holds no personas"),
    ],
)
def test_an_error_names_file_and_line(tmp_path, text, said):
    path = tmp_path / "people.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        load(path)


def test_a_file_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(InputError, match=r"nobody\.jsonl: cannot be read"):
        load(tmp_path / "nobody.jsonl")


@pytest.mark.parametrize(
    ("persona", "phrase", "disposition"),
    [
        ("A blunt crane driver who hates small talk", "a blunt crane driver", "terse"),
        ("An impatient florist, always late", "an impatient florist", "pushy"),
        ("The litigious neighbour of a judge", "the litigious neighbour of a judge", "adversarial"),
        ("Somebody's cheerful aunt", "somebody", "cooperative"),
    ],
)
def test_a_persona_tells_how_it_is_called_and_how_it_behaves(persona, phrase, disposition):
    assert who(persona) == phrase
    assert {disposition_of(persona, Random(seed)) for seed in range(20)} == {disposition}


def test_a_persona_that_tells_nothing_is_dealt_any_disposition():
    drawn = {disposition_of("A violin maker", Random(seed)) for seed in range(80)}
    assert drawn == {"cooperative", "terse", "pushy", "adversarial"}


def test_a_persona_goes_by_one_name_everywhere():
    names = [own_name(persona) for persona in shipped()]
    assert own_name(shipped()[0]) == names[0]
    assert len(set(names)) > 0.9 * len(names)
