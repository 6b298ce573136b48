"""What follows from a signature and the tables, and what does not."""

import pytest

from synthagent.synthesis.deriving import agreed, derived
from synthagent.synthesis.drafts import ToolDraft
from synthagent.synthesis.tables import TablesDraft
from synthagent.synthesis.world import Bench
from tests import teachers

TABLES = TablesDraft.model_validate(teachers.TABLES)


def tool(name: str, takes, gives, effect="read", returns="record", optional=()) -> ToolDraft:
    return ToolDraft.model_validate(
        {
            "name": name, "description": "x", "effect": effect, "returns": returns,
            "parameters": [{"name": n, "type": "string", "required": n not in optional} for n in takes],
            "outputs": [{"name": n, "type": "string"} for n in gives],
        }
    )  # fmt: skip


def called(draft: ToolDraft, **arguments):
    """What the derived program answers in the drafted world."""
    [draft] = agreed([draft], TABLES)
    steps = derived(draft, TABLES)
    assert steps is not None
    bench = Bench(TABLES, [draft])
    assert bench.errors(draft, steps, {}) == []
    bench.programs[draft.name] = steps
    built = bench.built({}, 0)
    import orjson

    from synthagent.simulation.compiling import compile_world

    with compile_world(built.tools, built.world, "w").open() as world:
        return world.call(draft.name, orjson.dumps(arguments).decode())


def test_a_look_up_by_columns_of_one_table():
    assert called(tool("find", ["name"], ["member_id"]), name="ines calder").value == {"member_id": "M-204"}
    assert called(tool("find", ["name"], ["member_id"]), name="nobody").error == "precondition"
    listing = tool("list", ["member_id"], ["loan_id", "due"], returns="list")
    assert [row["loan_id"] for row in called(listing, member_id="M-204").value] == ["L-81", "L-82"]
    assert called(listing, member_id="M-999").value == []


def test_what_may_be_left_out_is_no_filter_when_it_is():
    listing = tool("list", ["member_id", "seeds"], ["loan_id"], returns="list", optional=["seeds"])
    assert len(called(listing, member_id="M-204").value) == 2
    assert called(listing, member_id="M-204", seeds="Purple Carrot").value == [{"loan_id": "L-82"}]


def test_a_change_of_a_row_named_by_its_key():
    change = tool("move", ["loan_id", "new_due"], ["loan_id", "due"], effect="write")
    assert called(change, loan_id="L-81", new_due="2031-07-01").value == {"loan_id": "L-81", "due": "2031-07-01"}
    assert called(change, loan_id="L-99", new_due="2031-07-01").error == "precondition"
    some = tool("edit", ["loan_id", "due", "seeds"], ["due", "seeds"], effect="write", optional=["due", "seeds"])
    assert called(some, loan_id="L-81", seeds="Kale").value == {"due": "2031-05-20", "seeds": "Kale"}


@pytest.mark.parametrize(
    "draft",
    [
        tool("find", ["title"], ["member_id"]),
        tool("find", ["name"], ["balance"]),
        tool("list_all", [], ["name"], returns="list"),
        tool("find", ["seeds"], ["seeds"]),
        tool("rename", ["name"], ["member_id"], effect="write"),
        tool("touch", ["loan_id"], ["loan_id"], effect="write"),
        tool("renumber", ["loan_id", "new_loan_id"], ["loan_id"], effect="write"),
    ],
    ids=[
        "no such column",
        "no such output",
        "no parameter",
        "two tables",
        "no key",
        "nothing to change",
        "the key itself",
    ],
)
def test_what_is_not_obvious_is_not_derived(draft):
    assert derived(draft, TABLES) is None


def test_types_follow_the_columns_where_all_tables_agree():
    [found] = agreed([tool("find", ["waiting", "name", "other"], ["waiting"])], TABLES)
    assert [p.type for p in found.parameters] == ["integer", "string", "string"]
    assert found.outputs[0].type == "integer"
