"""report: what a run came to."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synthagent.cli.console import print_json, print_table, say
from synthagent.errors import InputError
from synthagent.evaluation.flips import Changes, Flips, Scoring, changes
from synthagent.evaluation.report import AgentLine, BlameLine, Comparison, blames, compare, lines
from synthagent.schema.record import Record
from synthagent.schema.tasks import play_id_of
from synthagent.storage.run_folder import RunFolder
from synthagent.storage.tables import EpisodeRow

COLUMNS = tuple(AgentLine.model_fields)
_SHOWN = 20
"""Flipping criteria printed; all of them go into --json."""


def print_report(rows: Sequence[AgentLine]) -> None:
    """The table of a run: one line an agent."""
    print_table([row.model_dump() for row in rows], COLUMNS, turn=True)


def run_report(path: Path, other: Path | None, json: bool, *, blame: bool = False, pictures: bool = True) -> None:
    """Prints a run's table, who is to blame for what it lost, and what differs from another run.

    A training folder has a report of its own; `pictures` means something to it alone.
    """
    from synthagent.training.report import is_training

    if is_training(path):
        from synthagent.cli.training_report import run_training_report

        if other is not None or blame:
            option = "--compare" if other is not None else "--blame"
            raise InputError(f"{option} means nothing to a training run", where=str(path), way_out="leave it out")
        run_training_report(path, json, pictures)
        return
    with RunFolder.open(path) as folder:
        rows = lines(folder.index.rows())
        blamed = blames(folder.index.rows())
        found = _compared(folder, other) if other is not None else None
    if json:
        print_json(_as_json(rows, blamed if blame else None, found))
        return
    print_report(rows)
    if blame:
        _print_blames(blamed)
    if found is not None:
        _print_comparison(path, other, *found)


def _as_json(
    rows: Sequence[AgentLine], blamed: Sequence[BlameLine] | None, found: tuple[Sequence[Comparison], Changes] | None
) -> Any:
    agents = _plain(rows)
    if blamed is None and found is None:
        return agents
    result: dict[str, Any] = {"agents": agents}
    if blamed is not None:
        result["blame"] = _plain(blamed)
    if found is not None:
        result |= {"comparison": _plain(found[0]), "changes": found[1].model_dump(mode="json")}
    return result


def _plain(records: Sequence[Record]) -> list[Any]:
    return [record.model_dump(mode="json") for record in records]


def _compared(folder: RunFolder, path: Path) -> tuple[list[Comparison], Changes]:
    with RunFolder.open(path) as other:
        mine, theirs = ({task.id: task for task in one.tasks()} for one in (folder, other))
        # The same play under another rubric is another task, and still a pair.
        plays = {id_: play_id_of(task) for id_, task in (mine | theirs).items()}

        def renamed(row: EpisodeRow) -> EpisodeRow:
            return row.model_copy(update={"task_id": plays.get(row.task_id, row.task_id)})

        differences = compare(map(renamed, folder.index.rows()), map(renamed, other.index.rows()))
        return differences, changes(Scoring(mine, folder.scores()), Scoring(theirs, other.scores()))


def _print_blames(blamed: Sequence[BlameLine]) -> None:
    if not blamed:
        say("no zeros, and nothing unscored")
        return
    print_table([line.model_dump() for line in blamed], tuple(BlameLine.model_fields), "zeros and unscored")


def _print_comparison(path: Path, other: Path | None, differences: Sequence[Comparison], found: Changes) -> None:
    title = f"reward in {path} less reward in {other}, paired by task"
    print_table([row.model_dump() for row in differences], tuple(Comparison.model_fields), title)
    if found.flips:
        rows = [flip.model_dump() for flip in found.flips[:_SHOWN]]
        print_table(rows, tuple(Flips.model_fields), "verdicts that flip, criterion by criterion")
    if len(found.flips) > _SHOWN:
        say(f"and {len(found.flips) - _SHOWN} more: --json has them all")
    say(
        f"{found.episodes} episodes in both, {found.rewards_changed} rewards changed, {found.scored_now} scored only "
        f"here, {found.unscored_now} only there; {found.verdicts} verdicts compared"
    )
