"""What is exported is whole, has one shape for all tasks, and says nothing that an agent must not read."""

import ast
import re

import orjson
import pytest
import yaml

from synthagent.export.atif import trajectory
from synthagent.export.packages import nemo_row
from synthagent.rollouts.group import roll
from synthagent.schema.episodes import Limits
from synthagent.schema.messages import AssistantTurn, ToolCall
from synthagent.schema.scores import Unscored
from synthagent.simulation.agent import tools_for
from synthagent.simulation.episode import Cast, facts_user, prepare
from synthagent.storage.task_file import read_tasks, write_tasks
from tests.builders import library
from tests.commands import synthagent
from tests.maps import hybrid

AGENTS = ("scripted:reference", "scripted:done", "scripted:ask-all")


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    path = tmp_path_factory.mktemp("tasks") / "tasks.jsonl"
    assert synthagent("synth", "-o", path, "-n", 6, "--seed", 3).code == 0
    return path


@pytest.fixture(scope="module", params=["text", "tools"])
def run(tasks, tmp_path_factory, request):
    out = tmp_path_factory.mktemp("run") / "run"
    agents = [word for agent in AGENTS for word in ("--agent", agent)]
    assert synthagent("rollout", tasks, *agents, "--protocol", request.param, "-o", out).code == 0
    return out


def exported(source, out, to, *words):
    return synthagent("export", source, out, "--to", to, *words, "--json").json


def lines(path):
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def secrets(task):
    """What only rubric and reference say."""
    return {criterion.text for criterion in (*task.rubric.forbidden, *task.rubric.subgoals)}


# ---- sft


def test_demonstrations_are_whole_conversations_with_one_shape_for_all_tasks(tasks, run, tmp_path):
    figures = exported(run, tmp_path, "sft")
    known = {task.id: task for task in read_tasks(tasks)}
    rows = lines(tmp_path / "sft.jsonl")
    assert figures["written"] == len(rows) == len(known)
    assert figures["left_out"] == {"reward": 2 * len(known)}
    for row in rows:
        task = known[row["task_id"]]
        assert (row["reward"], row["agent"]) == (1.0, "scripted:reference")
        assert orjson.loads(row["tools"]) == tools_for(task.brief, row["protocol"])
        roles = [message["role"] for message in row["messages"]]
        assert roles[:2] == ["system", "user"]
        calls = [call["id"] for message in row["messages"] for call in message.get("tool_calls", ())]
        assert calls == [message["tool_call_id"] for message in row["messages"] if message["role"] == "tool"]
        assert all(isinstance(value, (str, int, float)) for key, value in row.items() if key != "messages")
        assert not any(secret in str(row) for secret in secrets(task))


def test_the_threshold_decides_and_what_has_no_score_is_never_taken_for_a_zero(run, tmp_path):
    assert exported(run, tmp_path, "sft", "--threshold", "0")["left_out"] == {}


# ---- atif


def complaints(document):
    """What ATIF's specification would have to say against a document."""
    found = []
    for place, step in enumerate(document["steps"]):
        calls = {call["tool_call_id"] for call in step.get("tool_calls", ())}
        results = step.get("observation", {}).get("results", ())
        if step["step_id"] != place + 1:
            found.append(f"step_id {step['step_id']}")
        if step["source"] != "agent" and step.keys() & {"tool_calls", "metrics"}:
            found.append(f"step {place}: only agents call")
        if {result["source_call_id"] for result in results} - calls:
            found.append(f"step {place}: a result of no call")
        found += [f"{call}" for call in step.get("tool_calls", ()) if not isinstance(call["arguments"], dict)]
    return found


def test_every_episode_is_a_trajectory(tasks, run, tmp_path):
    assert exported(run, tmp_path, "atif") == {
        "to": "atif", "out": str(tmp_path), "written": 3 * len(list(read_tasks(tasks))), "left_out": {},
    }  # fmt: skip
    episodes = {(one["task_id"], one["agent"]): one for one in lines(run / "episodes.jsonl")}
    for path in sorted((tmp_path / "trajectories").iterdir()):
        document = orjson.loads(path.read_bytes())
        assert complaints(document) == []
        episode = episodes[document["extra"]["task_id"], document["agent"]["model_name"]]
        told = [
            result["content"] for step in document["steps"] for result in step.get("observation", {}).get("results", ())
        ]
        assert told == [
            event.get("response", event.get("text"))
            for event in episode["events"]
            if event["kind"] == "tool" or (event["kind"] == "user" and episode.get("protocol") == "tools")
        ]
        assert document["final_metrics"]["extra"]["reward"] is not None


class Clumsy:
    """Makes every mistake there is."""

    name = "clumsy"

    def __init__(self):
        self._turns = [
            AssistantTurn(tool_calls=(ToolCall(id="a", name="find_member", arguments="{"),)),
            AssistantTurn(tool_calls=(ToolCall(id="b", name="ask_user", arguments="{}"),)),
            AssistantTurn(malformed=("a <tool_call> is not closed",)),
            AssistantTurn(
                tool_calls=(
                    ToolCall(id="c", name="ask_user", arguments='{"question": "Done, all is done?"}'),
                    ToolCall(id="d", name="find_member", arguments='{"name": "Ada"}'),
                )
            ),
        ]

    async def act(self, view):
        return self._turns.pop(0) if self._turns else AssistantTurn(content="Goodbye.")


