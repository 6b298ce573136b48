"""A model in this process plays real tasks, and what it sampled is what a trainer gets."""

from pathlib import Path

import anyio
import pytest

from synthagent.errors import InputError
from synthagent.llm.model import ChatRequest, ContextOverflow
from synthagent.schema.episodes import AgentEvent, Limits, Stop
from synthagent.simulation.episode import Cast, facts_user, play, prepare
from synthagent.storage.task_file import write_tasks
from synthagent.synthesis.personas import shipped as personas
from synthagent.synthesis.procedural.domain import shipped
from synthagent.synthesis.procedural.teacher import families
from synthagent.training.loading import HFChat, load
from synthagent.training.policy import PolicyAgent
from tests.commands import synthagent
from tests.tiny import save_tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def loaded(folder):
    return load(folder, slots=4, length=6000)


@pytest.fixture(scope="module")
def stage():
    return prepare(next(families(shipped(), personas(), 3)).tasks[0])


@pytest.mark.parametrize("form", ["native", "hermes", "json"])
def test_an_episodes_tokens_are_those_that_were_sampled(loaded, stage, form):
    policy = PolicyAgent(loaded, form, max_tokens=12, temperature=1.0, seed=4)
    played = anyio.run(play, stage, Cast(policy, facts_user(stage), "text", form), Limits(turns=4))
    tokens = policy.tokens
    turns = [event for event in played.episode.events if isinstance(event, AgentEvent)]
    assert sum(tokens.mask) == sum(turn.usage.completion for turn in turns) == played.episode.usage.completion
    written = loaded.tokenizer.decode([i for i, mask in zip(tokens.ids, tokens.mask, strict=True) if mask])
    assert written.replace("<|im_end|>", "").strip()
    assert all(logprob <= 0 for logprob in tokens.logprobs)
    assert loaded.tokenizer.decode(tokens.ids[: tokens.prompt]).endswith("<|im_start|>assistant\n")
    assert stage.task.brief.instruction in loaded.tokenizer.decode(tokens.ids[: tokens.prompt])


def test_the_same_seed_plays_the_same_episode(loaded, stage):
    def once(seed):
        policy = PolicyAgent(loaded, "hermes", max_tokens=10, temperature=1.0, seed=seed)
        anyio.run(play, stage, Cast(policy, facts_user(stage), "text", "hermes"), Limits(turns=3))
        return policy.tokens.ids

    assert once(1) == once(1)
    assert once(1) != once(2)


def test_as_a_chat_model_it_answers_what_it_is_asked(loaded):
    chat = HFChat(loaded)

    async def asked():
        request = ChatRequest([{"role": "user", "content": "Hello"}], temperature=0.0, max_tokens=7, seed=1)
        return [await chat.complete(request) for _ in range(2)]

    one, two = anyio.run(asked)
    assert (one.content, one.usage.completion) == (two.content, two.usage.completion)
    assert one.finish_reason in ("stop", "length")
    assert 1 <= one.usage.completion <= 7


def test_a_conversation_beyond_the_window_is_the_agents_own_end(folder, stage):
    small = load(folder, slots=1, length=300)
    policy = PolicyAgent(small, "native", max_tokens=12, temperature=1.0, seed=4)
    played = anyio.run(play, stage, Cast(policy, facts_user(stage)), Limits())
    assert (played.episode.stop, played.episode.failure) == (Stop.TOKEN_LIMIT, None)
    with pytest.raises(ContextOverflow, match="the window holds 300"):
        anyio.run(HFChat(small).complete, ChatRequest([{"role": "user", "content": "x" * 400}]))


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(InputError, match="no model that transformers can load"):
        load(tmp_path)


def test_from_the_command_line_it_plays_like_any_other_agent(folder, stage, tmp_path):
    tasks = tmp_path / "tasks.jsonl"
    write_tasks(tasks, [stage.task])
    (tmp_path / "settings.toml").write_text("max_tokens = 8\n[limits]\nturns = 2\n")
    words = ("--agent", f"hf:{folder}", "-n", 2, "--config", tmp_path / "settings.toml", "--json")
    done = synthagent("rollout", tasks, *words, "--out", tmp_path / "run")
    assert done.code == 0, done.err
    assert done.json[0]["agent"] == f"hf:{folder.name}"
    assert (done.json[0]["episodes"], done.json[0]["unscored"]) == (2, 0)
    assert done.json[0]["tokens"] > 0
    nowhere = synthagent("rollout", tasks, "--agent", "hf:nowhere", "--out", tmp_path / "other")
    assert (nowhere.code, "there is no folder 'nowhere'" in nowhere.err) == (2, True)
