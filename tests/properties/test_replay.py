"""Invariant 2 after a restart: what was stored comes out again byte for byte, and any difference is seen."""

import anyio
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from synthagent.llm.scripted import calling
from synthagent.schema.episodes import Episode, Stop
from synthagent.simulation.episode import ReplayMismatch, prepare, replay
from tests.builders import ToolUse, library, library_uses, model_agent, played, tools_in

STAGE = prepare(library())
TURNS = st.lists(st.lists(library_uses(), min_size=1, max_size=4), max_size=5)


def stored(turns: list[list[ToolUse]]) -> Episode:
    agent = model_agent([*(calling(*turn) for turn in turns), "Done."])
    result = anyio.run(lambda: played(STAGE, agent))
    assert result.episode.stop in (Stop.USER_DONE, Stop.TRANSFERRED, Stop.MALFORMED_LIMIT)
    return Episode.model_validate_json(result.episode.model_dump_json())


@settings(max_examples=40, deadline=None)
@given(TURNS)
def test_a_stored_episode_replays_to_its_own_digest_in_a_world_compiled_anew(turns):
    episode = stored(turns)
    for stage in (STAGE, prepare(library())):
        final = replay(stage, episode)
        assert final.digest == episode.digest
        assert (final.changes(stage.blueprint) == []) == (episode.digest == stage.blueprint.digest)


@settings(max_examples=40, deadline=None)
@given(TURNS, st.data())
def test_one_changed_byte_of_one_response_is_seen(turns, data):
    episode = stored(turns)
    calls = [number for number, event in enumerate(episode.events) if event in tools_in(episode.events)]
    assume(calls)
    number = data.draw(st.sampled_from(calls))
    event = episode.events[number]
    place = data.draw(st.integers(0, len(event.response) - 1))
    forged = event.response[:place] + "~" + event.response[place + 1 :]
    assume(forged != event.response)
    events = (*episode.events[:number], event.model_copy(update={"response": forged}), *episode.events[number + 1 :])
    with pytest.raises(ReplayMismatch, match=f"event {number}: "):
        replay(STAGE, episode.model_copy(update={"events": events}))
