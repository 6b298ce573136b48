"""Schemas that every server takes: ours are, and what is not is told with its place."""

from typing import Any

import pytest

from synthagent.llm.portable import complaints, schema_of
from synthagent.llm.structured import Structured
from synthagent.schema.record import Record
from synthagent.synthesis import branching, fuzzing, grounding, rubric, scenario, solving, tables, toolset, world

STAGES = (
    scenario.Scenario,
    toolset.Toolset,
    toolset.Review,
    tables.TablesDraft,
    world.ProgramsDraft,
    world.ProgramDraft,
    grounding.GroundingDraft,
    fuzzing.FuzzDraft,
    solving.Plan,
    rubric.ViolationsDraft,
    branching.BranchDraft,
)


@pytest.mark.parametrize("kind", STAGES, ids=lambda kind: kind.__name__)
def test_what_a_stage_asks_for_is_portable(kind):
    assert complaints(schema_of(kind)) == []


@pytest.mark.parametrize("kind", STAGES, ids=lambda kind: kind.__name__)
def test_nothing_is_asked_for_without_a_word_on_what_it_is(kind):
    """Lists, names and the like speak for themselves; a record as a whole does not."""
    assert schema_of(kind)["description"]


def test_a_record_is_inlined_closed_and_wants_every_field():
    schema = schema_of(toolset.Toolset)
    assert "$defs" not in schema
    tool = schema["properties"]["tools"]["items"]
    assert tool["additionalProperties"] is False
    assert tool["required"] == list(tool["properties"])
    assert (schema["properties"]["tools"]["minItems"], schema["properties"]["tools"]["maxItems"]) == toolset.TOOLS


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "object", "properties": {}}, "$: an open object"),
        ({"type": "object", "properties": {"a": {"type": "string"}}, "required": [], "additionalProperties": False},
         "$: a may be left out"),
        ({"type": "string", "pattern": "x"}, "$: 'pattern' is not portable"),
        ({"type": ["string", "null"]}, "$: no single type"),
        ({"description": "anything"}, "$: no single type"),
        ({"type": "array"}, "$: an array without items"),
        ({"enum": [1, 2]}, "$: enum holds something else than text"),
        ({"anyOf": [{"type": "array", "items": {"type": "string"}}]}, "$: anyOf holds something else"),
        ({"type": "array", "items": {"$ref": "#/$defs/x"}}, "$.items: '$ref' is not portable"),
    ],
)  # fmt: skip
def test_what_is_not_portable_is_told_with_its_place(schema: dict[str, Any], said: str):
    assert any(complaint.startswith(said) for complaint in complaints(schema)), complaints(schema)


def test_a_schema_nested_too_deep_and_one_with_too_many_properties_are_told():
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(12):
        deep = {"type": "array", "items": deep}
    assert any("nested deeper" in complaint for complaint in complaints(deep))
    names = {f"p{n}": {"type": "string"} for n in range(120)}
    wide = {"type": "object", "properties": names, "required": list(names), "additionalProperties": False}
    assert any("120 properties" in complaint for complaint in complaints(wide))


def test_a_record_that_holds_itself_is_refused():
    class Tree(Record):
        below: tuple["Tree", ...]

    with pytest.raises(ValueError, match="refers to itself"):
        schema_of(Tree)


def test_asking_takes_no_tools():
    """A server that is told of tools and of a schema does one of the two, nobody knows which."""
    assert "tools" not in Structured.ask.__annotations__
