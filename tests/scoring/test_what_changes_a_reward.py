"""What must not change a reward, and what must."""

from hypothesis import given, settings
from hypothesis import strategies as st

from synthagent.errors import Blame

PROTOCOLS = st.sampled_from(["text", "tools", "tags"])
READS = [
    {"call": "opening_hours"},
    {"call": "get_account", "args": {"member_id": "M-204"}},
    {"call": "list_loans", "args": {"member_id": "M-377"}},
    {"call": "find_member", "args": {"name": "Nobody"}},
]
REWORDED = {
    "name": ["Who are you?", "May I have your name, please?", "Please tell me the name on your card."],
    "title": ["Which loan is it about?", "What is the title of the book?", "Could you tell me the title?"],
    "until": ["Until when, please?", "What should the new due date be?", "Tell me the new due date."],
}
FORBIDDEN = {"call": "renew_loan", "args": {"loan_id": "L-82", "new_due": "2031-05-23"}}
quickly = settings(max_examples=20, deadline=None)


def inserted(steps, places, more):
    steps = list(steps)
    for place, step in zip(places, more, strict=False):
        steps.insert(place % len(steps), step)
    return steps


@quickly
@given(
    places=st.lists(st.integers(0, 20), min_size=1, max_size=6),
    reads=st.lists(st.sampled_from(READS), min_size=6, max_size=6),
    protocol=PROTOCOLS,
)
def test_further_reads_that_no_restriction_names_cost_nothing(theatre, reference, places, reads, protocol):
    steps = inserted(reference, places, reads)
    assert theatre.score(theatre.steps(steps, protocol)).reward == 1.0


@quickly
@given(order=st.permutations(range(5)), protocol=PROTOCOLS)
def test_the_order_of_independent_questions_and_reads_does_not_matter(theatre, reference, order, protocol):
    first = [reference[place] for place in order]
    asked, used = order.index(0), order.index(1)
    if asked > used:  # the name is looked up once it is known
        first[asked], first[used] = first[used], first[asked]
    steps = [*first, *reference[5:]]
    assert theatre.score(theatre.steps(steps, protocol)).reward == 1.0


@quickly
@given(
    words=st.fixed_dictionaries({fact: st.sampled_from(ways) for fact, ways in REWORDED.items()}), protocol=PROTOCOLS
)
def test_asking_in_other_words_earns_the_same(theatre, reference, words, protocol):
    steps = [{**step, "text": words[step["ask"]]} if "ask" in step else step for step in reference]
    assert theatre.score(theatre.steps(steps, protocol)).reward == 1.0


@quickly
@given(place=st.integers(0, 7), protocol=PROTOCOLS)
def test_one_forbidden_write_anywhere_makes_it_zero(theatre, reference, place, protocol):
    result = theatre.score(theatre.steps(inserted(reference, [place], [FORBIDDEN]), protocol))
    assert (result.reward, result.gate, result.blame) == (0.0, 0, Blame.AGENT)


@quickly
@given(left_out=st.sampled_from([0, 2, 3, 4, 7]), protocol=PROTOCOLS)
def test_leaving_a_step_out_earns_less_but_something(theatre, reference, left_out, protocol):
    steps = [step for number, step in enumerate(reference) if number != left_out]
    if left_out == 0:  # nothing can be looked up by a name that nobody told
        steps = [step for step in steps if step.get("call") != "find_member"]
    if left_out == 4:
        steps = [
            {**step, "args": {**step["args"], "new_due": "2031-05-23"}} if step.get("call") == "renew_loan" else step
            for step in steps
        ]
    assert 0 < theatre.score(theatre.steps(steps, protocol)).reward < 1
