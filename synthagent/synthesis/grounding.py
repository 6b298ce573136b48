"""Tools without a world: what a model that stands in for each of them needs to know (the paper's own way)."""

from collections.abc import Sequence

from synthagent import prompts
from synthagent.llm.structured import Structured
from synthagent.schema.record import Record
from synthagent.schema.tasks import Return, World
from synthagent.synthesis.drafts import Name, ToolDraft, tool_of
from synthagent.synthesis.scenario import Scenario
from synthagent.synthesis.world import TRANSFER, Built, transfer_tool

NOW = "2031-03-03T10:00:00"
"""The clock of a world without records."""


class Grounding(Record):
    """What one tool would find."""

    tool: Name
    text: str
    """Concrete records, ids and values that the tool knows of, and how it answers what it does not know."""


class GroundingDraft(Record):
    """One text for each tool."""

    now: str
    """The moment at which it all happens: YYYY-MM-DDTHH:MM:SS"""
    texts: tuple[Grounding, ...]


async def ground(teacher: Structured, scenario: Scenario, tools: Sequence[ToolDraft], sample: int = 0) -> Built:
    """A world in which every tool but the hand-over is simulated. Raises `NotUnderstood`."""
    prompt = prompts.render("synthesis/grounding", scenario=scenario, tools=tools)
    messages = [{"role": "user", "content": prompt}]
    names = [tool.name for tool in tools]

    def check(draft: GroundingDraft) -> list[str]:
        told = {grounding.tool for grounding in draft.texts}
        return [f"there is no text for {name}" for name in names if name not in told]

    draft = (await teacher.ask(messages, GroundingDraft, stage="grounding", sample=sample, check=check)).value
    world = World(
        now=draft.now[:19] if len(draft.now) >= 19 else NOW,
        ddl="",
        rows={},
        programs={TRANSFER: (Return(query="SELECT 1 AS transferred", shape="row"),)},
        ends_episode=(TRANSFER,),
        grounding={grounding.tool: grounding.text for grounding in draft.texts if grounding.tool in names},
    )
    simulated = dict.fromkeys(names, "the task was made without a world")
    return Built((*(tool_of(tool) for tool in tools), transfer_tool()), world, tuple(tools), simulated)
