"""report and score: what a run came to."""

from collections.abc import Sequence
from pathlib import Path

from synthagent.cli.console import print_json, print_table, progress, say
from synthagent.evaluation.report import AgentLine, Comparison, compare, lines
from synthagent.schema.scores import Scored
from synthagent.scoring.reward import reward_hash
from synthagent.scoring.scorer import score
from synthagent.simulation.episode import Stage, prepare
from synthagent.storage.run_folder import RunFolder

COLUMNS = tuple(AgentLine.model_fields)


def print_report(rows: Sequence[AgentLine]) -> None:
    """The table of a run: one line an agent."""
    print_table([row.model_dump() for row in rows], COLUMNS)


def run_report(path: Path, other: Path | None, json: bool) -> None:
    """Prints a run's table, and with another run the paired differences."""
    with RunFolder.open(path) as folder:
        rows = lines(folder.index.rows())
        differences: list[Comparison] = []
        if other is not None:
            with RunFolder.open(other) as second:
                differences = compare(folder.index.rows(), second.index.rows())
    if json:
        agents = [row.model_dump(mode="json") for row in rows]
        compared = [row.model_dump(mode="json") for row in differences]
        print_json(agents if other is None else {"agents": agents, "comparison": compared})
        return
    print_report(rows)
    if other is not None:
        title = f"reward in {path} less reward in {other}, paired by task"
        print_table([row.model_dump() for row in differences], tuple(Comparison.model_fields), title)


def run_score(path: Path, json: bool) -> None:
    """Scores every stored episode again by replaying its calls, and appends the scores."""
    changed = count = unscored = 0
    scored: list[Scored] = []
    with RunFolder.open(path, write=True) as folder:
        tasks = {task.id: task for task in folder.tasks()}
        old = {
            (line.agent, line.score.task_id, line.score.sample, line.score.rubric_id): line.score
            for line in folder.scores()
        }
        stage: Stage | None = None
        with progress("scoring", len(folder.done())) as tick:
            for episode in folder.episodes():
                if stage is None or stage.task.id != episode.task_id:
                    stage = prepare(tasks[episode.task_id])
                new = score(stage, episode)
                count += 1
                if old.get((episode.agent, new.task_id, new.sample, new.rubric_id)) != new:
                    changed += 1
                    folder.add_score(episode.agent, new)
                if isinstance(new, Scored):
                    scored.append(new)
                else:
                    unscored += 1
                tick(f"({changed} changed)")
    figures = {"episodes": count, "changed": changed, "unscored": unscored, "reward_hash": reward_hash(scored)}
    if json:
        print_json(figures)
    else:
        say(f"{count} episodes scored again, {changed} scores changed, {unscored} unscored")
        say(f"reward hash {figures['reward_hash']}")
