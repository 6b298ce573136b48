"""One tool call in a live world, whoever answers it."""

from synthagent.errors import ToolFailed
from synthagent.simulation.response_map import Tools
from synthagent.simulation.simulated import Answer, SimulatedCall
from synthagent.simulation.world import LiveWorld, ToolResult


async def called(world: LiveWorld, tools: Tools | None, name: str, raw: str) -> tuple[ToolResult, Answer | None]:
    """The result of a call on its raw argument text, and the map's answer if the tool is simulated.

    Raises as `LiveWorld.call` and `Tools.answer` do; `ToolFailed` when nobody stands in for a tool without a program.
    """
    result = world.begin(name, raw)
    if not isinstance(result, SimulatedCall):
        return result, None
    if tools is None:
        raise ToolFailed(f"{name} has no program, and nobody simulates it", reason="no_simulator")
    answer = await tools.answer(result)
    return world.take(result, answer), answer
