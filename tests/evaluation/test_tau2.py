"""Reading what TAU-2 leaves: who broke a simulation decides whether it has a score."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from synthagent.errors import InputError
from synthagent.evaluation.harness_setup import DRIVERS
from synthagent.evaluation.items import Endpoint, HarnessOrder
from synthagent.evaluation.tau2 import Tau2, item, outcomes, reason, trial_seeds

GOOD = {"task": "1", "trial": 0, "reward": 1.0, "termination": "user_stop"}
GARBLED = {"task": "2", "trial": 0, "error": "JSONDecodeError: ...", "cause": "reply", "side": "agent"}
TOO_LONG = {"task": "3", "trial": 0, "error": "context_length_exceeded", "cause": "overflow", "side": "agent"}
LOST = {"task": "4", "trial": 0, "error": "no answer", "cause": "endpoint", "side": "agent"}
USERS = {"task": "5", "trial": 0, "error": "ValueError: empty", "cause": "reply", "side": "user"}
OURS = {"task": "6", "trial": 0, "error": "KeyError: 'x'", "cause": "reply", "side": "harness"}
ALL = [GOOD, GARBLED, TOO_LONG, LOST, USERS, OURS]


def test_what_the_agent_broke_is_a_zero_and_what_others_broke_has_no_score():
    found = outcomes(ALL)
    assert {task for task, _ in found} == {"1", "2", "3"}
    items = [item("airline", line) for line in found.values()]
    assert [(one.id, one.score, one.overflow) for one in items] == [
        ("airline:1", 1.0, False),
        ("airline:2", 0.0, False),
        ("airline:3", 0.0, True),
    ]


def test_a_users_prompt_that_does_not_fit_is_not_the_agents_failure():
    assert outcomes([TOO_LONG | {"side": "user"}]) == {}


def test_only_what_was_asked_for_is_taken():
    assert list(outcomes([GOOD, GOOD | {"trial": 1}], [("1", 1)])) == [("1", 1)]


STAND_INS = {
    "loguru.py": "class logger:\n    add = remove = staticmethod(lambda *_, **__: None)",
    "openai.py": "class OpenAIError(Exception): pass",
    "tau2/__init__.py": "",
    "tau2/orchestrator/__init__.py": "",
    "tau2/orchestrator/orchestrator.py": """
import json
from enum import Enum
from openai import OpenAIError

class Role(Enum):
    AGENT, USER, ENV = "agent", "user", "env"

class Orchestrator:
    from_role, to_role = Role.USER, Role.AGENT

    def step(self, what):
        if what == "garbled":
            json.loads("{")
        raise {"memory": MemoryError(), "lost": OpenAIError("gone"), "ours": KeyError("x")}[what]
""",
    "tau2/run.py": """
from types import SimpleNamespace
from tau2.orchestrator.orchestrator import Orchestrator

def get_tasks(domain, task_split_name):
    return [SimpleNamespace(id=name) for name in ("garbled", "memory", "lost", "ours")]

def run_task(task, **_):
    Orchestrator().step(task.id)
""",
}
"""As much of TAU-2 and what it imports as its driver touches."""


def test_what_is_no_reply_is_not_the_agents_failure_though_it_was_the_agents_turn(tmp_path: Path):
    for name, text in STAND_INS.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    jobs = [{"task": task, "trial": 0, "seed": 1} for task in ("garbled", "memory", "lost", "ours")]
    order = {"base": "http://nowhere", "domain": "airline", "temperature": 0.0, "threads": 1, "jobs": jobs}
    (tmp_path / "order.json").write_text(json.dumps(order))
    command = [sys.executable, "-B", str(DRIVERS / "tau2_driver.py"), str(tmp_path / "order.json")]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(tmp_path)})
    found = [json.loads(line) for line in (tmp_path / "simulations.jsonl").read_text().splitlines()]
    assert [(line["task"], line["side"], line["cause"]) for line in found] == [
        ("garbled", "agent", "reply"),
        ("memory", "agent", "other"),
        ("lost", "agent", "endpoint"),
        ("ours", "agent", "other"),
    ]
    assert list(outcomes(found)) == [("garbled", 0)]


def test_the_reason_says_who_broke_how_many(tmp_path: Path):
    told = reason([("4", 0), ("5", 0), ("9", 0)], ALL, 6, 0, tmp_path / "log")
    assert told == "3 of 6 simulations have no score (1 agent: endpoint, 1 user: reply); the first: no answer"
    (tmp_path / "log").write_text("Traceback\nno memory\n")
    assert reason([("9", 0)], [GOOD], 6, 1, tmp_path / "log").endswith("exit code 1: Traceback no memory")


def test_personas_of_one_problem_are_a_family():
    ids = ("[mms_issue]x[PERSONA:None]", "[mms_issue]x[PERSONA:Hard]")
    families = {item("telecom", {"task": id_, "trial": 0, "reward": 1.0}).family for id_ in ids}
    assert families == {"telecom:[mms_issue]x"}


def test_more_trials_keep_the_seeds_of_the_first():
    assert trial_seeds(300, 4)[:2] == trial_seeds(300, 2)
    assert len(set(trial_seeds(300, 4))) == 4


def test_it_needs_a_user_and_the_harness(tmp_path: Path):
    agent = Endpoint("m", "http://nowhere/v1")
    with pytest.raises(InputError, match=r"plays the user \(--user\)"):
        Tau2(where=tmp_path).run(HarnessOrder(tmp_path / "out", agent))
    with pytest.raises(InputError, match="synthagent eval setup tau2"):
        Tau2(where=tmp_path).run(HarnessOrder(tmp_path / "out", agent, agent))
    assert not (tmp_path / "out").exists()