async def test_mistakes_are_told_where_they_were_made():
    stage = prepare(library())
    outcome = await roll(stage, lambda *_: Cast(Clumsy(), facts_user(stage), "tools"), Limits(), 0, 0)
    document = trajectory(stage.task, outcome.episode, outcome.score)
    assert complaints(document) == []
    first, second, third, told, fourth = document["steps"][2:7]
    assert first["tool_calls"][0]["extra"] == {"raw": "{"}
    assert first["observation"]["results"][0]["extra"] == {"ok": False}
    assert second["observation"]["results"][0]["content"].startswith("error: question")
    assert (third["source"], told["source"]) == ("agent", "user")
    assert told["message"] == "error: a <tool_call> is not closed"
    assert [result["source_call_id"] for result in fourth["observation"]["results"]][:1] == ["c"]


def test_what_has_no_score_has_no_reward():
    task = library()
    score = Unscored(task_id=task.id, sample=0, rubric_id="r", blame="judge", reason="silent")
    from synthagent.schema.episodes import Episode, Stop

    document = trajectory(task, Episode(task_id=task.id, agent="a", stop=Stop.FAILED), score)
    assert document["final_metrics"]["extra"] == {"reward": None, "blame": "judge", "reason": "silent"}


# ---- the hub


def test_a_data_set_gives_the_tasks_back_and_has_no_columns_of_different_shape(tasks, tmp_path):
    assert exported(tasks, tmp_path / "out", "hf", "--name", "my_tasks")["written"] == len(list(read_tasks(tasks)))
    rows = lines(tmp_path / "out" / "data" / "train.jsonl")
    assert {type(value) for row in rows for value in row.values()} == {str}
    (tmp_path / "back.jsonl").write_text("".join(row["task"] + "\n" for row in rows))
    assert list(read_tasks(tmp_path / "back.jsonl")) == list(read_tasks(tasks))
    card = (tmp_path / "out" / "README.md").read_text()
    head = yaml.safe_load(card.split("---\n")[1])
    assert head["pretty_name"] == "my_tasks"
    assert head["configs"][0]["data_files"] == [{"split": "train", "path": "data/train.jsonl"}]
    assert {f"`{name}`" for name in rows[0]} <= set(re.findall(r"`\w+`", card))


def test_splits_stay_apart(tasks, tmp_path):
    assert synthagent("split", tasks, "-o", tmp_path / "parts", "--shares", "0.5/0.25/0.25").code == 0
    figures = exported(tmp_path / "parts", tmp_path / "out", "hf")
    names = {path.stem for path in (tmp_path / "parts").glob("*.jsonl")}
    assert {path.stem for path in (tmp_path / "out" / "data").iterdir()} == names
    assert figures["written"] == len(list(read_tasks(tasks)))


# ---- trainers


def test_rows_for_verl_hold_ids_and_no_tools(tasks, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    exported(tasks, tmp_path, "verl")
    rows = parquet.read_table(tmp_path / "train.parquet").to_pylist()
    assert [row["extra_info"]["task_id"] for row in rows] == [task.id for task in read_tasks(tasks)]
    assert all("tools" not in row for row in rows)
    assert yaml.safe_load((tmp_path / "agents.yaml").read_text())[0]["name"] == rows[0]["agent_name"]


def test_the_package_for_verifiers_is_named_as_its_taskset_and_exports_one_of_each(tasks, tmp_path):
    exported(tasks, tmp_path, "verifiers", "--name", "my_tasks")
    module = ast.parse((tmp_path / "my_tasks" / "__init__.py").read_text())
    assert {node.name for node in module.body if isinstance(node, ast.ClassDef)} == {"Tasks", "Harness"}
    assert list(read_tasks(tmp_path / "my_tasks" / "tasks.jsonl")) == list(read_tasks(tasks))
    assert 'packages = ["my_tasks"]' in (tmp_path / "pyproject.toml").read_text()


def test_the_server_for_nemo_gym_has_rows_with_each_tasks_own_tools(tasks, tmp_path):
    exported(tasks, tmp_path, "nemo-gym", "--name", "my_tasks")
    server = tmp_path / "resources_servers" / "my_tasks"
    config = yaml.safe_load((server / "configs" / "my_tasks.yaml").read_text())
    agent = config["my_tasks_agent"]["responses_api_agents"]["gymnasium_agent"]
    assert agent["resources_server"]["name"] == "my_tasks"
    assert (tmp_path / agent["datasets"][0]["jsonl_fpath"]).exists()
    ast.parse((server / "app.py").read_text())
    for row, task in zip(lines(server / "data" / "train.jsonl"), read_tasks(tasks), strict=True):
        assert row == orjson.loads(orjson.dumps(nemo_row("my_tasks", task)))
        names = [tool["name"] for tool in row["responses_create_params"]["tools"]]
        assert names == [tool["function"]["name"] for tool in tools_for(task.brief, "tools")]
        assert not any(secret in str(row) for secret in secrets(task))


@pytest.mark.parametrize("to", ["verifiers", "nemo-gym"])
def test_tasks_that_need_a_model_for_their_tools_are_refused_where_there_is_none(tmp_path, to):
    write_tasks(tmp_path / "hybrid.jsonl", [hybrid("list_loans")])
    done = synthagent("export", tmp_path / "hybrid.jsonl", tmp_path / "out", "--to", to)
    assert (done.code, "no program for list_loans" in done.err) == (2, True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--to", "csv"], "verifiers, nemo-gym, verl, sft, atif, hf"),
        (["--to", "sft"], "not a run folder"),
        (["--to", "hf", "--name", "../up"], "no name of a module"),
    ],
)
def test_what_cannot_be_exported_is_told(tasks, tmp_path, words, told):
    done = synthagent("export", tasks, tmp_path / "out", *words)
    assert (done.code, told in done.err) == (2, True), done.err
    assert not list(tmp_path.rglob("*.jsonl"))
