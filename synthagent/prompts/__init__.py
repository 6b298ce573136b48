"""Prompts are files: `<room>/<function>.md.j2`, rendered with StrictUndefined and known by a fingerprint."""

import hashlib
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Template


@cache
def _source(name: str) -> str:
    return resources.files(__package__).joinpath(*f"{name}.md.j2".split("/")).read_text(encoding="utf-8")


@cache
def _template(name: str) -> "Template":
    from jinja2 import Environment, StrictUndefined

    # Prompts are plain text for a model, not HTML: escaping would corrupt them.
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)
    return environment.from_string(_source(name))


def render(name: str, **variables: Any) -> str:
    """The prompt `name`, as "room/function". Raises `jinja2.UndefinedError` for a variable that is not given."""
    return _template(name).render(**variables).strip()


@cache
def fingerprint(name: str) -> str:
    """First 12 hex digits of SHA-256 over the prompt's source."""
    return hashlib.sha256(_source(name).encode()).hexdigest()[:12]
