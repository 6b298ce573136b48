"""The doubles that know every answer, on data of the benchmarks' form."""

import json
from pathlib import Path
from typing import Any

import pytest

from synthagent.errors import InputError
from synthagent.evaluation.bfcl_oracle import BfclOracle
from synthagent.evaluation.oracle import oracle
from synthagent.evaluation.tau2_oracle import Tau2Oracle

FUNCTIONS = [
    {"name": "cd", "parameters": {"properties": {"folder": {}}}},
    {"name": "sort", "parameters": {"properties": {"file_name": {}, "reverse": {}}}},
]
FILES = (
    "gorilla_file_system", "math_api", "message_api", "posting_api", "ticket_api", "trading_bot", "travel_booking",
    "vehicle_control",
)  # fmt: skip
MORE = "I have updated some more functions you can choose from. What about now?"


@pytest.fixture
def bfcl_data(tmp_path: Path) -> Path:
    for folder in ("possible_answer", "multi_turn_func_doc"):
        (tmp_path / folder).mkdir()
    for name in FILES:
        lines = FUNCTIONS if name == "gorilla_file_system" else []
        (tmp_path / "multi_turn_func_doc" / f"{name}.json").write_text("\n".join(map(json.dumps, lines)))
    turns = [[{"role": "user", "content": "Sort the list"}], []]
    late = {"involved_classes": ["GorillaFileSystem"], "question": turns, "missed_function": {"1": ["sort"]}}
    _write(tmp_path, "multi_turn_miss_func", late, [[], ["cd('a')", "sort('x', reverse=True)"]])
    plain = {"involved_classes": ["GorillaFileSystem"], "question": turns[:1]}
    _write(tmp_path, "multi_turn_base", plain, [["sort(file_name='x')"]])
    return tmp_path


def _write(data: Path, category: str, entry: dict[str, Any], answer: list[list[str]]) -> None:
    (data / f"BFCL_v4_{category}.json").write_text(json.dumps({"id": f"{category}_0", **entry}))
    answers = {"id": f"{category}_0", "ground_truth": answer}
    (data / "possible_answer" / f"BFCL_v4_{category}.json").write_text(json.dumps(answers))


def _tools(*names: str) -> list[dict[str, Any]]:
    return [{"type": "function", "function": {"name": name}} for name in names]


def _user(*texts: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text} for text in texts]


def test_bfcls_oracle_tells_entries_apart_by_what_they_offer(bfcl_data: Path):
    ask = BfclOracle(bfcl_data, ["multi_turn_base", "multi_turn_miss_func"])
    now = ask({"messages": _user("Sort the list"), "tools": _tools("cd", "sort")})
    assert [(call.name, call.arguments) for call in now.tool_calls] == [("sort", '{"file_name":"x"}')]
    assert not ask({"messages": _user("Sort the list"), "tools": _tools("cd")}).tool_calls
    late = ask({"messages": _user("Sort the list", MORE), "tools": _tools("cd", "sort")})
    assert [(call.name, json.loads(call.arguments)) for call in late.tool_calls] == [
        ("cd", {"folder": "a"}),
        ("sort", {"file_name": "x", "reverse": True}),
    ]


def test_bfcls_oracle_ends_a_turn_after_its_results(bfcl_data: Path):
    ask = BfclOracle(bfcl_data, ["multi_turn_base"])
    messages = [*_user("Sort the list"), {"role": "assistant"}, {"role": "tool", "content": "{}"}]
    assert ask({"messages": messages, "tools": _tools("cd", "sort")}).content == "Done."


def test_bfcls_oracle_writes_calls_where_tools_are_text(bfcl_data: Path):
    ask = BfclOracle(bfcl_data, ["multi_turn_miss_func", "multi_turn_base"])
    system = {"role": "system", "content": str([{"name": "cd"}, {"name": "sort"}])}
    assert ask({"messages": [system, *_user("Sort the list")]}).content == "[sort(file_name='x')]"


