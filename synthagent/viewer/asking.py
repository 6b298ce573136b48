"""What an address asks for, read as values."""

from collections.abc import Mapping

from synthagent.errors import InputError


def whole(asked: Mapping[str, str], name: str, default: int) -> int:
    """A whole number out of an address, or the default. Raises `InputError` naming the field."""
    text = asked.get(name, "")
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise InputError(f"{name}: a whole number is wanted, not '{text[:40]}'")
    return int(text)
