"""What is wrong with a record from a file, in words for the person who wrote the file."""

import reprlib
from collections.abc import Iterable
from typing import Any, NamedTuple

from pydantic import ValidationError

from synthagent.schema.checks import operator_of
from synthagent.schema.record import Json

Path = tuple[str | int, ...]


class _Fault(NamedTuple):
    path: Path
    text: str
    union: Path | None
    """Where the last union on the way stands, if there is one."""
    member: str
    """Which of the union's members complains."""


def complaints(error: ValidationError, data: Json, limit: int = 3) -> str:
    """The first few faults as `path: what`, joined by `; `, with paths as they are in the data.

    Pydantic names union members and discriminator tags in its paths and complains once for each member of a union;
    here only the member that fits best speaks.
    """
    details = error.errors(include_url=False, include_context=False, include_input=False)
    texts = list(dict.fromkeys(_texts(_fault(detail, data) for detail in details)))
    rest = len(texts) - limit
    return "; ".join(texts[:limit]) + (f"; and {rest} more" if rest > 0 else "")


def dotted(path: Iterable[str | int]) -> str:
    """`("rubric", "subgoals", 1)` as `rubric.subgoals.1`; the middle of a very long path is left out."""
    parts = [str(part) if len(str(part)) <= 80 else f"{str(part)[:80]}…" for part in path]
    return ".".join(parts if len(parts) <= 16 else [*parts[:8], "…", *parts[-4:]])


def _fault(detail: Any, data: Json) -> _Fault:
    path: list[str | int] = []
    union, member, here = None, "", data
    location = detail["loc"]
    for position, item in enumerate(location):
        if (isinstance(here, dict) and item in here) or (
            isinstance(here, list) and isinstance(item, int) and item < len(here)
        ):
            path.append(item)
            here = here[item]
        elif detail["type"] == "missing" and position == len(location) - 1:
            path.append(item)
        else:  # the name of a union's member or tag: pydantic's, not the author's
            union, member = tuple(path), str(item)
    return _Fault(tuple(path), _text(detail, here), union, member)


def _text(detail: Any, value: Json) -> str:
    match detail["type"]:
        case "missing":
            return "missing"
        case "extra_forbidden":
            return "unknown field"
        case "value_error" | "assertion_error":
            return str(detail["msg"]).partition(", ")[2]
        case "union_tag_not_found" if "operator()" in detail["msg"]:
            return _unknown_operator(value)
        case _:
            message = str(detail["msg"])
            return f"{message[:1].lower()}{message[1:]}, not {reprlib.repr(value)}"


def _unknown_operator(value: Json) -> str:
    try:
        operator_of(value)
    except ValueError as error:
        return str(error)
    return "not a check"


def _texts(faults: Iterable[_Fault]) -> Iterable[str]:
    """A line a fault, in order; the faults of one union become those of the member that fits best."""
    groups: dict[tuple[Path | None, Path | None], list[_Fault]] = {}
    for fault in faults:
        groups.setdefault((fault.union, None if fault.union is not None else fault.path), []).append(fault)
    for (union, _), group in groups.items():
        members: dict[str, list[_Fault]] = {}
        for fault in group:
            members.setdefault(fault.member, []).append(fault)
        # A member that got past the union's own place (an object where an object should be) fits better than one
        # that did not; then the one with the fewest faults.
        ranks = {name: (any(fault.path == union for fault in own), len(own)) for name, own in members.items()}
        best = [name for name in members if ranks[name] == min(ranks.values())]
        if len(best) == 1 or union is None:
            yield from (f"{dotted(fault.path)}: {fault.text}" for fault in members[best[0]])
            continue
        nearest = [members[name][0] for name in best if members[name][0].path != union]
        hint = " or ".join(f"{dotted(fault.path[len(union) :])}: {fault.text}" for fault in nearest)
        yield f"{dotted(union)}: fits none of {', '.join(members)}" + (f" ({hint})" if hint else "")
