"""A training report as one HTML file that needs nothing else: pictures inside, light and dark, no script."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from synthagent.schema.record import Record
from synthagent.training.pictures import CAPTIONS, TITLES
from synthagent.training.report import Evaluation, Gain, TrainingReport, Trend, flat

_ABOUT = ("trainer", "command", "seed", "steps", "version", "tasks_sha256")


def page(report: TrainingReport, light: Mapping[str, bytes], dark: Mapping[str, bytes]) -> str:
    """The page. `light` and `dark`: name -> PNG, of one set of pictures. All text is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("synthagent", "training"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    values: dict[str, Any] = {
        "report": report,
        "shown": shown,
        "titles": TITLES,
        "captions": CAPTIONS,
        "panels": [name for name in TITLES if name not in ("heldout", "gains")],
        "pictures": {name: {"light": _inline(light[name]), "dark": _inline(dark[name])} for name in light},
        "about": [(name.replace("_", " "), str(getattr(report, name))) for name in _ABOUT],
        "gains": _table(Gain, report.gains),
        "evaluations": _table(Evaluation, report.evaluations),
        "trends": _table(Trend, report.trends),
        "recipe": flat(report.recipe),
    }
    return environment.get_template("report.html.j2").render(values)


def shown(value: object) -> str:
    """A figure as people read it: three digits that count, and a dash for none."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.0f}" if 1000 <= abs(value) < 1e15 else f"{value:.3g}"
    return str(value)


def _table(kind: type[Record], rows: Sequence[Record]) -> tuple[list[str], list[list[object]]]:
    names = list(kind.model_fields)
    return [name.replace("_", " ") for name in names], [[getattr(row, name) for name in names] for row in rows]


def _inline(png: bytes) -> str:
    return base64.b64encode(png).decode()
