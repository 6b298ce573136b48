"""An evaluation in Markdown: the paper's tables with our rows beside them, and every figure with what it rests on."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from synthagent.evaluation.items import Item
from synthagent.evaluation.metrics import difference
from synthagent.evaluation.paper import TABLES, rows_of
from synthagent.evaluation.results import SuiteResult, comparable
from synthagent.evaluation.suites import OURS
from synthagent.schema.record import Record


@dataclass(frozen=True, slots=True)
class Run:
    """An evaluation folder, read."""

    name: str
    """As it was typed."""
    agent: str
    results: Mapping[str, SuiteResult]
    items: Mapping[str, Sequence[Item]]
    """Of the suites that are ok."""


class Pair(Record):
    """A suite in two evaluations."""

    suite: str
    before: str
    """The first folder."""
    after: str
    n: int | None
    """Entries that both have; None where the two cannot be compared."""
    difference: float | None
    """Mean in `after` less mean in `before`, paired by entry."""
    low: float | None
    high: float | None
    detectable: float | None
    """Smallest true difference that would be found in four cases of five."""
    note: str = ""
    """Why the two cannot be compared; or what differs besides the agent."""


def pairs(runs: Sequence[Run]) -> list[Pair]:
    """The first run against each of the others, on every suite that both have finished."""
    first, *others = runs
    return [
        _pair(suite, first, other)
        for other in others
        for suite, result in other.results.items()
        if result.status == "ok" and suite in first.results and first.results[suite].status == "ok"
    ]


def _pair(suite: str, first: Run, other: Run) -> Pair:
    empty = dict.fromkeys(("n", "difference", "low", "high", "detectable"))
    names = {"suite": suite, "before": first.name, "after": other.name}
    if not comparable(first.results[suite].versions, other.results[suite].versions):
        return Pair(**names, **empty, note="other versions: not comparable")
    found = difference(first.items[suite], other.items[suite])
    if found is None:
        return Pair(**names, **empty, note="no entry in common")
    figures = asdict(found)
    del figures["families"]
    return Pair(**names, **figures, note=_besides(first.results[suite], other.results[suite]))


def _besides(one: SuiteResult, two: SuiteResult) -> str:
    """Who else took part, where it was not the same: then a difference is not the agent's alone."""
    pairs = ((who, getattr(one, who), getattr(two, who)) for who in ("user", "judge", "search"))
    return "; ".join(f"other {who}: {old or 'nobody'}, then {new or 'nobody'}" for who, old, new in pairs if old != new)


def markdown(runs: Sequence[Run]) -> str:
    """The whole report."""
    parts: list[Iterable[str]] = [_paper(title, suites, runs) for title, suites in TABLES.items()]
    parts += [_figures(runs), _failures(runs), _versions(runs), _pairs(runs)]
    return "\n".join(line for part in parts for line in (*part, "") if part).strip() + "\n"


def _paper(title: str, suites: tuple[str, ...], runs: Sequence[Run]) -> list[str]:
    """One of the paper's tables: its rows, with their source, and ours. Per cent."""
    known = rows_of(suites)
    lines = [f"## {title.capitalize()} (per cent)", ""]
    lines += _head(["model", *(OURS[suite].title for suite in suites), "source"])
    lines += [_row([row.model, *(_plain(row.figures.get(suite)) for suite in suites), row.source]) for row in known]
    for run in runs:
        cells = [_percent(run.results.get(suite)) for suite in suites]
        if any(cells):
            lines.append(_row([f"`{run.agent}`", *cells, run.name]))
    nulls = [OURS[suite].null.value for suite in suites]
    lines.append(_row(["does nothing", *(_plain(None if v is None else 100 * v) for v in nulls), "null baselines"]))
    return lines


def _percent(result: SuiteResult | None) -> str:
    if result is None:
        return ""
    if result.mean is None:
        return "failed"
    part = f" (first {result.limit})" if result.limit else ""
    return f"{100 * result.mean:.1f}{part}"


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _figures(runs: Sequence[Run]) -> list[str]:
    columns = (
        "suite", "run", "n", "trials", "mean", "95 %", "pass@k", "pass^k", "null baseline", "overflow", "user", "judge",
        "search", "metric",
    )  # fmt: skip
    lines = ["## Figures", "", *_head(columns)]
    for suite, run, result in _each(runs):
        if result.mean is None:
            continue
        first = f", first {result.limit}" if result.limit else ""
        lines.append(
            _row([
                suite, run.name, str(result.n), str(result.trials), _three(result.mean),
                _interval(result.low, result.high), _last(result.pass_at), _last(result.pass_hat),
                _three(result.null_baseline), str(result.overflow), result.user, result.judge, result.search,
                result.metric + first,
            ])
        )  # fmt: skip
    return lines


def _failures(runs: Sequence[Run]) -> list[str]:
    lines = [_row([suite, run.name, result.reason]) for suite, run, result in _each(runs) if result.mean is None]
    return ["## Failed: no score", "", *_head(("suite", "run", "reason")), *lines] if lines else []


def _versions(runs: Sequence[Run]) -> list[str]:
    lines = ["## What was run", "", *_head(("suite", "run", "versions and hashes", "endpoint", "sampling", "finished"))]
    for suite, run, result in _each(runs):
        versions = ", ".join(f"{name} {value}" for name, value in result.versions.items())
        sampling = ", ".join(f"{name} {value}" for name, value in result.sampling.items() if value is not None)
        lines.append(_row([suite, run.name, versions, result.endpoint, sampling, result.finished]))
    return lines


def _pairs(runs: Sequence[Run]) -> list[str]:
    found = pairs(runs)
    if not found:
        return []
    lines = ["## Differences, paired by entry", ""]
    lines += _head(("suite", "after", "less", "n", "difference", "95 %", "detectable", "note"))
    for pair in found:
        lines.append(
            _row([
                pair.suite, pair.after, pair.before, "" if pair.n is None else str(pair.n), _three(pair.difference),
                _interval(pair.low, pair.high), _three(pair.detectable), pair.note,
            ])
        )  # fmt: skip
    return lines


def _each(runs: Sequence[Run]) -> Iterator[tuple[str, Run, SuiteResult]]:
    """Suite by suite, so that runs stand under each other."""
    for suite in dict.fromkeys(suite for run in runs for suite in run.results):
        for run in runs:
            if suite in run.results:
                yield suite, run, run.results[suite]


def _last(values: Sequence[float]) -> str:
    return f"{values[-1]:.3f}" if values else ""


def _three(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"[{low:.3f}, {high:.3f}]"


def _head(columns: Sequence[str]) -> list[str]:
    return [_row(columns), f"|{'---|' * len(columns)}"]


def _row(cells: Iterable[Any]) -> str:
    return f"| {' | '.join(str(cell).replace('|', '/').replace(chr(10), ' ') for cell in cells)} |"
