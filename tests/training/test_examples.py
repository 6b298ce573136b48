"""An episode as tokens to be imitated: what the agent wrote is learnt, exactly as if this model had written it."""

from itertools import islice

import anyio
import pytest

from synthagent.errors import Blame
from synthagent.rollouts.group import roll
from synthagent.rollouts.histories import refusal, turns
from synthagent.schema.episodes import FormEvent, Limits, Stop
from synthagent.schema.scores import Scored, Unscored
from synthagent.simulation.episode import Cast, facts_user, play, prepare
from synthagent.simulation.scripted_agents import scripted
from synthagent.synthesis.personas import shipped as personas
from synthagent.synthesis.procedural.domain import shipped
from synthagent.synthesis.procedural.teacher import families
from synthagent.training.examples import Example, mixed, tokens_of
from synthagent.training.policy import Policy, PolicyAgent
from synthagent.training.sampling import Sampled
from tests.builders import library
from tests.training.test_tokens import SHAPES, tokenizer


def acted(task, agent="careful", protocol="text", form="hermes"):
    stage = prepare(task)
    cast = lambda *_: Cast(scripted(agent, stage), facts_user(stage), protocol, form)  # noqa: E731
    return anyio.run(roll, stage, cast, Limits(), 0, 0)


@pytest.fixture(scope="module")
def tasks():
    """A few real ones, and one that is made by hand."""
    return [library(), *islice((t for family in families(shipped(), personas(), 5) for t in family.tasks), 4)]


class Dictated:
    """A sampler that writes what it is told to, turn by turn."""

    length = 1_000_000

    def __init__(self, pieces):
        self._pieces = iter(pieces)

    async def sample(self, key, ids, wish):
        piece = next(self._pieces)
        return Sampled(tuple(piece), (-0.5,) * len(piece), True)

    def release(self, key):
        """Nothing is kept."""


def pieces_of(tokens):
    """The ids of each turn that was written."""
    found, before = [], 0
    for token, bit in zip(tokens.ids, tokens.mask, strict=True):
        if bit and not before:
            found.append([])
        if bit:
            found[-1].append(token)
        before = bit
    return found


@pytest.mark.parametrize("protocol", ["text", "tools", "tags"])
@pytest.mark.parametrize("shape", SHAPES)
def test_imitated_and_played_the_same_turns_are_the_same_tokens(tasks, shape, protocol):
    """A policy that writes the demonstration's turns keeps the very tokens that the demonstration is imitated by."""
    speaks = tokenizer(shape)
    for task in tasks:
        episode = acted(task, "reference", protocol).episode
        tokens = tokens_of(task, episode, speaks, "hermes")
        stage = prepare(task)
        policy = PolicyAgent(
            Policy(Dictated(pieces_of(tokens)), speaks), "hermes", max_tokens=10_000, temperature=1.0, seed=0
        )
        again = anyio.run(play, stage, Cast(policy, facts_user(stage), protocol, "hermes"), Limits()).episode
        assert again.stop == episode.stop
        assert [turn.message["content"] for turn in turns(again)] == [
            turn.message["content"] for turn in turns(episode)
        ]
        assert policy.tokens.ids == tokens.ids
        assert policy.tokens.mask == tokens.mask


@pytest.mark.parametrize("shape", SHAPES)
def test_every_turn_is_learnt_with_its_end_and_nothing_else_is(tasks, shape):
    speaks = tokenizer(shape)
    for task in tasks:
        episode = acted(task).episode
        tokens = tokens_of(task, episode, speaks, "hermes")
        written = [speaks.decode(piece) for piece in pieces_of(tokens)]
        said = list(turns(episode))
        assert len(written) == len(said)
        for text, turn, piece in zip(written, said, pieces_of(tokens), strict=True):
            assert piece[-1] in speaks.ends
            assert all(f'"name": "{call["function"]["name"]}"' in text for call in turn.message.get("tool_calls", ()))
            assert turn.message["content"].strip() in text
        heard = [answer["content"] for turn in said[:-1] for answer in turn.answers]
        assert len(heard) >= 2
        assert not any(answer in text for answer in heard if len(answer) > 40 for text in written)


def test_turns_go_with_what_came_of_them():
    outcome = acted(library(), "reference", "tools")
    found = list(turns(outcome.episode))
    assert len(found) == outcome.episode.turns
    for turn in found:
        calls = turn.message.get("tool_calls", [])
        assert [answer["tool_call_id"] for answer in turn.answers] == [call["id"] for call in calls]
    assert all(answer["role"] == "user" for turn in turns(acted(library(), "done").episode) for answer in turn.answers)


def test_an_episode_in_which_the_agent_was_corrected_is_not_imitated():
    episode = acted(library(), "reference").episode
    corrected = episode.model_copy(update={"events": (*episode.events, FormEvent(error="no such tool"))})
    with pytest.raises(ValueError, match="corrected: no such tool"):
        list(turns(corrected))


def test_only_what_earned_enough_through_the_agent_alone_is_imitated():
    outcome = acted(library(), "reference")
    episode, score = outcome.episode, outcome.score
    assert isinstance(score, Scored)
    unscored = Unscored(
        task_id=score.task_id, sample=0, rubric_id=score.rubric_id, blame=Blame.JUDGE, reason="silent"
    )  # fmt: skip
    half = score.model_copy(update={"reward": 0.5})
    corrected = episode.model_copy(update={"events": (*episode.events, FormEvent(error="what?"))})
    limit = episode.model_copy(update={"malformed": 1, "stop": Stop.MALFORMED_LIMIT})
    assert refusal(episode, score, 1.0) is None
    assert refusal(episode, None, 1.0) == refusal(episode, unscored, 1.0) == "unscored"
    assert refusal(episode, score.model_copy(update={"reward": 0.0, "blame": Blame.USER}), 1.0) == "blame:user"
    assert (refusal(episode, half, 1.0), refusal(episode, half, 0.5)) == ("reward", None)
    assert refusal(corrected, score, 1.0) == refusal(limit, score, 1.0) == "malformed"


def test_domains_are_spread_evenly_over_the_updates():
    task = library()
    tokens = tokens_of(task, acted(task, "reference").episode, tokenizer("chatml"), "hermes")

    def some(domain, count):
        made = task.model_copy(update={"provenance": task.provenance.model_copy(update={"domain": domain})})
        return [Example(made, n, tokens) for n in range(count)]

    pile = [*some("a", 8), *some("b", 4), *some("c", 4)]
    updates = list(mixed(pile, 4))
    assert [len(update) for update in updates] == [4, 4, 4, 4]
    assert [sorted(example.domain for example in update) for update in updates] == [["a", "a", "b", "c"]] * 4
    assert sorted(map(id, (one for update in updates for one in update))) == sorted(map(id, pile))
    assert [len(update) for update in mixed(some("a", 5), 2)] == [2, 2, 1]
