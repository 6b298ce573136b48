"""Tool schemas as they come in the wild: valid ones go through untouched, others are mended and all of it is told."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthagent.errors import InputError
from synthagent.schema.record import dump
from synthagent.simulation.arguments import Schema
from synthagent.synthesis.normalising import effect_of, normalise_schema, normalise_tool, tool_name

ASKING = {"type": "object", "properties": {"q": {"type": "string"}}}
words = st.sampled_from(
    "type properties required items enum string dict float int anyOf description name parameters minimum "
    "exclusiveMinimum nullable additionalProperties pattern format date function outputs input_schema optional "
    "$ref definitions".split()
)
leaf = st.none() | st.booleans() | st.integers(-5, 5) | words | st.text(max_size=5)
anything = st.recursive(
    leaf,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(words | st.text(max_size=3), below, max_size=6),
    max_leaves=25,
)


@given(anything, st.booleans())
def test_whatever_comes_in_is_mended_once_and_for_all_or_refused(schema, closed):
    try:
        found, _ = normalise_schema(schema, closed=closed)
    except InputError:
        return
    Schema(found)
    again, changes = normalise_schema(found, closed=closed)
    assert (again, changes) == (found, [])


@given(anything)
def test_a_tool_that_came_through_comes_through_again(data):
    try:
        tool, _ = normalise_tool(data)
    except InputError:
        return
    assert normalise_tool(dump(tool)) == (tool, [])


def test_a_valid_schema_is_left_alone():
    schema = {
        "type": "object",
        "properties": {
            "day": {"type": "string", "format": "date", "description": "When"},
            "n": {"type": ["integer", "null"], "minimum": 0, "exclusiveMaximum": 9},
            "kind": {"enum": ["a", "b"]},
            "parts": {"type": "array", "items": {"type": "object", "properties": {"x": {"type": "number"}}}},
        },
        "required": ["day"],
        "additionalProperties": False,
    }
    assert normalise_schema(schema, closed=True) == (schema, [])


@pytest.mark.parametrize(
    ("part", "wanted", "said"),
    [
        ({"type": "float"}, {"type": "number"}, ".x.type: 'float' -> 'number'"),
        ({"type": "dict"}, {"type": "object", "properties": {}}, ".x.type: 'dict' -> 'object'"),
        ({"type": "List[str]"}, {"type": "array"}, ".x.type: 'List[str]' -> 'array'"),
        ({"type": "INTEGER"}, {"type": "integer"}, ".x.type: 'INTEGER' -> 'integer'"),
        ({"type": "any"}, {}, ".x.type: 'any' -> left out"),
        ("str", {"type": "string"}, ".x: 'str' -> a type"),
        ({"type": "string", "nullable": True}, {"type": ["string", "null"]}, ".x.nullable: true -> null is a type"),
        ({"type": "int", "minimum": 3, "exclusiveMinimum": True}, {"type": "integer", "exclusiveMinimum": 3},
         ".x.exclusiveMinimum: draft 4's True -> a number"),
        ({"type": "string", "enum": "red | green"}, {"type": "string", "enum": ["red", "green"]},
         ".x.enum: text -> a list"),
        ({"type": "array", "items": [{"type": "int"}, {"type": "str"}]},
         {"type": "array", "items": {"type": "integer"}}, ".x.items: one schema a place -> one schema for all"),
        ({"type": "string", "maxLength": "ten"}, {"type": "string"}, ".x.maxLength: left out"),
        ({"$ref": "http://elsewhere/schema"}, {}, ".x.$ref: left out"),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_mended_is_told(part: Any, wanted: Any, said: str):
    found, changes = normalise_schema({"type": "object", "properties": {"x": part}})
    assert found["properties"]["x"] == wanted
    assert said in changes


def test_required_names_what_there_is():
    schema = {
        "properties": {"a": {"type": "string", "required": True}, "b": {"type": "string"}},
        "required": ["b", "c"],
    }
    found, changes = normalise_schema(schema)
    assert found["required"] == ["b", "a"]
    assert ".required: ['c'] -> left out, there is no such property" in changes


def test_a_bare_map_of_parameters_becomes_an_object():
    found, changes = normalise_schema({"city": {"type": "str"}, "days": "int"})
    assert found == {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}
    assert changes[0] == ": a bare map of parameters -> an object's properties"


@pytest.mark.parametrize(
    "data",
    [
        {"type": "function", "function": {"name": "find", "parameters": ASKING}},
        {"name": "find", "parameters": ASKING},
        {"name": "find", "input_schema": ASKING},
        {"name": "find", "inputSchema": ASKING},
    ],
    ids=["OpenAI", "bare", "Anthropic", "MCP"],
)  # fmt: skip
def test_every_usual_form_of_a_tool_is_read(data):
    tool, _ = normalise_tool(data)
    assert tool.name == "find"
    assert tool.function.parameters["properties"] == {"q": {"type": "string"}}
    assert tool.function.parameters["additionalProperties"] is False
    assert tool.effect == "read"


def test_names_become_what_function_calling_takes():
    assert tool_name("weather.get forecast") == "weather_get_forecast"
    assert tool_name("1st-tool") == "_1st-tool"
    assert len(tool_name("x" * 99)) == 64
    assert effect_of("delete_it") == "write"


@pytest.mark.parametrize("data", [None, [], {"name": ""}, {"name": "..."}, {"function": {"name": 3}}])
def test_what_has_no_name_is_refused_with_its_place(data):
    with pytest.raises(InputError, match="tool 7"):
        normalise_tool(data, "tool 7")
