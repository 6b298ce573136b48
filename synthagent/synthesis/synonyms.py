"""Words of tool and parameter names, and others that say the same: `synonyms.txt`, read."""

from collections.abc import Mapping
from functools import cache
from importlib import resources

Table = Mapping[str, tuple[str, ...]]
"""A word -> the terms that may stand in its place; an underscore joins the words of one term."""


@cache
def tables() -> Mapping[str, Table]:
    """Section -> table: `verbs`, `nouns` (singular), `parameters` (whole names), `leads` (how a description begins)."""
    text = resources.files(__package__).joinpath("synonyms.txt").read_text("utf-8")
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    section: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        if line.startswith("["):
            section = found[line.strip("[]")] = {}
        elif line and not line.startswith("#"):
            word, _, others = line.partition(":")
            section[word] = tuple(others.split())
    return found


def singular(word: str) -> str:
    """The singular of a regular plural; what is none comes back as it is."""
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def plural(word: str) -> str:
    """The regular plural."""
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("s", "x", "z", "ch", "sh")) else "s")
