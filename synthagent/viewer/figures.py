"""What a run came to, and how two runs differ: the statistics of `evaluation.report`, with money and with examples."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from synthagent.config import Price
from synthagent.errors import InputError
from synthagent.evaluation.report import BlameLine, blames, compare, lines
from synthagent.llm.prices import price_of
from synthagent.schema.messages import Usage
from synthagent.schema.record import Json
from synthagent.storage.complaints import complaints
from synthagent.storage.run_folder import MANIFEST
from synthagent.storage.tables import EpisodeRow
from synthagent.viewer.runs import RunView

MOST_TASKS = 100
"""Tasks on which two runs differ that are told; how many more differ is told too."""

Prices = Mapping[str, Price]


def figures(run: RunView, prices: Prices) -> Json:
    """`{agents, blames, usd}` of a run: its report's lines, each with tokens read and written and what they cost.

    `prices`: model -> price, before those of the run's own settings. `usd` is None where the price of an agent's model
    is not known, and of the run where that holds for any. Raises `InputError` for a manifest with broken prices.
    """
    rows, known = run.rows(), {**_own(run), **prices}
    agents = [{**line.model_dump(mode="json"), **_spent(rows, line.agent, known)} for line in lines(rows)]
    costs = [agent["usd"] for agent in agents]
    usd = None if not costs or any(cost is None for cost in costs) else sum(costs)
    return {"agents": agents, "blames": [line.model_dump(mode="json") for line in blames(rows)], "usd": usd}


def compared(left: RunView, right: RunView, prices: Prices) -> Json:
    """Two runs side by side; a difference is the right one's reward less the left one's, paired by task.

    `{left, right, pairs, blames, tasks, more, shared}`: both runs' `figures`; the agents that are compared, each with
    its difference and interval; the causes of lost reward in both; the tasks on which they differ most, with a try of
    each side to be looked at. Agents pair by name; where the other run has but one, with that one. The same play under
    another rubric is another task, and still a pair. Raises as `figures` does.
    """
    told = {"left": figures(left, prices), "right": figures(right, prices)}
    plays = _plays(left, right)
    one, two = (_renamed(run.rows(), plays) for run in (left, right))
    differences = {line.agent: line.model_dump(mode="json") for line in compare(two, one)}
    partners = _partners([line["agent"] for line in told["left"]["agents"]],
                         [line["agent"] for line in told["right"]["agents"]])  # fmt: skip
    pairs = [
        {"left": mine, "right": agent, "difference": differences.get(agent)} for agent, mine in partners.items()
    ]  # fmt: skip
    differing = _differing(one, two, partners, (left.rows(), right.rows()))
    return {
        **told, "pairs": pairs, "blames": _both(blames(left.rows()), blames(right.rows()), partners),
        "tasks": differing[:MOST_TASKS], "more": max(0, len(differing) - MOST_TASKS),
        "shared": len({row.task_id for row in one} & {row.task_id for row in two}),
    }  # fmt: skip


def _own(run: RunView) -> dict[str, Price]:
    """The prices that the run itself was told."""
    found, where = run.manifest.settings.get("prices") or {}, str(run.path / MANIFEST)
    if not isinstance(found, dict):
        raise InputError("settings.prices: not model -> price", where=where)
    prices = {}
    for model, price in found.items():
        try:
            prices[model] = Price.model_validate(price)
        except ValidationError as error:
            raise InputError(f"settings.prices.{model}.{complaints(error, price)}", where=where) from error
    return prices


def _spent(rows: Iterable[EpisodeRow], agent: str, prices: Prices) -> dict[str, Any]:
    """Tokens read and written by an agent's model, and their price: None for a model that nobody sells."""
    mine = [row for row in rows if row.agent == agent]
    usage = Usage(prompt=sum(row.prompt_tokens for row in mine), completion=sum(row.completion_tokens for row in mine))
    scheme, _, model = agent.partition(":")
    price = price_of(model.partition("@")[0], prices) if scheme == "openai" else None
    usd = None if price is None else price.of(usage)
    return {"prompt_tokens": usage.prompt, "completion_tokens": usage.completion, "usd": usd}


