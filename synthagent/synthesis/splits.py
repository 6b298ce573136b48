"""Train, dev and test: by family, so that twins and branches never straddle, or by whole domain."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Literal

from synthagent.errors import InputError
from synthagent.schema.tasks import Task

By = Literal["family", "domain"]
PARTS = ("train", "dev", "test")
_SHOWN = 5
"""Shared families that a refusal names."""


def split(tasks: Iterable[Task], by: By, seed: int, shares: Mapping[str, float]) -> dict[str, list[Task]]:
    """Part -> tasks. A unit's part depends on its name and the seed alone, so growing a file moves nothing.

    By domain, domains are dealt out in seeded order instead, since there are few of them. Raises `InputError` when the
    shares do not add up to 1.
    """
    if abs(sum(shares.values()) - 1) > 1e-9 or any(share < 0 for share in shares.values()):
        raise InputError(f"the shares of {', '.join(shares)} must add up to 1")
    tasks = list(tasks)
    units = {unit_of(task, by) for task in tasks}
    parts = _dealt(units, seed, shares) if by == "domain" else {u: _drawn(u, seed, shares) for u in units}
    found: dict[str, list[Task]] = {part: [] for part in shares}
    for task in tasks:
        found[parts[unit_of(task, by)]].append(task)
    return found


def unit_of(task: Task, by: By) -> str:
    """What must stay together."""
    return task.family if by == "family" else task.provenance.domain or task.family


def shared_families(one: Iterable[Task], two: Iterable[Task]) -> list[str]:
    """Families of the first set that the second holds too, sorted; one task under two families counts as shared."""
    families: set[str] = set()
    ids: set[str] = set()
    for task in two:
        families.add(task.family)
        ids.add(task.id)
    return sorted({task.family for task in one if task.family in families or task.id in ids})


def refuse_overlap(train: Iterable[Task], held_out: Iterable[Task], names: tuple[str, str]) -> None:
    """Raises `InputError` if two sets share families: what was learnt is no evidence. `names`: the sets' files."""
    shared = shared_families(train, held_out)
    if shared:
        shown = ", ".join(shared[:_SHOWN]) + (f" and {len(shared) - _SHOWN} more" if len(shared) > _SHOWN else "")
        count = f"{len(shared)} {'family' if len(shared) == 1 else 'families'}"
        way_out = "`synthagent split --by family` makes sets that share none"
        raise InputError(f"shares {count} with {names[1]}: {shown}", where=names[0], way_out=way_out)


def _drawn(unit: str, seed: int, shares: Mapping[str, float]) -> str:
    draw = int.from_bytes(hashlib.sha256(f"{seed}/{unit}".encode()).digest()[:7], "big") / 2**56
    for part, share in shares.items():
        draw -= share
        if draw < 0:
            return part
    return list(shares)[-1]


def _dealt(units: set[str], seed: int, shares: Mapping[str, float]) -> dict[str, str]:
    order = sorted(units, key=lambda unit: hashlib.sha256(f"{seed}/{unit}".encode()).digest())
    found: dict[str, str] = {}
    start = 0.0
    for part, share in shares.items():
        first, last = round(start * len(order)), round((start + share) * len(order))
        found |= dict.fromkeys(order[first:last], part)
        start += share
    return found
