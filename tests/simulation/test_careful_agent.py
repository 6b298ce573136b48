"""The agent that thinks aloud: it says where a rule is decided what decided it, and nobody hears it."""

import re
from itertools import islice

import anyio
import pytest

from synthagent.schema.episodes import AgentEvent, Limits, ToolEvent, UserEvent
from synthagent.scoring.scorer import score
from synthagent.simulation.episode import Cast, facts_user, play, prepare
from synthagent.simulation.scripted_agents import scripted
from synthagent.simulation.values import mentions
from synthagent.synthesis.personas import shipped as personas
from synthagent.synthesis.procedural.domain import shipped
from synthagent.synthesis.procedural.teacher import families
from synthagent.synthesis.ungapped import without_gap
from tests.builders import library

THOUGHT = re.compile(r"\A<think>(.*?)</think>\n?", re.S)
DOMAINS = sorted(shipped())


def tasks_of(domain, count=6):
    """Tasks that hold: whose reference earns everything."""
    made = families({domain: shipped()[domain]}, personas(), 11)
    return list(islice((task for family in made for task in family.tasks if earns(task, "reference") == 1.0), count))


def earns(task, agent):
    stage = prepare(task)
    cast = Cast(scripted(agent, stage), facts_user(stage))
    return score(stage, anyio.run(play, stage, cast, Limits()).episode).reward


def thoughts(episode):
    """(place, thought) of every turn with one."""
    found = []
    for place, event in enumerate(episode.events):
        if isinstance(event, AgentEvent) and (match := THOUGHT.match(event.text)):
            found.append((place, match[1]))
    return found


def careful(stage, user=None, protocol="text"):
    cast = Cast(scripted("careful", stage), user or facts_user(stage), protocol)
    return anyio.run(play, stage, cast, Limits())


class Ears:
    """A user that remembers everything it was told."""

    def __init__(self, user):
        self.name, self._user, self.heard = user.name, user, []

    async def reply(self, message, *more):
        self.heard.append(message)
        return await self._user.reply(message, *more)


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("protocol", ["text", "tools", "tags"])
def test_it_earns_the_full_reward_and_nobody_hears_what_it_thinks(domain, protocol):
    for task in tasks_of(domain, 3):
        stage = prepare(task)
        ears = Ears(facts_user(stage))
        found = careful(stage, user=ears, protocol=protocol)
        assert score(stage, found.episode, found.final).reward == 1.0
        assert ears.heard
        assert not any("think" in message or "fine" in message for message in ears.heard)
        said = [event.message for event in found.episode.events if isinstance(event, UserEvent)]
        assert not any("<think>" in message for message in said)


@pytest.mark.parametrize("domain", DOMAINS)
def test_no_thought_holds_what_the_agent_has_not_seen_by_then(domain):
    counted = 0
    for task in tasks_of(domain):
        stage = prepare(task)
        episode = careful(stage).episode
        for place, thought in thoughts(episode):
            counted += 1
            known = [task.brief.instruction, *task.brief.rules, task.world.now]
            for event in episode.events[:place]:
                if isinstance(event, UserEvent):  # a fact is told in words, and written down as tools want it
                    told = [fact for fact in task.hidden.facts if fact.id in event.disclosed]
                    known += [event.text, *(str(fact.value) for fact in told)]
                elif isinstance(event, ToolEvent):
                    known += [event.response, str(event.arguments)]
            own = episode.events[place]
            known += [call.arguments for call in own.calls]
            for value in re.findall(r"[A-Z]{1,3}-\d{3,}|\d{4}-\d\d-\d\d|\b\d{3,}\b", thought):
                seen = any(value in text for text in known) or mentions(task.brief.instruction, value)
                assert seen, (thought, value)
    assert counted, "rules are thought of"


def test_it_thinks_where_the_rule_is_decided_and_says_what_was_looked_up():
    stage = prepare(library())
    episode = careful(stage).episode
    [(place, thought)] = thoughts(episode)
    before = [event.tool for event in episode.events[:place] if isinstance(event, ToolEvent)]
    after = [event.tool for event in episode.events[place:] if isinstance(event, ToolEvent)]
    assert (before, after) == (["find_member", "list_loans"], ["renew_loan"])
    assert thought == "renew_loan not Renewed a loan that is promised to somebody else: reserved false, fine."


def test_it_thinks_stop_where_a_rule_forbids_what_is_wanted_and_not_before_it_asked_or_looked():
    stopped = 0
    for task in tasks_of("library", 20):
        if task.provenance.legal:
            continue
        stage = prepare(task)
        episode = careful(stage).episode
        for place, thought in thoughts(episode):
            if "stop." in thought:
                stopped += 1
                assert any(isinstance(event, ToolEvent | UserEvent) for event in episode.events[:place])
    assert stopped


@pytest.mark.parametrize("domain", DOMAINS)
def test_where_nothing_has_to_be_asked_it_thinks_of_the_same_rules(domain):
    """Else an ablation without the information gap would compare two demonstrators too."""
    for task in tasks_of(domain, 8):
        asked = thoughts(careful(prepare(task)).episode)
        told = thoughts(careful(prepare(without_gap(task))).episode)
        verdicts = [[re.findall(r"(fine|stop)\.", thought) for _, thought in found] for found in (asked, told)]
        assert sum(map(len, verdicts[1])) >= sum(map(len, verdicts[0]))
