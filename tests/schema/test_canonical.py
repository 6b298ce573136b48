"""Canonical JSON: the fast way and the standard's own give the same bytes."""

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from synthagent.schema.record import canonical, content_id

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | texts
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@given(values)
def test_canonical_bytes_are_those_of_the_standard(value):
    assert canonical(value) == rfc8785.dumps(value)


@given(st.dictionaries(texts, values, max_size=5))
def test_the_order_of_keys_does_not_matter(value):
    assert content_id(value) == content_id(dict(reversed(value.items())))


@pytest.mark.parametrize("value", [2**53, -(2**53), float("nan"), float("inf"), {"a": [2**60]}])
def test_what_the_standard_cannot_carry_is_refused(value):
    with pytest.raises(ValueError):
        canonical(value)
