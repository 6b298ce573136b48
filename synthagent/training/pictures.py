"""The pictures of a training report. matplotlib is imported when something is drawn, and draws without a display."""

import io
import math
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from synthagent.errors import InputError
from synthagent.training.report import Curve, Evaluation, Gain, TrainingReport, smoothed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WAY_OUT = "pip install 'synthagent[report]', or leave them out with --no-pictures"


_SHARES = (-0.03, 1.03)
"""An axis from 0 to 1, with room for a line that lies on its edge."""


@dataclass(frozen=True)
class Theme:
    """Colours of one appearance."""

    paper: str
    ink: str
    faint: str
    lines: tuple[str, ...]


# Okabe and Ito, "Color Universal Design", 2008: told apart with any colour vision. Yellow and black are left out, and
# the dark blue is a light one on dark paper.
LIGHT = Theme("#ffffff", "#1d2433", "#d5d9e0", ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"))
DARK = Theme("#14171d", "#e4e7ec", "#3a404b", ("#56b4e9", "#ff8a3d", "#2fc79a", "#e39cc4", "#f0b429", "#8fa8ff"))


@dataclass(frozen=True)
class Plot:
    """One pair of axes: a few curves in one unit."""

    title: str
    curves: tuple[str, ...]
    share: bool = False
    """The axis goes from 0 to 1."""
    smooth: bool = False
    """A smoothed line over the faint one."""


@dataclass(frozen=True)
class Panel:
    """One picture of the steps."""

    name: str
    title: str
    plots: tuple[Plot, ...]


PANELS = (
    Panel(
        "learning", "Learning: what the episodes played in training earned",
        (
            Plot("reward", ("reward",), share=True, smooth=True),
            Plot("share with the full reward", ("perfect",), share=True, smooth=True),
            Plot("share that broke a rule", ("gate_violations",), share=True, smooth=True),
        ),
    ),
    Panel(
        "components", "Components of the reward",
        (
            Plot("sub-goals done", ("subgoals",), share=True, smooth=True),
            Plot("required interactions done", ("interactions",), share=True, smooth=True),
        ),
    ),
    Panel(
        "exploits", "Exploit monitor: cheap habits that a reward may breed",
        (
            Plot("refusals", ("refusals", "refusals_legal"), share=True),
            Plot("asked, and did nothing else", ("ask_all",), share=True),
        ),
    ),
    Panel(
        "health", "Health of the optimisation",
        (
            Plot("entropy (nats a token)", ("entropy",)),
            Plot("KL to the starting policy (a token)", ("kl",)),
            Plot("share of tokens clipped", ("clipped",)),
            Plot("groups with equal rewards (share)", ("zero_variance",), share=True),
            Plot("log-prob gap, generator and trainer", ("logprob_gap",)),
            Plot("gradient norm", ("grad_norm",)),
        ),
    ),
    Panel(
        "lengths", "Lengths of the episodes",
        (
            Plot("turns of the agent", ("turns",)),
            Plot("tokens that the policy wrote", ("written",)),
            Plot("share cut at a limit", ("truncated",), share=True),
        ),
    ),
    Panel(
        "throughput", "Throughput (tokens a second)",
        (
            Plot("written when generating", ("generated_per_second",)),
            Plot("computed when learning", ("learnt_per_second",)),
        ),
    ),
)  # fmt: skip
BLAME = "Blame: whose fault zeros and unscored episodes are (shares of all episodes)"
HELD_OUT = "Held-out reward over the run, with 95 % intervals clustered by family"
GAINS = "Held-out: last less first evaluation, paired by task"
TITLES = {"heldout": HELD_OUT, "gains": GAINS, **{panel.name: panel.title for panel in PANELS}, "blame": BLAME}
"""Picture -> title, in the order of the page."""
_BOTH = "Faint: step by step. Bold: the mean over the steps within a twentieth of the run on both sides."
CAPTIONS = {"learning": _BOTH, "components": _BOTH}


def drawn(report: TrainingReport, theme: Theme, names: Collection[str] = TITLES) -> dict[str, bytes]:
    """Name -> PNG, for those of the pictures that there is something to show in. Same figures, same bytes.

    Raises `InputError` where matplotlib is missing.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise InputError("pictures need matplotlib", way_out=WAY_OUT) from error
    with matplotlib.rc_context(_settings(theme)), warnings.catch_warnings():
        # Names of sets are anyone's: what the font lacks becomes a box, and is no warning.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        return {name: _png(figure) for name, figure in _figures(report, theme, names)}


def _figures(report: TrainingReport, theme: Theme, names: Collection[str]) -> Iterator[tuple[str, "Figure"]]:
    makers: dict[str, Any] = {}
    if report.evaluations:
        makers["heldout"] = lambda: _held_out(report.evaluations, theme)
    if any(gain.difference is not None for gain in report.gains):
        makers["gains"] = lambda: _gains(report.gains, theme)
    if report.step:
        for panel in PANELS:
            makers[panel.name] = lambda panel=panel: _panel(panel, report.step, report.curves, theme)
        makers["blame"] = lambda: _blame(report, theme)
    for name in TITLES:
        if name in makers and name in names:
            yield name, makers[name]()


def _panel(panel: Panel, steps: Sequence[int], curves: Mapping[str, Curve], theme: Theme) -> "Figure":
    figure, places = _canvas(len(panel.plots))
    for plot, axes in zip(panel.plots, places, strict=True):
        axes.set_title(plot.title)
        for color, name in zip(theme.lines, plot.curves, strict=False):
            _curve(axes, steps, curves[name], _label(name.replace("_", " ")), color, smooth=plot.smooth)
        if plot.share:
            axes.set_ylim(*_SHARES)
        else:  # from 0, so that a tremor does not look like a quake
            low, high = axes.get_ylim()
            axes.set_ylim(min(low, 0.0), high)
        if len(plot.curves) > 1:
            axes.legend()
    return figure


def _curve(axes: "Axes", steps: Sequence[int], curve: Curve, name: str, color: str, *, smooth: bool) -> None:
    # A single value is no line: it is drawn as a dot.
    mark = "o" if len(steps) < 3 else ""
    values = _numbers(curve)
    if not smooth:
        axes.plot(steps, values, color=color, marker=mark, label=name)
        return
    axes.plot(steps, values, color=color, marker=mark, alpha=0.35, linewidth=0.9, label=name)
    axes.plot(steps, _numbers(smoothed(curve)), color=color, linewidth=2, label="smoothed")


def _blame(report: TrainingReport, theme: Theme) -> "Figure":
    figure, (axes,) = _canvas(1)
    axes.set_ylim(*_SHARES)
    for place, (cause, curve) in enumerate(report.blame.items()):
        _curve(axes, report.step, curve, _label(cause), theme.lines[place % len(theme.lines)], smooth=False)
    axes.plot(report.step, _numbers(report.curves["unscored"]), color=theme.ink, linestyle=":", label="unscored in all")
    axes.legend()
    return figure


def _held_out(evaluations: Sequence[Evaluation], theme: Theme) -> "Figure":
    figure, (axes,) = _canvas(1)
    groups = list(dict.fromkeys(one.group for one in evaluations))
    # Sets that were evaluated at one step stand side by side, not on top of each other.
    apart = 0.006 * max((one.step for one in evaluations), default=0) or 0.02
    for place, group in enumerate(groups):
        own = [one for one in evaluations if one.group == group and one.mean is not None]
        steps = [one.step + apart * (place - (len(groups) - 1) / 2) for one in own]
        means = _numbers([one.mean for one in own])
        color = theme.lines[place % len(theme.lines)]
        axes.errorbar(
            steps, means, yerr=_bars([(one.mean, one.low, one.high) for one in own]), color=color, marker="o",
            capsize=4, label=_label(group),
        )  # fmt: skip
    axes.set_ylim(*_SHARES)
    axes.legend()
    return figure


def _gains(gains: Sequence[Gain], theme: Theme) -> "Figure":
    from matplotlib.ticker import AutoLocator

    figure, (axes,) = _canvas(1)
    known = [gain for gain in gains if gain.difference is not None]
    rows = list(range(len(known)))
    axes.axvline(0, color=theme.ink, linewidth=0.8)
    for row, gain in zip(rows, known, strict=True):
        if gain.detectable is not None:
            axes.plot([-gain.detectable, gain.detectable], [row, row], color=theme.faint, linewidth=14, zorder=1)
        axes.errorbar(
            _numbers([gain.difference]), [row], xerr=_bars([(gain.difference, gain.low, gain.high)]), capsize=5,
            marker="o", color=theme.lines[0], zorder=2,
        )  # fmt: skip
    figure.subplots_adjust(left=0.3)
    axes.xaxis.set_major_locator(AutoLocator())
    axes.set_yticks(rows, [_label(gain.group) for gain in known])
    axes.set_ylim(len(known) - 0.4, -0.6)
    axes.set_xlabel("difference in mean reward; grey: too small to be found in four cases of five")
    return figure


# ---- matplotlib


def _canvas(plots: int) -> "tuple[Figure, list[Axes]]":
    """A figure with so many axes, three in a row at most. No pyplot: it keeps figures, and looks for a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    columns = min(plots, 3)
    rows = math.ceil(plots / columns)
    width, height = 9.6, 2.6 * rows + (0.5 if plots == 1 else 0)
    figure = Figure(figsize=(width, height), dpi=110)
    FigureCanvasAgg(figure)
    # In inches, not by matplotlib's own layout, which draws everything twice.
    figure.subplots_adjust(
        left=0.5 / width, right=1 - 0.1 / width, bottom=0.5 / height, top=1 - 0.3 / height, wspace=0.26, hspace=0.45
    )
    found = [figure.add_subplot(rows, columns, place + 1) for place in range(plots)]
    for axes in found:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("step")
    return figure, found


def _settings(theme: Theme) -> dict[Any, Any]:
    return {
        # Of names nobody should make formulas.
        "text.parse_math": False, "font.family": ["DejaVu Sans"], "font.size": 9, "axes.titlesize": 9.5,
        "figure.facecolor": theme.paper, "axes.facecolor": theme.paper, "savefig.facecolor": theme.paper,
        "text.color": theme.ink, "axes.labelcolor": theme.ink, "axes.titlecolor": theme.ink,
        "xtick.color": theme.ink, "ytick.color": theme.ink, "axes.edgecolor": theme.faint,
        "grid.color": theme.faint, "grid.linewidth": 0.6, "axes.grid": True, "axes.axisbelow": True,
        "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False, "lines.linewidth": 1.6,
    }  # fmt: skip


def _png(figure: "Figure") -> bytes:
    stream = io.BytesIO()
    # Without metadata: else the library's version is in the bytes.
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def _numbers(values: Sequence[float | None]) -> list[float]:
    """None becomes a gap."""
    return [math.nan if value is None else value for value in values]


def _bars(rows: Sequence[tuple[float | None, float | None, float | None]]) -> list[list[float]]:
    """Distances from means to the ends of their intervals; an end that is not known has no bar."""
    known = [
        (0.0, 0.0) if mean is None or low is None or high is None else (mean - low, high - mean)
        for mean, low, high in rows
    ]
    return [[below for below, _ in known], [above for _, above in known]]


def _label(name: str) -> str:
    """A name as a legend takes it: short, printable, and not hidden by matplotlib for a leading underscore."""
    plain = "".join(sign if sign.isprintable() else "?" for sign in name)
    return (plain if len(plain) <= 40 else f"{plain[:39]}…") if not plain.startswith("_") else f" {plain[:39]}"
