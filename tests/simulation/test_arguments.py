"""Argument text as models write it: what is read, what is refused and with which words, and what SQL gets of it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthagent.schema.record import canonical
from synthagent.simulation.arguments import (
    MAX_ARGUMENT_BYTES,
    BadArguments,
    Schema,
    binder,
    canonical_text,
    check_storable,
    parse,
)
from tests.builders import TEXT, TRUTH, WHOLE, object_of

ANY = {"text": TEXT, "whole": WHOLE, "truth": TRUTH, "part": {"type": "number"}, "list": {"type": "array"},
       "thing": {"type": "object"}, "perhaps": {"type": ["integer", "null"]}, "free": True}  # fmt: skip


def refusal(raw: str) -> tuple[str, str]:
    with pytest.raises(BadArguments) as caught:
        check_storable(parse(raw))
    return caught.value.kind, str(caught.value)


NO_OBJECT = ["{", "{'a': 1}", '{"a": 1,}', '{"a": NaN}', '{"a": 1e999}', '{"a": "\\ud800"}', '{"a": "\ud800"}', "[1]"]


@pytest.mark.parametrize("raw", [*NO_OBJECT, '"a"', "null", "true", '{"a": 1} {"b": 2}', "[" * 3000])
def test_what_is_not_a_json_object_is_malformed(raw):
    kind, text = refusal(raw)
    assert kind == "malformed"
    assert text.startswith("the arguments are not ")


def test_no_arguments_at_all_are_an_empty_object():
    assert parse("") == parse("{}") == {}


def test_ten_megabytes_of_arguments_are_refused_unread():
    assert refusal('{"a": "' + "x" * 10_000_000 + '"}') == (
        "limit",
        f"the arguments are longer than {MAX_ARGUMENT_BYTES} bytes",
    )


@pytest.mark.parametrize("depth", [70, 300, 1000])
def test_arguments_nested_beyond_reason_are_refused_whatever_a_json_library_bears(depth):
    assert refusal('{"a": ' + "[" * depth + "]" * depth + "}")[0] == "limit"
    assert refusal('{"a":' * depth + "1" + "}" * depth)[0] == "limit"


def test_many_brackets_side_by_side_are_not_deep():
    assert parse('{"a": [' + ", ".join(["[]"] * 500) + "]}") == {"a": [[]] * 500}


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ('{"a": 9223372036854775808}', "a: the integer does not fit into 64 bits"),
        ('{"a": -9223372036854775809}', "a: the integer does not fit into 64 bits"),
        ('{"a": {"b": [1, 123456789012345678901234567890]}}', "a.b.1: the integer does not fit into 64 bits"),
        ('{"a": ["\\u0000"]}', "a.0: NUL in text"),
        ('{"a": "é\\u0000"}', "a: NUL in text"),
        ('{"a": {"b\\u0000": 1}}', "a: NUL in text"),
    ],
)
def test_what_no_column_can_hold_is_refused_with_its_path(raw, text):
    assert refusal(raw) == ("bad_arguments", text)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "\ud800", {"\udfff": 1}, [2**63], b"x", {1, 2}])
def test_what_python_can_hold_and_json_cannot_is_refused_too(value):
    with pytest.raises(BadArguments):
        check_storable(value)


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63), 1e18, -0.0, "é", "\U0001f600", True, None, [], {}])
def test_the_ends_of_what_can_be_stored_are_inside(value):
    check_storable(value)


def test_arguments_are_typed_for_the_record_and_for_sql():
    bind = binder(object_of(ANY))
    typed, bound = bind({"whole": 3.0, "truth": True, "part": 2.0, "list": [1.0, {"b": 1, "a": "é"}], "thing": {}})
    assert typed == {"whole": 3, "truth": True, "part": 2.0, "list": [1.0, {"b": 1, "a": "é"}], "thing": {}}
    assert (type(typed["whole"]), type(typed["part"])) == (int, float)
    assert bound == {"text": None, "whole": 3, "truth": True, "part": 2.0, "list": '[1,{"a":"é","b":1}]',
                     "thing": "{}", "perhaps": None, "free": None}  # fmt: skip


def test_a_whole_number_that_may_be_null_is_a_whole_number_too():
    typed, bound = binder(object_of(ANY))({"perhaps": 1.0})
    assert type(typed["perhaps"]) is type(bound["perhaps"]) is int


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(JSON)
def test_canonical_text_is_canonical_json_where_there_is_one(value):
    assert canonical_text(value).encode() == canonical(value)


@given(st.integers(2**53, 2**63 - 1), JSON)
def test_integers_that_canonical_json_cannot_carry_are_written_out(number, value):
    text = canonical_text({"b": number, "a": value})
    assert text == canonical_text({"a": value, "b": number})
    assert text.endswith(f'"b":{number}}}')


def test_a_complaint_names_the_path_and_stays_short():
    schema = Schema(object_of({"items": {"type": "array", "items": object_of({"price": WHOLE})}}))
    value = {"items": [{"price": 3}, {"price": "x" * 5000}]}
    assert not schema.accepts(value)
    complaint = schema.complaint(value)
    assert complaint is not None
    assert complaint.startswith("items.1.price: ")
    assert len(complaint) <= 300
    assert schema.complaint({"items": []}) is None


def test_a_schema_that_is_none_or_that_points_elsewhere_is_refused():
    with pytest.raises(ValueError, match="nonsense"):
        Schema({"type": "nonsense"})
    with pytest.raises(ValueError, match="may not refer"):
        Schema({"$ref": "http://127.0.0.1:1/other.json"})


def test_a_pattern_that_would_backtrack_for_ever_does_not():
    schema = Schema(object_of({"a": {"type": "string", "pattern": "^(a+)+$"}}))
    assert not schema.accepts({"a": "a" * 50_000 + "b"})
