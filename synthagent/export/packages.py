"""What a trainer's own process loads: small packages around a task file, the rest of which is in `synthagent.serve`."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson
import yaml

from synthagent import __version__
from synthagent.errors import InputError
from synthagent.schema.episodes import Limits
from synthagent.schema.tasks import Task
from synthagent.simulation.agent import opening, tools_for

TASKS = "tasks.jsonl"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,60}")


def checked_name(name: str) -> str:
    """A name for a package. Raises `InputError` for one that Python or a trainer would not take."""
    if not _NAME.fullmatch(name):
        raise InputError(f"--name: {name!r} is no name of a module", way_out="use small letters, digits and _")
    return name


def refuse_unanswered(tasks: Iterable[Task]) -> None:
    """Raises `InputError` for a task with tools that a model or a service answers: a trainer's process has neither."""
    for task in tasks:
        names = ", ".join([*task.world.grounding, *task.world.services])
        if names:
            raise InputError(
                f"task {task.id}: no program for {names}",
                way_out="use `synthagent serve http` or `serve openenv` with --tools, --search or --python",
            )


def verifiers_package(name: str) -> Mapping[str, str]:
    """File -> text of an installable taskset and harness of verifiers 0.4. The module is named as the taskset."""
    return {
        "pyproject.toml": _PYPROJECT.format(name=name.replace("_", "-"), module=name, version=__version__),
        "README.md": _VERIFIERS_README.format(name=name),
        f"{name}/__init__.py": _VERIFIERS_MODULE.format(tasks=TASKS),
    }


def nemo_gym_package(name: str) -> Mapping[str, str]:
    """File -> text of a resources server of NeMo Gym 0.7, to be put into its `resources_servers`."""
    folder = f"resources_servers/{name}"
    return {
        f"{folder}/__init__.py": "",
        f"{folder}/app.py": _NEMO_APP.format(tasks=TASKS),
        f"{folder}/requirements.txt": f"-e nemo-gym[dev] @ ../../\nsynthagent=={__version__}\n",
        f"{folder}/README.md": _NEMO_README.format(name=name),
        f"{folder}/configs/{name}.yaml": str(yaml.safe_dump(_nemo_config(name), sort_keys=False)),
    }


def write_nemo_rows(name: str, tasks: Iterable[Task], write: Callable[[bytes], None]) -> int:
    """Writes the rows that NeMo Gym samples from, each with the task's own tools. Returns how many."""
    count = 0
    for task in tasks:
        write(orjson.dumps(nemo_row(name, task)) + b"\n")
        count += 1
    return count


def nemo_row(name: str, task: Task) -> dict[str, Any]:
    """A row: the opening and the tools in the form of the Responses API, and the task's id."""
    tools = [
        # Not strict: what is wrong with a call is the world's to say.
        {"type": "function", "strict": False, **tool["function"]}
        for tool in tools_for(task.brief, "tools")
    ]
    return {
        "responses_create_params": {
            "input": opening(task.brief, "tools", task.world.now),
            "tools": tools,
            "parallel_tool_calls": False,
        },
        "task_id": task.id,
        "agent_ref": {"type": "responses_api_agents", "name": f"{name}_agent"},
    }


def _nemo_config(name: str) -> dict[str, Any]:
    rows = {"name": "train", "type": "train", "jsonl_fpath": f"resources_servers/{name}/data/train.jsonl"}
    server = {"allowed_agents": ["gymnasium_agent"], "entrypoint": "app.py", "domain": "agent", "verified": False,
              "description": "Tool-use tasks with mock worlds, simulated users and rubrics"}  # fmt: skip
    agent = {
        "entrypoint": "app.py",
        "resources_server": {"type": "resources_servers", "name": name},
        "model_server": {"type": "responses_api_models", "name": "policy_model"},
        "max_steps": Limits().turns,
        "datasets": [{**rows, "license": "TBD"}],
    }
    legacy = {"entrypoint": "app.py", "agent_server": {"type": "responses_api_agents", "name": f"{name}_agent"}}
    return {
        name: {"resources_servers": {name: server}},
        f"{name}_agent": {"responses_api_agents": {"gymnasium_agent": agent}},
        f"{name}_environment_server": {"environment_servers": {"legacy_agent": legacy}},
    }


_PYPROJECT = """[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "0.1.0"
description = "Tool-use tasks with mock worlds, simulated users and rubrics."
requires-python = ">=3.11"
dependencies = ["synthagent=={version}", "verifiers>=0.4,<0.5"]

[tool.hatch.build.targets.wheel]
packages = ["{module}"]
"""

_VERIFIERS_MODULE = '''"""A taskset and its harness, written by `synthagent export --to verifiers`."""

from pathlib import Path

from synthagent.serve.verifiers_tasks import EpisodeHarness, EpisodeTaskset


class Tasks(EpisodeTaskset):
    """The tasks of the file beside this module."""

    FILE = Path(__file__).with_name("{tasks}")


class Harness(EpisodeHarness):
    """Plays them."""


__all__ = ["Harness", "Tasks"]
'''

_VERIFIERS_README = """# {name}

A taskset and harness of verifiers 0.4, written by `synthagent export`. Install it beside verifiers (`pip install .`),
and name it as the taskset; its harness comes with it and needs no container:

```python
import verifiers.v1 as vf

config = vf.SingleAgentEnvConfig.model_validate(
    {{"taskset": {{"id": "{name}"}}, "agent": {{"runtime": {{"type": "subprocess"}}}}}}
)
```

The reward is SynthAgent's. An episode without a score raises, and is never a zero.
"""

_NEMO_APP = '''"""A resources server, written by `synthagent export --to nemo-gym`."""

from pathlib import Path

from synthagent.serve.nemo_gym_server import EpisodeServer


class Server(EpisodeServer):
    """Serves the tasks of the file in `data`."""

    FILE = Path(__file__).parent / "data" / "{tasks}"


if __name__ == "__main__":
    Server.run_webserver()
'''

_NEMO_README = """# {name}

A resources server of NeMo Gym 0.7 for its `gymnasium_agent`, written by `synthagent export`. Copy this folder into NeMo
Gym's `resources_servers`. `data/train.jsonl` has a row a task, with the task's own tools; `data/tasks.jsonl` the tasks
themselves.

The reward is SynthAgent's. An episode without a score is answered with an error, and is never a zero.
"""
