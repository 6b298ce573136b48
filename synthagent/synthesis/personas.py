"""Personas: one sentence each, the seed of diversity (Persona Hub style). About 200 of our own are shipped."""

from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import orjson

from synthagent.errors import InputError


def shipped() -> list[str]:
    """The personas that come with the package."""
    return list(_read(resources.files(__package__).joinpath("personas.jsonl").read_bytes(), "personas.jsonl"))


def load(path: Path) -> list[str]:
    """Personas of a JSONL file with a `persona` key. Raises `InputError` naming file and line."""
    try:
        found = list(_read(path.read_bytes(), str(path)))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error
    if not found:
        raise InputError("holds no personas", where=str(path))
    return found


def _read(text: bytes, where: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            persona = orjson.loads(line)["persona"]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise InputError('expected {"persona": "..."}', where=f"{where}:{number}") from error
        if not isinstance(persona, str) or not persona.strip():
            raise InputError("persona: expected a non-empty text", where=f"{where}:{number}")
        yield " ".join(persona.split())
