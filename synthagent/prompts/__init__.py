"""Prompts are files: `<room>/<function>.md.j2`, rendered with StrictUndefined and known by a fingerprint.

A file whose name begins with an underscore holds macros that others import.
"""

import hashlib
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment


@cache
def _source(name: str) -> str:
    return resources.files(__package__).joinpath(*f"{name}.md.j2".split("/")).read_text(encoding="utf-8")


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    # Prompts are plain text for a model, not HTML: escaping would corrupt them.
    return Environment(
        loader=FunctionLoader(_source),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )


def render(name: str, **variables: Any) -> str:
    """The prompt `name`, as "room/function". Raises `jinja2.UndefinedError` for a variable that is not given."""
    return _environment().get_template(name).render(**variables).strip()


@cache
def fingerprint(name: str) -> str:
    """First 12 hex digits of SHA-256 over the prompt's source and that of what it imports."""
    return hashlib.sha256("".join(_source(part) for part in _parts(name)).encode()).hexdigest()[:12]


def variables(name: str) -> frozenset[str]:
    """The variables that a prompt wants from its caller."""
    from jinja2 import meta

    return frozenset(meta.find_undeclared_variables(_environment().parse(_source(name))))


def names(room: str) -> list[str]:
    """The prompts of a room, as "room/function"."""
    files = resources.files(__package__).joinpath(room).iterdir()
    return sorted(f"{room}/{file.name.removesuffix('.md.j2')}" for file in files if not file.name.startswith("_"))


def _parts(name: str) -> list[str]:
    """The prompt and what it imports, itself first."""
    from jinja2 import meta

    found = [name]
    for part in found:  # it grows meanwhile
        used = meta.find_referenced_templates(_environment().parse(_source(part)))
        found += sorted(other for other in used if other and other not in found)
    return found


@cache
def size(name: str) -> int:
    """Tokens of a prompt's own words, at four bytes each."""
    return len(_source(name).encode()) // 4


def source(name: str) -> str:
    """A prompt's source, with that of what it imports."""
    return "\n".join(_source(part) for part in _parts(name))
