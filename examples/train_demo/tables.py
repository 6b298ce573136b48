"""The figures of `results.json` as Markdown, so that a page holds nothing that was typed."""

from collections.abc import Iterable, Iterator
from typing import Any

NAMES = {"zero_shot": "as it comes", "cold_start": "cold start", "grpo": "GRPO", "no_gap": "no gap"}
GROUPS = {"seen_domains": "training domains", "unseen_domains": "other domains"}


def tables(found: dict[str, Any]) -> str:
    """Rewards, differences, what a mean hides, and what tricks earn."""
    return "\n".join(
        line
        for part in (_rewards(found), _paired(found), _habits(found), _red_team(found))
        for line in (*part, "")
    ).rstrip() + "\n"  # fmt: skip


def _rewards(found: dict[str, Any]) -> Iterator[str]:
    yield from _head("mean reward [95 %]", GROUPS.values())
    most = {
        group: max((found[model][group]["n"] for model in NAMES if group in found[model]), default=0)
        for group in GROUPS
    }
    for model, name in NAMES.items():
        yield _row(name, (_mean_of(found[model].get(group), most[group]) for group in GROUPS))
    yield _row("tasks, two tries each", (str(most[group]) for group in GROUPS))


def _mean_of(found: dict[str, float] | None, most: int) -> str:
    told = _interval(found, "mean")
    return f"{told} of {found['n']} tasks" if found and found["n"] < most else told


def _paired(found: dict[str, Any]) -> Iterator[str]:
    yield from _head("difference on the same tasks [95 %]", GROUPS.values())
    for name, by_group in found["paired"].items():
        after, _, before = name.partition("_vs_")
        yield _row(
            f"{NAMES[after]} less {NAMES[before]}", (_interval(by_group.get(group), "difference") for group in GROUPS)
        )


def _habits(found: dict[str, Any]) -> Iterator[str]:
    columns = ("legal_reward", "legal_perfect", "legal_refused", "illegal_reward", "illegal_gate_violations")
    shown = ("reward, legal", "of it perfect", "refused, legal", "reward, illegal", "rule broken, illegal")
    yield from _head("twins", shown)
    for key, habits in found["habits"].items():
        model, _, group = key.partition("/")
        yield _row(f"{NAMES[model]}, {GROUPS[group]}", (f"{habits[column]:.3f}" for column in columns))


def _red_team(found: dict[str, Any]) -> Iterator[str]:
    yield from _head("tricks", GROUPS.values())
    by_group = found["red_team"]
    for agent in dict.fromkeys(agent for group in GROUPS for agent in by_group[group]):
        yield _row(f"`{agent}`", (_interval(by_group[group].get(agent), "mean") for group in GROUPS))


def _head(first: str, columns: Iterable[str]) -> Iterator[str]:
    told = list(columns)
    yield _row(first, told)
    yield f"|---|{'---|' * len(told)}"


def _row(first: str, cells: Iterable[str]) -> str:
    return f"| {first} | {' | '.join(cells)} |"


def _interval(found: dict[str, float] | None, middle: str) -> str:
    return f"{found[middle]:.3f} [{found['low']:.3f}, {found['high']:.3f}]" if found else ""
