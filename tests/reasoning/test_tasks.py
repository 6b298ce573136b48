"""A problem as a task: what the agent sees of it, who answers its tools, and what is stored."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import pytest

from synthagent.errors import Blame, InputError, ToolFailed
from synthagent.llm.model import ChatReply
from synthagent.llm.retrying import Backoff, Tries
from synthagent.llm.scripted import Scripted, calling
from synthagent.llm.stub import Misbehave
from synthagent.reasoning.mapped_search import MappedSearch, mapped_search
from synthagent.reasoning.problems import Problem
from synthagent.reasoning.providers import SERPER
from synthagent.reasoning.python_tool import PythonResult, open_sandbox, told
from synthagent.reasoning.search import Hit, SearchSettings
from synthagent.reasoning.search_stub import SearchStub
from synthagent.reasoning.services import Services
from synthagent.reasoning.tasks import as_task, posed, services_of
from synthagent.reasoning.web_search import WebSearch
from synthagent.schema.episodes import Episode, Limits, Stop, ToolEvent
from synthagent.schema.messages import Protocol
from synthagent.schema.record import dump
from synthagent.schema.tasks import Task
from synthagent.scoring.scorer import score
from synthagent.simulation.agent import ToolForm, opening, tools_for
from synthagent.simulation.episode import Cast, Played, ReplayMismatch, facts_user, play, prepare, replay
from synthagent.simulation.map_store import MemoryStore
from synthagent.simulation.model_agent import ModelAgent, Sampling
from synthagent.simulation.scripted_agents import scripted
from tests.builders import library, tools_in

SUM = Problem(id="s", question="How much is 40 plus 2?", gold="42", tools=("python", "search"), source="sums")
DATA = "print(6 * 7)\n'done'"


def playing(model: Scripted | str, task: Task, tools: object = None, protocol: Protocol = "text") -> Cast:
    stage = prepare(task)
    agent = scripted(model, stage) if isinstance(model, str) else ModelAgent(model, "m", "native", Sampling(), 0)
    return Cast(agent, facts_user(stage), protocol, tools=tools)


async def episode_of(model: Scripted | str, task: Task, tools: object = None, protocol: Protocol = "text") -> Played:
    return await play(prepare(task), playing(model, task, tools, protocol), Limits(seconds=60))


@asynccontextmanager
async def searching(answer, store=None) -> AsyncIterator[tuple[MappedSearch, SearchStub]]:
    stub = SearchStub("serper", answer)
    async with stub as url:
        backend = WebSearch(SERPER, SearchSettings(), "a-key", url=url, tries=Tries(Backoff(attempts=1)))
        search = mapped_search(backend, store or MemoryStore())
        yield search, stub
        await search.aclose()


# ---- the task


@pytest.mark.parametrize("protocol", ["text", "tools", "tags"])
async def test_whatever_protocol_is_asked_for_the_reference_earns_everything_and_nothing_earns_nothing(protocol):
    for name, reward in (("reference", 1.0), ("refuse", None)):
        played = await episode_of(name, as_task(SUM), protocol=protocol)
        assert (played.episode.protocol, played.episode.stop) == ("tools", Stop.AGENT_FINAL)
        if reward is not None:
            assert score(prepare(as_task(SUM)), played.episode).reward == reward


def test_the_agent_sees_the_question_its_tools_and_the_form_of_the_answer_and_nobody_to_ask():
    task = as_task(SUM)
    forms: tuple[ToolForm, ...] = ("native", "hermes", "json", "compact")
    for form in forms:
        system, user = (message["content"] for message in opening(task.brief, "text", task.world.now, form))
        assert user == "How much is 40 plus 2?\n\nPut your final answer in \\boxed{}."
        assert "42" not in system and "ask_user" not in system and "user" not in system
        assert ("run_python" in system, "search" in system) == (form != "native",) * 2
    assert [tool["function"]["name"] for tool in tools_for(task.brief, "tools")] == ["run_python", "search"]
    text = as_task(SUM.model_copy(update={"answer": "text", "tools": ()}))
    assert text.brief.instruction.endswith('"Answer:" and holds nothing but your final answer.')
    assert text.reference[0].say == "Answer: 42"


async def test_without_tools_a_model_is_told_of_none():
    model = Scripted([ChatReply(content="\\boxed{42}")])
    played = await episode_of(model, as_task(SUM.model_copy(update={"tools": ()})))
    assert model.requests[0].tools is None
    assert score(prepare(as_task(SUM.model_copy(update={"tools": ()}))), played.episode).reward == 1.0


async def test_there_is_no_user_to_ask():
    model = Scripted([calling(("ask_user", {"question": "Which?"})), ChatReply(content="\\boxed{42}")])
    played = await episode_of(model, as_task(SUM))
    assert [event.error for event in tools_in(played.episode.events)] == ["unknown_tool"]


def test_a_problem_is_a_task_of_its_own_family_whose_id_says_what_it_is():
    task = as_task(SUM)
    assert (task.kind, task.family, services_of(task)) == ("reasoning", "sums/s", {"python", "search"})
    assert as_task(SUM).id == task.id
    assert as_task(SUM.model_copy(update={"gold": "43"})).id != task.id
    assert as_task(SUM.model_copy(update={"tools": ()})).id != task.id
    assert as_task(SUM, family="other").id == task.id


def test_a_problem_without_an_answer_or_a_question_is_no_task():
    for changes, why in (({"gold": None}, "nobody knows"), ({"gold": " "}, "nobody knows"), ({"question": ""}, "no q")):
        with pytest.raises(InputError, match=f"problem s: .*{why}"):
            as_task(SUM.model_copy(update=changes))
    assert posed(SUM.model_copy(update={"gold": None})).rubric.unchecked == ["answer"]


def test_tasks_of_the_other_kind_are_what_they_were():
    """Their ids hash what they say, and none of them says anything of kinds and services."""
    written = dump(library())
    assert "kind" not in written["brief"]
    assert "services" not in written["world"]


# ---- services


async def test_python_answers_in_plain_text_and_errors_are_results():
    model = Scripted(
        [
            calling(("run_python", {"code": DATA}), ("run_python", {"code": "x = 1"})),
            calling(("run_python", {"code": "1 / 0"}), ("run_python", {"code": "x"}), ("run_python", {})),
            ChatReply(content="\\boxed{42}"),
        ]
    )
    async with open_sandbox("monty") as sandbox:
        played = await episode_of(model, as_task(SUM), Services(python=sandbox))
    first, silent, divided, lost, empty = tools_in(played.episode.events)
    assert (first.ok, first.response) == (True, "42\n'done'")
    assert (silent.ok, silent.response) == (True, "(no output)")
    assert (divided.ok, divided.error) == (False, "raised")
    assert "ZeroDivisionError" in divided.response
    assert "NameError" in lost.response  # every call starts afresh
    assert (empty.error, empty.entry_id) == ("bad_arguments", None)
    said = [message["content"] for message in model.requests[-1].messages if message["role"] == "tool"]
    assert said[0] == "42\n'done'"
    assert score(prepare(as_task(SUM)), played.episode).reward == 1.0


def test_what_python_gives_is_told_in_one_text():
    assert told(PythonResult(stdout="a\n\n", value="7")) == "a\n7"
    assert told(PythonResult(stdout="a\n", error="Traceback\nE: b\n")) == "a\nTraceback\nE: b"
    assert told(PythonResult(stdout="\ud800")) == "?"


async def test_a_search_gives_the_hits_and_one_query_reaches_the_network_once():
    number = count()
    store = MemoryStore()
    turns = [calling(("search", {"query": "Ferries"})), ChatReply(content="\\boxed{42}")]
    async with searching(lambda q: [Hit(f"{q} {next(number)}", "http://e.org", "leaves at ten")], store) as (s, stub):
        played = [await episode_of(Scripted(turns), as_task(SUM), Services(search=s)) for _ in range(3)]
    texts = {tools_in(one.episode.events)[0].response for one in played}
    assert texts == {"1. Ferries 0\n   http://e.org\n   leaves at ten"}
    assert len(stub.seen) == 1
    entries = {tools_in(one.episode.events)[0].alias_of for one in played}
    assert len(entries) == 1 and None not in entries


async def test_what_services_answered_is_taken_as_stored_and_a_changed_record_is_noticed():
    model = Scripted([calling(("run_python", {"code": DATA})), ChatReply(content="\\boxed{42}")])
    async with open_sandbox("monty") as sandbox:
        played = await episode_of(model, as_task(SUM), Services(python=sandbox))
    episode, stage = played.episode, prepare(as_task(SUM))
    assert replay(stage, Episode.model_validate_json(episode.model_dump_json())).digest == episode.digest
    for changes in ({"response": "43"}, {"ok": False, "error": "raised"}, {"entry_id": None}):
        forged = [e.model_copy(update=changes) if isinstance(e, ToolEvent) else e for e in episode.events]
        with pytest.raises(ReplayMismatch):
            replay(stage, episode.model_copy(update={"events": tuple(forged)}))


class Broken:
    """A sandbox that does not start any more."""

    async def run(self, code: str) -> PythonResult:
        raise ToolFailed("no worker")


async def test_what_fails_on_our_side_is_no_text_for_the_agent():
    asks = {"python": ("run_python", {"code": "1"}), "search": ("search", {"query": "q"})}

    async def failing(which: str, tools: Services) -> tuple[Blame, str, int]:
        model = Scripted([calling(asks[which])])
        episode = (await episode_of(model, as_task(SUM), tools)).episode
        assert episode.failure is not None and episode.stop is Stop.FAILED
        return episode.failure.blame, episode.failure.reason, len(model.requests)

    assert await failing("python", Services(python=Broken())) == (Blame.INFRASTRUCTURE, "sandbox", 1)
    assert await failing("python", Services()) == (Blame.INFRASTRUCTURE, "no_python", 1)
    assert await failing("search", Services()) == (Blame.INFRASTRUCTURE, "no_search", 1)
    for status, reason in ((500, "http_500"), (401, "refused")):
        async with searching(lambda _, status=status: Misbehave(status)) as (search, _):
            assert await failing("search", Services(search=search)) == (Blame.INFRASTRUCTURE, reason, 1)


async def test_services_and_simulated_tools_may_stand_in_one_task():
    """The world of the library has nobody to simulate its tools: whoever asks is told, as without services."""
    task = library()
    lost = task.world.model_copy(update={"programs": {}, "grounding": {t.name: "?" for t in task.brief.tools}})
    bare = task.model_copy(update={"world": lost})
    name = task.brief.tools[0]
    model = Scripted(lambda request: calling((name.name, dict.fromkeys(name.function.parameters["required"], "x"))))
    episode = (await episode_of(model, bare, Services())).episode
    assert episode.failure is not None
    assert (episode.failure.blame, episode.failure.reason) == (Blame.TOOLS, "no_simulator")