def _plays(left: RunView, right: RunView) -> dict[str, str]:
    """Task that only one of the runs has -> a name that both share if they play the same; others keep theirs."""
    one, two = ({row.task_id for row in run.rows()} for run in (left, right))
    return {**left.plays(one - two), **right.plays(two - one)}


def _renamed(rows: Iterable[EpisodeRow], plays: Mapping[str, str]) -> list[EpisodeRow]:
    return [
        row.model_copy(update={"task_id": plays[row.task_id]}) if row.task_id in plays else row for row in rows
    ]  # fmt: skip


def _partners(left: Sequence[str], right: Sequence[str]) -> dict[str, str]:
    """Agent of the right run -> the left one's that it is compared with: see `evaluation.report.compare`."""
    only = left[0] if len(left) == 1 else None
    matched = {agent: agent if agent in left else only for agent in right}
    return {agent: partner for agent, partner in matched.items() if partner is not None}


Tries = dict[tuple[str, str], list[tuple[EpisodeRow, EpisodeRow]]]
"""(agent, play) -> its rows, each with the row as it stands in its run."""


def _differing(
    one: Sequence[EpisodeRow], two: Sequence[EpisodeRow], partners: Mapping[str, str],
    stored: tuple[Sequence[EpisodeRow], Sequence[EpisodeRow]],
) -> list[Json]:  # fmt: skip
    """The tasks with another mean reward on the other side, the largest difference first."""
    mine, theirs = _tries(one, stored[0]), _tries(two, stored[1])
    found = []
    for (agent, play), after in theirs.items():
        before = mine.get((partners.get(agent, ""), play))
        if before is None:
            continue
        means = [sum(row.reward or 0.0 for row, _ in tries) / len(tries) for tries in (before, after)]
        if means[0] != means[1]:
            better = means[1] > means[0]
            found.append({
                "left_mean": means[0], "right_mean": means[1], "difference": means[1] - means[0],
                "domain": after[0][1].domain, "left": _example(before, best=not better),
                "right": _example(after, best=better), "tries": [len(before), len(after)],
            })  # fmt: skip
    return sorted(found, key=lambda row: (-abs(row["difference"]), row["left"]["task_id"], row["right"]["agent"]))


def _tries(rows: Sequence[EpisodeRow], stored: Sequence[EpisodeRow]) -> Tries:
    found: Tries = defaultdict(list)
    for row, kept in zip(rows, stored, strict=True):
        if row.counts:
            found[row.agent, row.task_id].append((row, kept))
    return found


def _example(tries: Sequence[tuple[EpisodeRow, EpisodeRow]], *, best: bool) -> Json:
    """The try that shows the difference most clearly."""
    row = (max if best else min)((kept for _, kept in tries), key=lambda kept: kept.reward or 0.0)
    return {"agent": row.agent, "task_id": row.task_id, "sample": row.sample}


def _both(left: Iterable[BlameLine], right: Iterable[BlameLine], partners: Mapping[str, str]) -> list[Json]:
    """Causes of lost reward: count and share on each side, the most frequent first; agents that pair share a line.

    A side is None where its run has no agent that pairs: nothing was lost there, and nothing was played.
    """
    rows: dict[tuple[str, str, str, str], dict[str, Any]] = {}
    for side, found in (("left", left), ("right", right)):
        for line in found:
            paired = [agent for agent, mine in partners.items() if mine == line.agent]
            for agent in (paired or [line.agent]) if side == "left" else [line.agent]:
                key = (agent, line.outcome, str(line.blame), line.reason)
                row = rows.setdefault(key, _cause(agent, line, {"left", "right"} if agent in partners else {side}))
                row[side] += line.count
                row[f"{side}_share"] += line.share
    return sorted(rows.values(), key=lambda row: -max(row["left"] or 0, row["right"] or 0))


def _cause(agent: str, line: BlameLine, sides: set[str]) -> dict[str, Any]:
    shares = {f"{side}{word}": (0 if side in sides else None) for side in ("left", "right") for word in ("", "_share")}
    return {"agent": agent, "outcome": line.outcome, "blame": line.blame, "reason": line.reason, **shares}
