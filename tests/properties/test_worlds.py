"""Invariants 2 and 3 where tools are SQL: the same calls give the same bytes, and only writes matter to later reads."""

import orjson
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from synthagent.simulation.episode import prepare
from synthagent.simulation.states import diff, digest_of
from synthagent.simulation.world import Blueprint, LiveWorld
from tests.builders import Drawn, ToolUse, library, library_uses, text_of, uses, worlds

LIBRARY = prepare(library()).blueprint
CALLS = st.lists(library_uses(), max_size=12)
some = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def played_worlds(draw: st.DrawFn, most: int = 10) -> tuple[Drawn, list[ToolUse]]:
    """A drawn world and calls of its tools."""
    drawn = draw(worlds())
    return drawn, draw(st.lists(uses(drawn.tools), max_size=most))


def answers(world: LiveWorld, calls: list[ToolUse]) -> list[str]:
    return [world.call(name, raw).response for name, raw in calls]


def pristine(blueprint: Blueprint) -> bool:
    """A world opened now holds exactly the initial rows, whatever it says of itself."""
    with blueprint.open() as world:
        return world.rows() == blueprint.initial and digest_of(world.rows()) == world.digest == blueprint.digest


@some
@given(played_worlds())
def test_a_reset_brings_back_exactly_the_initial_state_whatever_was_called(case):
    drawn, calls = case
    blueprint = drawn.compiled()
    for _ in range(2):
        with blueprint.open() as world:
            answers(world, calls)
        assert pristine(blueprint)
    assert drawn.compiled().digest == blueprint.digest


@some
@given(played_worlds())
def test_a_failed_call_and_a_read_change_nothing_and_the_digest_always_tells(case):
    drawn, calls = case
    blueprint = drawn.compiled()
    with blueprint.open() as world:
        for name, raw in calls:
            before = world.rows()
            result = world.call(name, raw)
            after = world.rows()
            assert world.digest == digest_of(after)
            if not result.changed:
                assert after == before
            assert result.changed == (result.ok and not name.startswith("list_"))
        changes = diff(blueprint.tables, blueprint.initial, after) if calls else []
        assert world.final().changes(blueprint) == changes


@some
@given(played_worlds())
def test_the_same_calls_give_the_same_bytes_in_every_copy_of_a_world(case):
    drawn, calls = case
    one, other = drawn.compiled(), drawn.compiled()
    played = []
    for blueprint in (one, other, one):
        with blueprint.open() as world:
            played.append((answers(world, calls), world.digest))
    assert played[0] == played[1] == played[2]
    with one.open(reverse=True) as world:
        assert (answers(world, calls), world.digest) == played[0]


@some
@given(CALLS, CALLS)
def test_two_worlds_open_at_once_answer_as_if_each_were_alone(left, right):
    alone = []
    for calls in (left, right):
        with LIBRARY.open() as world:
            alone.append(answers(world, calls))
    with LIBRARY.open() as one, LIBRARY.open() as two:
        together: list[list[str]] = [[], []]
        for number in range(max(len(left), len(right))):
            for world, calls, given_ in ((one, left, together[0]), (two, right, together[1])):
                given_ += answers(world, calls[number : number + 1])
    assert together == alone


def reformatted(raw: str, draw: st.DataObject) -> str:
    """The same arguments in another order and another hand."""
    arguments = orjson.loads(raw)
    names = draw.draw(st.permutations(sorted(arguments)))
    parts = []
    for name in names:
        value = arguments[name]
        whole = isinstance(value, int) and abs(value) < 2**53
        text = f"{value}.0" if whole and draw.draw(st.booleans()) else text_of(value)
        key = "".join(f"\\u{ord(letter):04x}" for letter in name)
        parts.append(f'\n "{key}" :\t{text}')
    return "{" + ",".join(parts) + " }"


@some
@given(played_worlds(), st.data())
def test_order_and_form_of_arguments_never_change_an_answer(case, data):
    drawn, calls = case
    blueprint = drawn.compiled()
    with blueprint.open() as plain, blueprint.open() as odd:
        for name, raw in calls:
            assert plain.call(name, raw).response == odd.call(name, reformatted(raw, data)).response
        assert plain.digest == odd.digest


@some
@given(CALLS, st.lists(library_uses(effects=("read",)), max_size=6), st.data())
def test_reads_and_failures_in_between_change_no_answer_of_the_others(calls, reads, data):
    with LIBRARY.open() as world:
        plain = answers(world, calls)
    mixed = []
    with LIBRARY.open() as world:
        for call in calls:
            for read in data.draw(st.lists(st.sampled_from(reads), max_size=2)) if reads else ():
                assert not world.call(*read).changed
            mixed += answers(world, [call])
    assert mixed == plain


@some
@given(played_worlds(), st.data())
def test_a_write_is_seen_by_reads_of_its_own_table_and_by_no_others(case, data):
    drawn, calls = case
    tables = sorted(drawn.world.rows)
    name, raw = data.draw(uses([tool for tool in drawn.tools if tool.effect == "write"]))
    touched = f"t{name.rpartition('_')[2]}"
    with drawn.compiled().open() as world:
        answers(world, calls)
        before = world.rows()
        result = world.call(name, raw)
        assume(result.ok)
        after = world.rows()
        for table in tables:
            listed = orjson.loads(world.call(f"list_{table[1:]}", "{}").response)
            assert [list(row.values()) for row in listed] == [list(row) for row in after[table]]
            if table != touched:
                assert after[table] == before[table]


@some
@given(played_worlds(), played_worlds())
def test_digests_are_equal_exactly_when_rows_are(one, other):
    states = []
    for drawn, calls in (one, other):
        with drawn.compiled().open() as world:
            states.append((world.digest, orjson.dumps(world.rows())))
            answers(world, calls)
            states.append((world.digest, orjson.dumps(world.rows())))
    for digest, rows in states:
        for digest_too, rows_too in states:
            assert (digest == digest_too) == (rows == rows_too)
