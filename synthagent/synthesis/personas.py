"""Personas: one sentence each, the seed of diversity (Persona Hub style). About 200 of our own are shipped."""

from collections.abc import Iterable, Iterator
from importlib import resources
from pathlib import Path

import orjson

from synthagent.errors import InputError


def shipped() -> list[str]:
    """The personas that come with the package."""
    return list(
        _read(resources.files(__package__).joinpath("personas.jsonl").read_bytes().splitlines(), "personas.jsonl")
    )


def load(path: Path) -> list[str]:
    """Personas of a JSONL file with a `persona` key. Raises `InputError` naming file and line."""
    try:
        found = list(_read(path.read_bytes().splitlines(), str(path)))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error
    if not found:
        raise InputError("holds no personas", where=str(path))
    return found


def stream(path: Path) -> Iterator[str]:
    """The same, one in memory at a time, for files of any length."""
    try:
        with path.open("rb") as lines:
            yield from _read(lines, str(path))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error


def _read(lines: Iterable[bytes], where: str) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            persona = orjson.loads(line)["persona"]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise InputError('expected {"persona": "..."}', where=f"{where}:{number}") from error
        if not isinstance(persona, str) or not persona.strip():
            raise InputError("persona: expected a non-empty text", where=f"{where}:{number}")
        yield " ".join(persona.split())
