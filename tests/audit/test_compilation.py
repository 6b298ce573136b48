"""Simulated tools made executable: what is proved is taken, what is not resists with its reason."""

from collections.abc import Sequence
from typing import Any

import orjson

from synthagent.audit.compilation import FEWEST, Compiled, compiled_task, split
from synthagent.llm.scripted import Scripted
from synthagent.llm.structured import Ladder, Structured
from synthagent.schema.tasks import Task
from synthagent.simulation.episode import prepare
from synthagent.simulation.map_store import Entry, MemoryStore
from synthagent.simulation.response_map import ResponseMap, Simulation
from synthagent.simulation.simulated import SimulatedCall
from tests.builders import library, text_of
from tests.maps import answers, hybrid

TRUTH = prepare(library()).blueprint
GOOD = "SELECT loan_id, title, due, reserved FROM loans WHERE member_id = :member_id ORDER BY loan_id"
MEMBER = {"do": "require", "sql": "SELECT 1 FROM members WHERE member_id = :member_id", "otherwise": "no such member"}


class Truth:
    """Answers as the program did that was taken away."""

    name, prompt = "truth", ""

    async def simulate(self, call: SimulatedCall, known: Sequence[Entry], draw: int = 0) -> Simulation:
        with TRUTH.open() as world:
            for deed in call.deeds:
                world.call(deed.tool, text_of(dict(deed.arguments)))
            result = world.call(call.tool.tool.name, call.canonical)
        return Simulation(None, result.ok, result.response)


async def observed(task: Task, calls: Sequence[tuple[str, str]], *others: Sequence[tuple[str, str]]) -> list[Entry]:
    store = MemoryStore()
    tools = ResponseMap(store, Truth())
    for some in (calls, *others):
        with prepare(task).blueprint.open() as world:
            await answers(world, tools, some)
    return [entry for _, entry, _ in await store.dump(0, 1000)]


def loans(*members: str) -> list[tuple[str, str]]:
    return [("list_loans", text_of({"member_id": member})) for member in members]


def draft(*steps: dict[str, str], tables: Any = ()) -> str:
    return orjson.dumps({"tables": list(tables), "steps": list(steps)}).decode()


def returning(sql: str) -> dict[str, str]:
    return {"do": "return", "sql": sql, "otherwise": ""}


async def compiled(task: Task, entries: Sequence[Entry], *replies: str) -> tuple[Compiled, Scripted]:
    teacher = Scripted(replies)
    return await compiled_task(task, entries, Structured(teacher, Ladder("prompt")), rounds=1), teacher


TASK = hybrid("list_loans")
RENEWED = [("renew_loan", text_of({"loan_id": "L-1", "new_due": "2031-06-01"})), *loans("M-1", "M-2", "M-3")]


async def entries_of(task: Task = TASK) -> list[Entry]:
    return await observed(task, loans("M-1", "M-2", "M-3", "M-4", "M-9"), RENEWED)


async def test_a_program_that_gives_all_answers_also_those_held_out_is_taken():
    entries = await entries_of()
    found, teacher = await compiled(TASK, entries, draft(MEMBER, returning(GOOD)))
    (verdict,) = found.verdicts
    assert verdict.compiled
    assert (verdict.observed, verdict.right) == (8, verdict.held_out)
    assert verdict.held_out >= 2
    assert not found.task.world.grounding
    assert found.task.id not in (TASK.id, "")
    assert found.task.provenance.parents[-1] == TASK.id
    with prepare(found.task).blueprint.open() as world, TRUTH.open() as truth:
        for name, raw in RENEWED:
            assert world.call(name, raw).value == truth.call(name, raw).value
    shown, held = split(entries)
    asked = teacher.requests[0].messages[-1]["content"]
    assert all(entry.response[:200] in asked for entry in shown)
    assert all(f"{entry.arguments} -> {entry.response}" not in asked or entry.trail != "[]" for entry in held)


async def test_what_does_not_fit_goes_back_with_the_difference():
    entries = await entries_of()
    wrong = draft(MEMBER, returning(GOOD.replace("due,", "'never' AS due,")))
    found, teacher = await compiled(TASK, entries, wrong, draft(MEMBER, returning(GOOD)))
    assert found.verdicts[0].compiled
    assert "never" in teacher.requests[1].messages[-1]["content"]


async def test_a_program_that_knows_only_what_it_was_shown_resists():
    entries = await entries_of()
    _, held = split(entries)
    secret = held[0]
    member = orjson.loads(secret.arguments)["member_id"]
    cheat = draft(
        MEMBER, returning(GOOD.replace("ORDER BY", f"AND NOT (:member_id = '{member}' AND due IS NOT NULL) ORDER BY"))
    )
    found, _ = await compiled(TASK, entries, cheat, cheat)
    (verdict,) = found.verdicts
    assert not verdict.compiled
    assert verdict.reason
    assert found.task is TASK


async def test_sql_that_is_not_allowed_never_runs_and_resists():
    entries = await entries_of()
    evil = draft(returning("SELECT load_extension('x')"))
    found, _ = await compiled(TASK, entries, evil, evil)
    assert not found.verdicts[0].compiled
    assert "load_extension" in found.verdicts[0].reason or "not" in found.verdicts[0].reason


async def test_too_few_observations_prove_nothing_and_ask_nobody():
    found, teacher = await compiled(TASK, await observed(TASK, loans("M-1", "M-2")))
    assert f"2 observed calls that can be tried, {FEWEST} are needed" in found.verdicts[0].reason
    assert not teacher.requests


async def test_a_teacher_that_makes_no_sense_leaves_the_tool_as_it_is():
    found, _ = await compiled(TASK, await entries_of(), "prose", "prose")
    assert not found.verdicts[0].compiled
    assert found.task is TASK


async def test_a_world_without_tables_gets_those_that_the_draft_brings():
    task = hybrid("find_member")
    bare = task.model_copy(update={"world": task.world.model_copy(update={"ddl": task.world.ddl})})
    names = ["Ada Novak", "Adam Novak", "Eve", "Nora", "Ruth", "ada novak"]
    entries = await observed(bare, [("find_member", text_of({"name": name})) for name in names])
    columns = [{"name": name, "type": "TEXT", "key": name == "id"} for name in ("id", "full", "place")]
    rows = [["M-1", "Ada Novak", "Quay"], ["M-2", "Adam Novak", "Hill"]]
    table = {"name": "people", "columns": columns, "rows": rows}
    sql = "SELECT id AS member_id, place AS branch FROM people WHERE full = :name COLLATE NOCASE ORDER BY id"
    found, _ = await compiled(bare, entries, draft(returning(sql), tables=[table]))
    assert found.verdicts[0].compiled, found.verdicts[0]
    assert "people" in found.task.world.rows