def test_bfcls_oracle_knows_no_other_conversations(bfcl_data: Path):
    with pytest.raises(LookupError, match="no entry of BFCL begins"):
        BfclOracle(bfcl_data, ["multi_turn_base"])({"messages": _user("Hello"), "tools": _tools("cd", "sort")})


@pytest.fixture
def domains(tmp_path: Path) -> Path:
    def task(id_: str, reason: str, *actions: tuple[str, str]) -> dict[str, Any]:
        told = {"domain": "shop", "reason_for_call": reason, "known_info": None, "task_instructions": "Be\n  brief."}
        done = [{"name": name, "arguments": {}, "requestor": who} for who, name in actions]
        return {
            "id": id_,
            "user_scenario": {"persona": None, "instructions": told},
            "evaluation_criteria": {"actions": done, "communicate_info": ["42"]},
        }

    shop = tmp_path / "shop"
    shop.mkdir()
    tasks = [
        task("a", "Return it.", ("assistant", "look"), ("user", "reboot"), ("assistant", "refund")),
        task("b", "Sell it."),
        task("c", "Not in the split."),
    ]
    (shop / "tasks.json").write_text(json.dumps(tasks))
    (shop / "split_tasks.json").write_text(json.dumps({"base": ["a", "b"]}))
    return tmp_path


PROMPT = (
    "guidelines <scenario> Instructions:\n\tDomain: shop\n\tReason for call:\n\t\tReturn it.\n"
    "\tTask instructions:\n\t\tBe\n\t\t  brief. </scenario>"
)


def converse(ask: Tau2Oracle) -> list[str]:
    """A whole conversation as TAU-2 holds it: each side sees its own calls only."""
    agent: list[dict[str, Any]] = [{"role": "system", "content": "policy"}, {"role": "assistant", "content": "Hi!"}]
    user: list[dict[str, Any]] = [{"role": "system", "content": PROMPT}, {"role": "user", "content": "Hi!"}]
    done: list[str] = []
    side = "user"
    for _ in range(20):
        own, other = (user, agent) if side == "user" else (agent, user)
        reply = ask({"model": f"oracle-{side}", "messages": own})
        own.append({"role": "assistant", "content": reply.content or None, "tool_calls": list(reply.tool_calls)})
        if reply.tool_calls:
            done += [f"{side}:{call.name}" for call in reply.tool_calls]
            own.append({"role": "tool", "content": "ok"})
            continue
        if "###STOP###" in reply.content:
            return done
        other.append({"role": "user", "content": reply.content})
        done += ["told"] if "42" in reply.content else []
        side = "agent" if side == "user" else "user"
    raise AssertionError(f"no end: {done}")


def test_tau2s_oracle_performs_every_action_on_its_side_and_tells_what_must_be_told(domains: Path):
    assert converse(Tau2Oracle(domains, ["shop"])) == ["agent:look", "user:reboot", "agent:refund", "told"]


def test_tau2s_idle_agent_does_nothing_and_the_user_ends(domains: Path):
    assert converse(Tau2Oracle(domains, ["shop"], idle=True)) == []


def test_tau2s_oracle_knows_no_other_users(domains: Path):
    ask = Tau2Oracle(domains, ["shop"])
    with pytest.raises(LookupError, match="no task of TAU-2 has this user"):
        ask({"model": "user", "messages": [{"role": "system", "content": "somebody else"}]})
    with pytest.raises(LookupError, match="nobody has said which case"):
        ask({"model": "agent", "messages": [{"role": "system", "content": "policy"}, *_user("Hello")]})


def test_a_suite_without_a_double_is_told(tmp_path: Path):
    with pytest.raises(InputError, match="there is no double for 'aime24'"), oracle("aime24", where=tmp_path):
        pass
    with pytest.raises(InputError, match="synthagent eval setup tau2"), oracle("tau2_retail", where=tmp_path):
        pass
