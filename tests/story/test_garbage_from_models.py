"""A model that writes garbage earns its zero; a server that sends garbage earns nobody anything."""

import pytest

from synthagent.errors import Blame
from synthagent.llm.model import ChatReply
from synthagent.llm.openai import OpenAIChat
from synthagent.llm.scripted import calling
from synthagent.llm.stub import Misbehave, StubServer
from synthagent.rollouts.group import roll_group
from synthagent.schema.episodes import FormEvent, Limits, Stop, ToolEvent
from synthagent.schema.scores import Scored, Unscored
from synthagent.simulation.episode import Cast, facts_user, prepare
from synthagent.simulation.model_agent import ModelAgent, Sampling
from synthagent.simulation.reference_agent import call

PROSE = "I would first look up the member and then, having considered the options, extend the loan."
BROKEN = '<tool_call>{"name": "find_member", "arguments": {"name": "Em'
HUGE = "x" * 10_000_000
UNCLOSED = '<tool_call>{"name": "find_member", "arguments": {}}'


async def outcome_of(task, say, protocol="text", form="native", limits: Limits | None = None):
    """One episode of a model behind a real socket that answers with `say(body)`."""
    async with StubServer(say) as url:
        model = OpenAIChat("small", url)
        agent = ModelAgent(model, "small", form, Sampling(), seed=0)
        casting = lambda stage, _: Cast(agent, facts_user(stage), protocol, form)  # noqa: E731
        try:
            (outcome,) = (await roll_group(task, casting, limits or Limits(), n=1, seed=0)).outcomes
        finally:
            await model.aclose()
    return outcome


@pytest.mark.parametrize(
    ("reply", "protocol", "form"),
    [
        ("", "text", "native"),
        (" \n", "text", "hermes"),
        (PROSE, "tags", "native"),
        ("<answer>one</answer><answer>two</answer>", "tags", "native"),
        (BROKEN, "text", "hermes"),
        (BROKEN, "text", "native"),
        (UNCLOSED, "tools", "hermes"),
        ('<tool_call>["find_member"]</tool_call>', "text", "hermes"),
        ('<tool_call>{"name": 7, "arguments": {}}</tool_call>', "tags", "hermes"),
        (calling(("no_such_tool", {})), "text", "native"),
        (calling(("transfer_to_human", [1, 2])), "text", "native"),
        (calling(("transfer_to_human", '{"summary": ')), "text", "native"),
        (calling(("transfer_to_human", {"summary": 7})), "text", "native"),
        (calling(("transfer_to_human", {"summary": "x", "colour": "red"})), "tools", "native"),
        (calling(("ask_user", {"question": ["a", "b"]})), "tools", "native"),
    ],
)
async def test_garbage_is_counted_answered_and_worth_nothing(tasks, reply, protocol, form):
    outcome = await outcome_of(tasks[0], lambda _: reply, protocol, form)
    episode, score = outcome.episode, outcome.score
    assert episode.stop is Stop.MALFORMED_LIMIT
    assert episode.malformed == episode.turns == Limits().malformed
    answers = [event for event in episode.events if isinstance(event, FormEvent | ToolEvent)]
    assert len(answers) == episode.malformed
    assert not any(isinstance(event, ToolEvent) and event.ok for event in answers)
    assert isinstance(score, Scored)
    assert (score.reward, score.blame) == (0.0, Blame.AGENT)


async def test_prose_goes_to_the_user_who_waits_until_the_turns_are_spent(tasks):
    outcome = await outcome_of(tasks[0], lambda _: PROSE, limits=Limits(turns=6))
    assert (outcome.episode.stop, outcome.episode.malformed) == (Stop.TURN_LIMIT, 0)
    assert isinstance(outcome.score, Scored)
    assert (outcome.score.reward, outcome.score.blame) == (0.0, Blame.AGENT)


async def test_the_error_is_told_so_that_a_model_can_mend_its_call(tasks):
    """After one broken call the model is shown what was wrong, writes it well, and the episode goes on."""
    heard: list[str] = []

    def say(body):
        heard.append(body["messages"][-1]["content"])
        return BROKEN if len(heard) == 1 else calling(("transfer_to_human", {"summary": "Somebody should help."}))

    outcome = await outcome_of(tasks[0], say, form="native")
    assert heard[1] == "error: a <tool_call> is not closed"
    assert (outcome.episode.stop, outcome.episode.malformed) == (Stop.TRANSFERRED, 1)


@pytest.mark.parametrize(
    "garbage",
    [
        Misbehave(body="It works on my machine."),
        Misbehave(body={"choices": []}),
        Misbehave(body={"choices": [{"message": {"content": ["a", "list"]}}]}),
        Misbehave(body=b"\xff\xfe\x00"),
        Misbehave(404, body={"error": {"message": "model not found"}}),
    ],
)
async def test_what_is_no_answer_of_a_model_is_unscored_infrastructure(tasks, garbage: Misbehave):
    outcome = await outcome_of(tasks[0], lambda _: garbage)
    assert isinstance(outcome.score, Unscored)
    assert outcome.score.blame is Blame.INFRASTRUCTURE
    assert outcome.episode.stop is Stop.FAILED


async def test_a_model_that_talks_past_its_window_or_its_allowance_fails_itself(tasks):
    full = {"error": {"message": "This model's maximum context length is 5120 tokens.", "code": 400}}
    for say in (lambda _: Misbehave(400, body=full), lambda _: ChatReply(content="word " * 4000)):
        outcome = await outcome_of(tasks[0], say, limits=Limits(tokens=900))
        assert outcome.episode.stop is Stop.TOKEN_LIMIT
        assert isinstance(outcome.score, Scored)
        assert (outcome.score.reward, outcome.score.blame) == (0.0, Blame.AGENT)


async def test_an_argument_of_ten_megabytes_is_the_agents_mistake_and_grows_nothing(tasks):
    """Every tool says so in a few words, and the state is as before."""
    stage = prepare(tasks[0])
    with stage.blueprint.open() as world:
        before = world.digest
        for tool in tasks[0].brief.tools:
            for name in tool.function.parameters.get("properties", {}):
                result = world.call(tool.name, f'{{"{name}": "{HUGE}"}}')
                assert not result.ok
                assert len(result.response) < 1_000
        assert world.digest == before

    class Boundless:
        name = "boundless"

        async def act(self, view):
            return call("transfer_to_human", {"summary": HUGE}, number=0)

    casting = lambda stage, _: Cast(Boundless(), facts_user(stage))  # noqa: E731
    (outcome,) = (await roll_group(tasks[0], casting, Limits(turns=2), n=1, seed=0)).outcomes
    assert isinstance(outcome.score, Scored)
    assert (outcome.score.reward, outcome.score.blame) == (0.0, Blame.AGENT)
