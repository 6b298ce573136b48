"""verifiers runs the exported package with its own environment, harness and endpoint."""

import asyncio
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import verifiers.v1 as vf
from verifiers.v1.utils.loaders import load_environment

from synthagent.serve.sessions import PROTOCOL
from synthagent.simulation.agent import View, assistant_message, tools_for
from synthagent.storage.task_file import read_tasks
from tests.commands import synthagent
from tests.wires.common import agent_for, agree, scored, task_file

NAME = "exported_tasks"


class Scripted:
    """A model behind an endpoint that plays each conversation as the task's agent would, by what stands in it."""

    def __init__(self, tasks):
        self.tasks = {task.brief.instruction: (number, task) for number, task in enumerate(tasks)}
        self.asked, self.fails = [], False

    def answer(self, body):
        self.asked.append(body)
        history = body["messages"]
        number, task = self.tasks[next(m["content"] for m in history if m["role"] == "user")]
        assert body["tools"] == tools_for(task.brief, PROTOCOL)
        agent, told = agent_for(number, task), []
        for message in history:  # agents count their own turns: what they said before, they say again
            if message["role"] == "assistant":
                asyncio.run(agent.act(View(task.brief, PROTOCOL, told)))
            told.append(message)
        turn = asyncio.run(agent.act(View(task.brief, PROTOCOL, told)))
        return assistant_message(turn.content, turn.tool_calls)


@pytest.fixture
def file(tmp_path):
    return task_file(tmp_path)


@pytest.fixture
def model(file):
    model = Scripted(read_tasks(file))

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if model.fails:
                self.send_error(400, "no more")
                return
            message = model.answer(body)
            reason = "tool_calls" if message.get("tool_calls") else "stop"
            usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            choice = {"index": 0, "message": message, "finish_reason": reason}
            out = {
                "id": "x",
                "object": "chat.completion",
                "created": 0,
                "model": "m",
                "choices": [choice],
                "usage": usage,
            }
            data = json.dumps(out).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    model.url = f"http://127.0.0.1:{server.server_port}/v1"
    yield model
    server.shutdown()
    server.server_close()


@pytest.fixture
def package(file, tmp_path, monkeypatch):
    out = tmp_path / "package"
    done = synthagent("export", file, out, "--to", "verifiers", "--name", NAME)
    assert done.code == 0, done.err
    monkeypatch.syspath_prepend(str(out))
    yield out
    sys.modules.pop(NAME, None)


async def traces_of(model, count=None, **harness):
    agent = {"runtime": {"type": "subprocess"}, "harness": {"id": NAME, **harness}}
    config = vf.SingleAgentEnvConfig.model_validate({"taskset": {"id": NAME}, "agent": agent})
    env = load_environment(config)
    client = vf.EvalClientConfig(base_url=model.url, api_key_var="NOT_SET")
    context = vf.ModelContext(model="m", client=client, sampling=vf.SamplingConfig(temperature=1.0))
    async with env.serving():
        slots = [slot for task in env.taskset for slot in env.slots(task, 1)][:count]
        episodes = await asyncio.gather(*(env.run_slot(slot, context, asyncio.Semaphore(4)) for slot in slots))
    return [episode.traces[0] for episode in episodes]


async def test_verifiers(file, model, package):
    traces = await traces_of(model)
    found = [scored(trace.info["synthagent"]) for trace in traces]
    assert [trace.reward for trace in traces] == [score.reward for score in found]
    assert all(trace.metrics["subgoals"] == score.n for trace, score in zip(traces, found, strict=True))
    await agree("verifiers", "verifiers", found)


async def test_a_failure_is_no_reward(model, package):
    model.fails = True
    [trace] = await traces_of(model, 1)
    assert trace.last_error is not None
    assert not trace.reward


async def test_limits_are_the_harness_s_own(model, package):
    [trace] = await traces_of(model, 1, turns=1)
    assert trace.info["synthagent"]["stop"] == "turn_limit"
