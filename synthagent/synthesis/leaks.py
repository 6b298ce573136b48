"""Does the half that the agent sees give away the half that only the user knows? Pure."""

import re
from collections.abc import Iterator, Sequence

from synthagent.schema.tasks import Hidden, Tool
from synthagent.simulation.values import mentions


def leaked_facts(instruction: str, rules: Sequence[str], hidden: Hidden) -> Iterator[str]:
    """Each hidden value that is said unasked, also as a number in words or a date in another form."""
    for fact in hidden.facts:
        if mentions(instruction, fact.value):
            yield f"the instruction gives away fact '{fact.id}'"
        if any(mentions(rule, fact.value) for rule in rules):
            yield f"a rule gives away fact '{fact.id}'"
        for line in (*hidden.escape_lines, *(request.text for request in hidden.requests)):
            if mentions(line, fact.value):
                yield f"fact '{fact.id}' is in what the user says unasked: {line!r}"
        if not mentions(fact.text, fact.value):
            yield f"fact '{fact.id}' does not say its value"
        for other in hidden.facts:
            if other.id != fact.id and mentions(fact.text, other.value) and other.value != fact.value:
                yield f"fact '{fact.id}' gives away fact '{other.id}'"


def leaking_tools(tools: Sequence[Tool], hidden: Hidden) -> Iterator[str]:
    """Each tool that says a hidden value itself: as the only choice of a parameter, or a name, id or date in its words.

    A plain word in a description, such as one of the kinds of things there are, is no more than a choice.
    """
    for tool in tools:
        schemas = [s for s in tool.function.parameters.get("properties", {}).values() if isinstance(s, dict)]
        only = [s["enum"][0] for s in schemas if len(s.get("enum", ())) == 1]
        told = [tool.function.description, *(str(s.get("description", "")) for s in schemas)]
        for fact in hidden.facts:
            own = any(letter.isupper() or letter.isdigit() for letter in str(fact.value))
            if fact.value in only or (own and any(mentions(text, fact.value) for text in told)):
                yield f"the tool {tool.name} gives away fact '{fact.id}'"


def named_tools(instruction: str, tools: Sequence[str]) -> Iterator[str]:
    """Each tool that the instruction names, whether in snake_case, in camelCase or with spaces."""
    words = f" {_spaced(instruction)} "
    for tool in tools:
        name = _spaced(tool)
        if " " in name and f" {name} " in words:  # one word, such as "search", is said by anybody
            yield f"the instruction names the tool {tool}"


def _spaced(text: str) -> str:
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text)  # getLoan
    return re.sub(r"[\W_]+", " ", apart.casefold()).strip()
