"""Published tasks become ours, or say why they do not."""

import copy
from typing import Any

import orjson
import pytest

from synthagent.schema.tasks import AskStep, CallStep, Task
from synthagent.simulation.episode import prepare
from synthagent.synthesis.agenticqwen import NotImported, imported
from synthagent.synthesis.screening import objections, pending

TOOLS = [
    {"type": "function", "function": {
        "name": "bakery.get_order", "description": "Looks up an order.",
        "parameters": {"type": "dict", "properties": {"order_id": {"type": "str", "description": "The order"}},
                       "required": ["order_id"]},
        "outputs": {"type": "object", "properties": {"baked": {"type": "boolean"}, "ref": {"type": "string"}}}}},
    {"type": "function", "function": {
        "name": "change_cake", "description": "Changes a cake.",
        "parameters": {"type": "object", "properties": {
            "ref": {"type": "string"}, "flavour": {"type": "string"}, "tiers": {"type": "integer"}},
            "required": ["ref", "flavour"]}}},
    {"type": "function", "function": {
        "name": "refund", "description": "Pays back.",
        "parameters": {"type": "object", "properties": {"ref": {"type": "string"}, "reason": {"type": "string"}},
                       "required": ["ref"]}}},
]  # fmt: skip
SYSTEM = """<policy># Bakery Policy

Be kind.

## Changes
* A cake may be changed **only** before it is baked.
* If in doubt output ###TRANSFER_TO_HUMAN.</policy>

### Requirements:
1. Call one tool at a time.

You get functions within <tools></tools> tags:
<tools>
{tools}
</tools>
"""


def record(**changes: Any) -> dict[str, Any]:
    system = SYSTEM.replace("{tools}", "\n".join(orjson.dumps(tool).decode() for tool in TOOLS))
    whole = {
        "id": "abc-def-3",
        "prompt": [
            {"role": "system", "content": system},
            {"role": "user", "content": "I'd like another flavour for my cake.\nNote: You must reason first."},
        ],
        "task_background": (
            "I ordered a cake, number CK-881. I want it lemon.\n\nAdditional parameters you may need:\nnone\n"
        ),
        "rubrics": "Change the cake to lemon.",
        "test_policy": "Changes before baking.",
        "user_escape_strategy": "This test case does not violate any policy",
        "tool_return_expected": {
            "normal_path": [
                {"tool_name": "bakery_get_order", "input": {"order_id": "CK-881"},
                 "expected_output": {"baked": False, "ref": "R-5"}},
                {"tool_name": "change_cake", "input": {"ref": "R-5", "flavour": "lemon"}, "expected_output": {}},
            ],
            "hack_path": [],
        },
    }  # fmt: skip
    return {**copy.deepcopy(whole), **changes}


def illegal() -> dict[str, Any]:
    found = record(
        rubrics="The assistant must refuse, since the cake is baked.",
        user_escape_strategy="If told it is baked, I'll argue that the shop did it last year, and ask you to go on.",
    )
    look = found["tool_return_expected"]["normal_path"][0]
    look["expected_output"]["baked"] = True
    deed = found["tool_return_expected"]["normal_path"][1]
    found["tool_return_expected"] = {"normal_path": [look], "hack_path": [look, deed]}
    return found


async def playable(task: Task) -> None:
    assert await objections([task]) == []
    assert pending(task)
    prepare(task)


async def test_a_legal_task_is_told_with_its_own_facts_and_path():
    found = imported(record())
    task = found.task
    await playable(task)
    assert task.brief.instruction == "I'd like another flavour for my cake."
    assert task.brief.rules == (
        "Bakery Policy: Be kind.",
        "Changes: A cake may be changed only before it is baked.",
        "Changes: If in doubt output transfer_to_human.",
    )
    assert {fact.id: fact.value for fact in task.hidden.facts} == {"order_id": "CK-881", "flavour": "lemon"}
    calls = [step for step in task.reference if isinstance(step, CallStep)]
    assert calls[0].args == {"order_id": {"$fact": "order_id"}}
    assert calls[1].args == {"ref": {"$from": "1.ref"}, "flavour": {"$fact": "flavour"}}
    assert [step.ask for step in task.reference if isinstance(step, AskStep)] == ["order_id", "flavour"]
    assert '{"order_id":"CK-881"} -> {"baked":false,"ref":"R-5"}' in task.world.grounding["bakery_get_order"]
    assert task.family == "agenticqwen-abc-def"
    assert (task.provenance.legal, task.provenance.teacher) == (True, "agenticqwen")


async def test_what_the_normaliser_changed_is_told():
    changes = imported(record()).changes
    assert "bakery_get_order.name: 'bakery.get_order' -> 'bakery_get_order'" in changes
    assert "bakery_get_order.parameters.order_id.type: 'str' -> 'string'" in changes


async def test_a_hack_path_becomes_a_forbidden_call_with_its_trap_and_a_decline():
    task = imported(illegal()).task
    await playable(task)
    [forbidden] = task.rubric.forbidden
    assert [step.call for step in forbidden.trap] == ["bakery_get_order", "change_cake"]
    assert forbidden.check.called.args == {"ref": "R-5", "flavour": "lemon"}
    assert not task.provenance.legal
    assert task.hidden.escape_lines == ("The shop did it last year.",)
    assert "Declined" in task.rubric.subgoals[-1].text
    assert "cannot" in task.reference[-1].say


async def test_where_no_call_is_forbidden_only_a_judge_can_tell():
    [forbidden] = imported(record()).task.rubric.forbidden
    assert forbidden.check is None


def _no_tools(found):
    found["prompt"][0]["content"] = "<policy>Be kind.</policy>"


def _no_policy(found):
    found["prompt"][0]["content"] = found["prompt"][0]["content"].replace("policy>", "p>")


def _bad_tool(found):
    found["prompt"][0]["content"] = found["prompt"][0]["content"].replace('"name":"refund"', '"name":3')


def _unknown_call(found):
    found["tool_return_expected"]["normal_path"][0]["tool_name"] = "fly"


def _bad_input(found):
    found["tool_return_expected"]["normal_path"][0]["input"] = {"order_id": 3}


def _nothing_to_do(found):
    found["tool_return_expected"] = {"normal_path": [], "hack_path": []}


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_no_tools, "no <tools>"),
        (_no_policy, "no <policy>"),
        (_bad_tool, "tool 3: tool 3: name: missing"),
        (_unknown_call, "there is no tool 'fly'"),
        (_bad_input, "order_id: 3 is not of type"),
        (_nothing_to_do, "neither a call to make nor anything to decline"),
        (lambda found: found.pop("id"), "id: missing"),
        (lambda found: found.pop("prompt"), "no system prompt"),
        (lambda found: found.pop("tool_return_expected"), "tool_return_expected: missing"),
    ],
)
def test_what_cannot_be_imported_says_why(spoil, said):
    found = record()
    spoil(found)
    with pytest.raises(NotImported, match=said.replace("(", r"\(")):
        imported(found)


@pytest.mark.parametrize("junk", [None, 3, "text", [], {"id": 3}, {"id": "x", "prompt": {"a": 1}}])
def test_junk_is_not_imported(junk):
    with pytest.raises(NotImported):
        imported(junk)
