"""An episode or a run's report as one HTML file without server, script and network: to send to somebody, or to keep."""

from functools import cache
from typing import TYPE_CHECKING, Any

import orjson

from synthagent.schema.record import Json

if TYPE_CHECKING:
    from jinja2 import Template

_HIDDEN = {
    code: f"⟨U+{code:04X}⟩"
    for code in (*range(9), 11, 12, *range(14, 32), *range(127, 160), 0x200E, 0x200F, 0x061C, 0x2028, 0x2029, 0xFEFF,
                 *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}  # fmt: skip
"""Characters that nobody sees, or that turn the text around: shown by their numbers."""


def visible(value: object) -> str:
    """Text with what would stay unseen made visible."""
    text = "" if value is None else value if isinstance(value, str) else orjson.dumps(value).decode()
    return text.replace("\r\n", "\n").replace("\r", "⟨U+000D⟩").translate(_HIDDEN)


def page(found: Json, title: str) -> str:
    """The HTML of an episode, as `episodes.whole` gives it. Every text is escaped; there is no script."""
    return _template("episode").render(title=title, found=found, events=found["episode"]["events"], bare=_bare)


def report(run: Json, versus: Json | None) -> str:
    """The HTML of a run's report: its summary and figures, and its comparison with another (`figures.compared`)."""
    title = f"Run {run['name']}" + (f" beside {versus['left']['name']}" if versus else "")
    return _template("report").render(title=title, run=run, versus=versus)


def _bare(response: str) -> str:
    """A response set out over lines if it is JSON, unchanged otherwise."""
    try:
        value: Any = orjson.loads(response)
    except orjson.JSONDecodeError:
        return response
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() if isinstance(value, dict | list) else response


@cache
def _template(name: str) -> "Template":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("synthagent.viewer", "static"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["visible"] = visible
    return environment.get_template(f"{name}.html.j2")
