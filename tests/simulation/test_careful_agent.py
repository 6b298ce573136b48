"""The agent that thinks aloud: it says where a rule is decided what decided it, and nobody hears it."""

import re
from itertools import islice

import pytest

from synthagent.schema.episodes import AgentEvent, ToolEvent, UserEvent
from synthagent.scoring.scorer import score
from synthagent.simulation.episode import facts_user, prepare
from synthagent.simulation.scripted_agents import scripted
from synthagent.synthesis.personas import shipped as personas
from synthagent.synthesis.procedural.domain import shipped
from synthagent.synthesis.procedural.teacher import families
from tests.builders import library, played

THOUGHT = re.compile(r"\A<think>(.*?)</think>\n?", re.S)
DOMAINS = sorted(shipped())


def tasks_of(domain, count=6):
    made = families({domain: shipped()[domain]}, personas(), 11)
    return list(islice((task for family in made for task in family.tasks), count))


def thoughts(episode):
    """(place, thought) of every turn with one."""
    found = []
    for place, event in enumerate(episode.events):
        if isinstance(event, AgentEvent) and (match := THOUGHT.match(event.text)):
            found.append((place, match[1]))
    return found


class Ears:
    """A user that remembers everything it was told."""

    def __init__(self, user):
        self.name, self._user, self.heard = user.name, user, []

    async def reply(self, message, *more):
        self.heard.append(message)
        return await self._user.reply(message, *more)


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("protocol", ["text", "tools", "tags"])
async def test_it_earns_the_full_reward_and_nobody_hears_what_it_thinks(domain, protocol):
    for task in tasks_of(domain, 3):
        stage = prepare(task)
        ears = Ears(facts_user(stage))
        found = await played(stage, scripted("careful", stage), user=ears, protocol=protocol)
        assert score(stage, found.episode, found.final).reward == 1.0
        assert ears.heard
        assert not any("think" in message or "fine" in message for message in ears.heard)
        said = [event.message for event in found.episode.events if isinstance(event, UserEvent)]
        assert not any("<think>" in message for message in said)


@pytest.mark.parametrize("domain", DOMAINS)
async def test_no_thought_holds_what_the_agent_has_not_seen_by_then(domain):
    counted = 0
    for task in tasks_of(domain):
        stage = prepare(task)
        episode = (await played(stage, scripted("careful", stage))).episode
        for place, thought in thoughts(episode):
            counted += 1
            known = [task.brief.instruction, *task.brief.rules, task.world.now]
            for event in episode.events[:place]:
                if isinstance(event, UserEvent):
                    known.append(event.text)
                elif isinstance(event, ToolEvent):
                    known += [event.response, str(event.arguments)]
            own = episode.events[place]
            known += [call.arguments for call in own.calls]
            for value in re.findall(r"[A-Z]{1,3}-\d{3,}|\d{4}-\d\d-\d\d|\b\d{3,}\b", thought):
                assert any(value in text for text in known), (thought, value)
    assert counted, "rules are thought of"


async def test_it_thinks_where_the_rule_is_decided_and_says_what_was_looked_up():
    stage = prepare(library())
    episode = (await played(stage, scripted("careful", stage))).episode
    [(place, thought)] = thoughts(episode)
    assert [call.name for call in episode.events[place].calls] == ["renew_loan"]
    assert thought.startswith("renew_loan not on a book that somebody has reserved")
    assert thought.endswith("reserved false, fine.")


async def test_where_a_rule_forbids_what_is_wanted_it_thinks_stop_before_it_declines():
    stopped = 0
    for task in tasks_of("library", 20):
        if task.provenance.legal:
            continue
        stage = prepare(task)
        episode = (await played(stage, scripted("careful", stage))).episode
        for place, thought in thoughts(episode):
            if "stop." in thought:
                stopped += 1
                assert not episode.events[place].calls or episode.events[place].calls[0].name == "transfer_to_human"
                assert any(isinstance(event, ToolEvent | UserEvent) for event in episode.events[:place])
    assert stopped
