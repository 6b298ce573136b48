"""Near-duplicates are found, with exact similarities, the same on every machine."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from synthagent.synthesis.overlap import NearDuplicates, features, grams, hashed, jaccard, words

numbers = st.frozensets(st.integers(0, 2**64 - 1), min_size=1, max_size=40)


@given(st.lists(numbers, min_size=1, max_size=8, unique=True))
def test_the_very_same_is_always_found(sets):
    known = NearDuplicates(0.8)
    for number, one in enumerate(sets):
        known.add(str(number), one)
    for number, one in enumerate(sets):
        assert known.nearest(one) == (str(number), 1.0)


@given(numbers, numbers)
def test_what_is_found_is_as_alike_as_it_is_said_to_be(one, two):
    known = NearDuplicates(0.8)
    known.add("one", one)
    found = known.nearest(two)
    assert found is None or (found[1] == jaccard(one, two) and found[1] >= 0.8)


def test_pairs_at_nine_tenths_are_found_nearly_always():
    random, found = Random(7), 0
    for _ in range(400):
        base = [random.getrandbits(64) for _ in range(57)]
        one, two = frozenset(base), frozenset([*base[3:], *(random.getrandbits(64) for _ in range(3))])
        assert 0.89 < jaccard(one, two) < 0.91
        known = NearDuplicates(0.8)
        known.add("x", one)
        found += known.nearest(two) is not None
    assert found >= 396


def test_where_a_word_ends_matters():
    assert hashed(["ab"]) != hashed(["a", "b"])


def test_words_know_scripts_and_numbers():
    assert words("Über-Straße 12: naïve, 東京!") == ["über", "strasse", "12", "naïve", "東京"]
    assert list(grams("a b", 3)) == [("a", "b")]
    assert list(grams("", 3)) == []


def test_twins_are_alike_and_tasks_of_two_domains_are_not(many):
    family = next(made for made in many if len(made.tasks) > 1)
    one, two = family.tasks[:2]
    assert jaccard(features(one), features(two)) == 1.0
    other = next(t for made in many for t in made.tasks if t.provenance.domain != one.provenance.domain)
    assert jaccard(features(one), features(other)) < 0.2


def test_a_hash_is_the_one_it_was():
    """Verdicts on duplicates must not change between releases, machines or versions of Python."""
    assert f"{hashed(['find', 'member']):016x}" == "0fba859d8247d40e"
