"""Scenario -> tools: a first draft, and the review that makes it fit for a mock world.

Source: Lyu et al., section 3.1: three to five tools of different categories; the review drops what a language model
does by itself, turns what is no text into a status and an id, adds one or two distractors, and asks whether the task
can still be done.
"""

from collections.abc import Iterator

from pydantic import Field

from synthagent import prompts
from synthagent.llm.structured import Structured
from synthagent.schema.record import Record
from synthagent.synthesis.drafts import Name, Rule, ToolDraft, tool_faults
from synthagent.synthesis.scenario import Scenario

TOOLS = (3, 5)
"""Fewest and most tools before the review."""
DISTRACTORS = (1, 2)


class Toolset(Record):
    """The tools of a task and the rules about them."""

    tools: tuple[ToolDraft, ...] = Field(min_length=TOOLS[0], max_length=TOOLS[1])
    rules: tuple[Rule, ...] = Field(min_length=1, max_length=3)
    """The scenario's restrictions, each about the tool that could break it."""


class Dropped(Record):
    """A tool that goes."""

    tool: Name
    because: str


class Review(Record):
    """What a second look changes."""

    drop: tuple[Dropped, ...] = ()
    """Tools a language model does not need: to summarise, translate, classify, write."""
    rewrite: tuple[ToolDraft, ...] = ()
    """Tools whose outputs are no text (pictures, sound, files): the same tools, giving a status and an id instead."""
    distractors: tuple[ToolDraft, ...] = Field(min_length=DISTRACTORS[0], max_length=DISTRACTORS[1])
    """One or two plausible tools of the same desk that this request does not need."""
    solvable: bool = True
    """Whether the request can be done with the tools that are left."""
    missing: str = ""
    """What is missing if it cannot be done; else empty."""


class NotSolvable(Exception):
    """The review finds that the tools do not do; the text says why."""


async def equip(teacher: Structured, scenario: Scenario, sample: int = 0) -> Toolset:
    """Drafts the tools for a scenario. Raises `NotUnderstood`."""
    prompt = prompts.render("synthesis/toolset", scenario=scenario, fewest=TOOLS[0], most=TOOLS[1])
    messages = [{"role": "user", "content": prompt}]
    asked = await teacher.ask(messages, Toolset, stage="toolset", sample=sample, check=lambda t: [*faults(t)])
    return asked.value


async def review(teacher: Structured, scenario: Scenario, draft: Toolset, sample: int = 0) -> Review:
    """A second look at the draft. Raises `NotUnderstood`."""
    prompt = prompts.render("synthesis/review", scenario=scenario, toolset=draft)
    messages = [{"role": "user", "content": prompt}]

    def check(found: Review) -> list[str]:
        tools = reviewed_tools(draft, found)
        reads = any(tool.effect == "read" for tool in tools if tool not in found.distractors)
        lost = [] if reads or not found.solvable else ["drop: no tool is left to look anything up; drop fewer"]
        return [*lost, *tool_faults(tools)]

    return (await teacher.ask(messages, Review, stage="review", sample=sample, check=check)).value


def reviewed(draft: Toolset, review: Review) -> Toolset:
    """The draft as the review leaves it, distractors last. Raises `NotSolvable`."""
    if not review.solvable:
        raise NotSolvable(review.missing.strip() or "the request cannot be done with these tools")
    gone = {dropped.tool for dropped in review.drop}
    tools = reviewed_tools(draft, review)
    rules = tuple(rule for rule in draft.rules if rule.tool not in gone)
    if not any(tool.effect == "read" for tool in tools if tool not in review.distractors):
        raise NotSolvable("no tool is left to look anything up")
    if not rules:
        raise NotSolvable("no restriction is left: the tools they were about have been dropped")
    return draft.model_copy(update={"tools": tools, "rules": rules})


def reviewed_tools(draft: Toolset, review: Review) -> tuple[ToolDraft, ...]:
    """The tools that stay, as rewritten, and the distractors; what is said of tools that do not exist is nothing."""
    gone = {dropped.tool for dropped in review.drop}
    rewritten = {tool.name: tool for tool in review.rewrite}
    names = {tool.name for tool in draft.tools}
    kept = [rewritten.get(tool.name, tool) for tool in draft.tools if tool.name not in gone]
    return (*kept, *(tool for tool in review.distractors if tool.name not in names))


def faults(toolset: Toolset) -> Iterator[str]:
    """What is wrong with a set of tools, in words for its author."""
    yield from tool_faults(toolset.tools)
    if not any(tool.effect == "read" for tool in toolset.tools):
        yield "no tool reads: give one that looks something up"
    names = {tool.name for tool in toolset.tools}
    for rule in toolset.rules:
        if rule.tool not in names:
            yield f"rules: '{rule.tool}' is not one of the tools ({', '.join(sorted(names))})"
