"""Programs taken away: what the tool is said to do, to read and to write afterwards."""

from synthagent.simulation.episode import prepare
from synthagent.synthesis.screening import pending
from synthagent.synthesis.simulating import simulated
from tests.builders import library


def test_a_tool_without_its_program_says_what_it_did_and_what_it_touches():
    task = simulated(library(), ["list_loans", "place_hold"])
    tools = {tool.name: tool for tool in task.brief.tools}
    assert set(task.world.grounding) == {"list_loans", "place_hold"}
    assert "list_loans" not in task.world.programs
    assert (tools["list_loans"].reads, tools["list_loans"].writes) == (("loans", "members"), None)
    assert (tools["place_hold"].reads, tools["place_hold"].writes) == (("holds",), ("holds",))
    assert tools["find_member"] == next(tool for tool in library().brief.tools if tool.name == "find_member")
    assert "no such member" in task.world.grounding["list_loans"]
    assert "INSERT INTO holds" in task.world.grounding["place_hold"]


def test_it_is_another_task_that_can_be_loaded_and_waits_to_be_played():
    task = simulated(library(), ["list_loans"])
    assert task.id != library().id
    assert task.provenance.parents == (library().id,)
    assert task.provenance.screening["simulated"] == "pending_simulation"
    assert pending(task)
    assert set(prepare(task).blueprint.simulated) == {"list_loans"}


def test_the_hand_over_stays_and_nothing_to_do_is_nothing_done():
    task = simulated(library(), ())
    assert set(task.world.programs) == {"transfer_to_human"}
    assert simulated(library(), ["nothing_like_it"]) == library()
    assert simulated(task, ()) is task
