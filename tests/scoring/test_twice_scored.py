"""A stored episode is worth what it was worth live: by its record alone, every number of it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthagent.schema.episodes import Episode
from synthagent.schema.scores import Scored
from synthagent.scoring.reward import reward_hash
from synthagent.scoring.scorer import score
from synthagent.simulation.scripted_agents import AGENTS

PROTOCOLS = ["text", "tools", "tags"]
LOANS = st.sampled_from(["L-81", "L-82", "L-90", "L-00"])
DATES = st.sampled_from(["2031-05-23", "2031-06-01", "never"])
MEMBERS = st.sampled_from(["M-204", "M-377"])


def calls(tool, **args):
    return st.fixed_dictionaries({"call": st.just(tool), "args": st.fixed_dictionaries(args)})


CALLS = st.one_of(
    calls("renew_loan", loan_id=LOANS, new_due=DATES),
    calls("place_hold", member_id=MEMBERS, title=st.sampled_from(["Slow Tides", "Paper Bridges"])),
    calls("drop_hold", hold_id=st.sampled_from(["H-5", "H-6"])),
    calls("pay_fees", member_id=MEMBERS, amount_cents=st.integers(-5, 5)),
    calls("list_loans", member_id=MEMBERS),
    calls("opening_hours"),
    calls("no_such_tool"),
    calls("transfer_to_human", summary=st.just("Over to you.")),
)
WORDS = st.sampled_from(
    [
        "What name is on the card?",
        "Which book is it, and until when?",
        "Shall I renew The Salt Roads until 23 May 2031?",
        "I'm sorry, I cannot renew it.",
        "Done, that makes 2 renewals.",
    ]
)
TURNS = st.lists(WORDS | CALLS | st.lists(CALLS, min_size=1, max_size=3), min_size=1, max_size=8)


def stored(played) -> Episode:
    """As it comes back from a journal."""
    return Episode.model_validate_json(played.episode.model_dump_json())


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", AGENTS)
def test_every_scripted_agent_keeps_its_score(theatre, name, protocol):
    played = theatre.play(AGENTS[name](theatre.stage), protocol)
    live = theatre.score(played)
    again = score(theatre.stage, stored(played))
    assert isinstance(live, Scored) and again == live
    assert reward_hash([again]) == reward_hash([live])
    assert live.reward == (1.0 if name == "reference" else pytest.approx(live.reward)) and live.reward <= 1.0


@settings(max_examples=25, deadline=None)
@given(turns=TURNS, protocol=st.sampled_from(PROTOCOLS))
def test_whatever_an_agent_does_scores_the_same_from_the_record(theatre, turns, protocol):
    played = theatre.script(*turns, protocol=protocol)
    assert score(theatre.stage, stored(played)) == theatre.score(played)
    assert theatre.score(theatre.script(*turns, protocol=protocol)) == theatre.score(played), "nor by playing again"
