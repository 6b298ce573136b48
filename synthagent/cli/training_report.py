"""report, of a training folder: figures on stdout, pictures and a page into the folder."""

from pathlib import Path

from synthagent.cli.console import print_json, print_table, say
from synthagent.errors import RunFolderError
from synthagent.schema.record import Record
from synthagent.storage.atomic import replacing
from synthagent.training.report import Evaluation, Gain, TrainingReport, Trend, read, report
from synthagent.training.report_page import page, shown

PAGE, PICTURES = "report.html", "pictures"


def run_training_report(folder: Path, json: bool, pictures: bool) -> None:
    """Prints what a training run came to and, if wanted, writes `report.html` and `pictures/` into its folder.

    Figures come first: they need no matplotlib, and are there when the pictures fail.
    """
    found = report(read(folder))
    if json:
        print_json(found.model_dump(mode="json"))
    else:
        _print(found)
    if pictures:
        _write(folder, found)
        say(f"wrote {folder / PAGE}")


def _print(found: TrainingReport) -> None:
    say(f"{found.trainer}, {found.policy}: {found.steps} steps")
    _table(Gain, found.gains, "held out, before and after")
    _table(Evaluation, found.evaluations, "held-out evaluations")
    _table(Trend, found.trends if found.steps else (), "figures of the steps: first and last tenth, and what they span")


def _table(kind: type[Record], rows: tuple[Record, ...], title: str) -> None:
    if not rows:
        return
    columns = tuple(kind.model_fields)
    # Three decimals would make 0 of a learning rate.
    cells = [{name: shown(getattr(row, name)) for name in columns} for row in rows]
    print_table(cells, columns, title, turn=True)


def _write(folder: Path, found: TrainingReport) -> None:
    from synthagent.training.pictures import DARK, LIGHT, drawn

    light, dark = drawn(found, LIGHT), drawn(found, DARK)
    try:
        (folder / PICTURES).mkdir(exist_ok=True)
    except OSError as error:
        raise RunFolderError(f"{folder / PICTURES}: cannot be made ({error.strerror})") from error
    for name, png in light.items():
        _replace(folder / PICTURES / f"{name}.png", png)
    _replace(folder / PAGE, page(found, light, dark).encode())


def _replace(path: Path, data: bytes) -> None:
    with replacing(path) as write:
        write(data)
