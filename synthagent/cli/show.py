"""show: a task or an episode, as text."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from synthagent.cli.console import console, print_json, print_table
from synthagent.errors import InputError
from synthagent.schema.checks import operator_of
from synthagent.schema.episodes import AgentEvent, Episode, FormEvent, ToolEvent, UserEvent
from synthagent.schema.record import dump
from synthagent.schema.scores import Score, Scored, Verdict
from synthagent.schema.tasks import AskStep, CallStep, Criterion, SayStep, Task
from synthagent.simulation.agent import compact, tools_for
from synthagent.storage.run_folder import RunFolder
from synthagent.storage.task_file import read_tasks

_NARROWEST = 20
"""Characters that a line has at least for what it says."""


def run_show(path: Path, task_id: str | None, agent: str | None, sample: int, json: bool) -> None:
    """Shows a task file or a run folder; with an id, one task or one episode whole."""
    if path.is_dir():
        with RunFolder.open(path) as folder:
            if task_id is None:
                _list_episodes(folder, agent, json)
            else:
                _show_episode(folder, task_id, agent, sample, json)
        return
    if task_id is None:
        _list_tasks(path, json)
        return
    task = _find(read_tasks(path), task_id, path)
    if json:
        print_json(dump(task))
    else:
        print_task(console(), task)


def _find(tasks: Iterator[Task], task_id: str, path: Path) -> Task:
    for task in tasks:
        if task.id.startswith(task_id):
            return task
    raise InputError(f"no task '{task_id}'", where=str(path), way_out=f"synthagent show {path}")


def _list_tasks(path: Path, json: bool) -> None:
    rows = [
        {
            "id": task.id,
            "domain": task.provenance.domain,
            "goals": ", ".join(task.provenance.templates),
            "twin": task.provenance.twin,
            "legal": task.provenance.legal,
            "features": ", ".join(task.provenance.features),
            "facts": len(task.hidden.facts),
            "instruction": task.brief.instruction,
        }
        for task in read_tasks(path)
    ]
    if json:
        print_json(rows)
    else:
        print_table(rows, ("id", "domain", "goals", "twin", "legal", "features", "facts", "instruction"))


def _list_episodes(folder: RunFolder, agent: str | None, json: bool) -> None:
    columns = ("agent", "task_id", "sample", "stop", "reward", "gate", "n", "i", "turns", "malformed", "seconds")
    rows = [
        {name: getattr(row, name) for name in columns}
        for row in folder.index.rows()
        if agent is None or row.agent == agent
    ]
    if json:
        print_json(rows)
    else:
        print_table(rows, columns)


def _show_episode(folder: RunFolder, task_id: str, agent: str | None, sample: int, json: bool) -> None:
    task = _find(folder.tasks(), task_id, folder.path)
    keys = [
        (row.agent, row.task_id, row.sample)
        for row in folder.index.rows()
        if row.task_id == task.id and row.sample == sample and agent in (None, row.agent)
    ]
    if not keys:
        raise InputError(f"no episode of task '{task_id}'", where=str(folder.path))
    out = console()
    found: list[dict[str, Any]] = []
    for key in keys:
        episode = folder.load_episode(*key)
        score = _score_of(folder, key)
        if json:
            found.append({"episode": episode.model_dump(mode="json"), "score": score and score.model_dump(mode="json")})
        else:
            print_episode(out, task, episode, score)
    if json:
        print_json(found)


def _score_of(folder: RunFolder, key: tuple[str, str, int]) -> Score | None:
    found = None
    for line in folder.scores():
        if (line.agent, line.score.task_id, line.score.sample) == key:
            found = line.score
    return found


def print_task(out: Console, task: Task) -> None:
    """A whole task: what the agent sees, what the user knows, how it is scored, and a solution."""
    note = task.provenance
    out.rule(f"task {task.id}  family {task.family}")
    _hung(out, "", f"[bold]Persona[/] {escape(note.persona)} [dim]({task.hidden.disposition})[/]", more=2)
    legal, features = "yes" if note.legal else "no", ", ".join(note.features) or "-"
    _hung(out, "", f"[bold]Goals[/] {escape(', '.join(note.templates))}", more=2)
    out.print(f"[bold]Twin[/] {note.twin or '-'}  [bold]legal[/] {legal}  [bold]features[/] {features}")
    out.print("\n[bold green]What the agent sees[/]")
    _hung(out, "  ", f"{escape(task.brief.instruction)}", more=2)
    for rule in task.brief.rules:
        _hung(out, "  ", f"[yellow]rule[/] {escape(rule)}", more=2)
    for tool in tools_for(task.brief, "text"):
        _hung(out, "  ", f"[cyan]tool[/] {escape(compact(tool))}", more=2)
    out.print("\n[bold green]What only the user knows[/]")
    for fact in task.hidden.facts:
        _hung(out, "  ", f"{fact.id}: {escape(fact.text)} [dim]{escape(str(fact.value))}[/]", more=2)
    for request in task.hidden.requests:
        _hung(out, "  ", f"{request.id}: {escape(request.text)}", more=2)
    out.print(f"\n[bold green]The world[/] at {task.world.now}")
    for name, rows in task.world.rows.items():
        _hung(out, "  ", f"{name}: {len(rows)} rows, such as {escape(repr(list(rows[0]) if rows else []))}", more=2)
    out.print("\n[bold green]The rubric[/]")
    for kind, criteria in _kinds(task):
        for criterion in criteria:
            _hung(out, "  ", f"{kind} {criterion.id}: {escape(criterion.text)} [dim]{_operator(criterion)}[/]", more=2)
    out.print("\n[bold green]A solution[/]")
    for number, step in enumerate(task.reference):
        _hung(out, "  ", f"{number}. {_step(step)}", more=2)


def _kinds(task: Task) -> list[tuple[str, tuple[Criterion, ...]]]:
    rubric = task.rubric
    return [("forbidden", rubric.forbidden), ("sub-goal", rubric.subgoals), ("interaction", rubric.interactions)]


def _operator(criterion: Criterion) -> str:
    return operator_of(criterion.check) if criterion.check is not None else "judge"


def _step(step: AskStep | CallStep | SayStep) -> str:
    match step:
        case AskStep():
            return f"ask for {step.ask}: {escape(step.text)}"
        case CallStep():
            return f"call {step.call} {escape(orjson.dumps(step.args).decode())}"
        case SayStep():
            return f"say: {escape(step.say)}"


def print_episode(out: Console, task: Task, episode: Episode, score: Score | None) -> None:
    """A trajectory, event by event, and the verdicts with the events that prove them."""
    out.rule(f"{episode.agent} on task {task.id}, try {episode.sample}")
    _hung(out, "[dim]user[/]      ", escape(task.brief.instruction))
    for number, event in enumerate(episode.events):
        for who, line in _event(event):
            _hung(out, f"[dim]{number:>3}[/] {who}", line)
    out.print(
        f"[dim]stop[/] {episode.stop.value}  [dim]turns[/] {episode.turns}  [dim]malformed[/] {episode.malformed}"
    )
    if episode.failure:
        out.print(
            f"[red]failed[/] ({episode.failure.blame}) {escape(episode.failure.detail or episode.failure.reason)}"
        )
    if isinstance(score, Scored):
        i = "-" if score.i is None else f"{score.i:.2f}"
        how = "" if score.formula == "mean" else f" ({score.formula})"
        whose = f"  [red]blame: {score.blame}, {escape(score.reason)}[/]" if score.blame else ""
        parts = f"gate {score.gate} x sub-goals {score.n:.2f}, interactions {i}"
        _hung(out, "", f"[bold]reward {score.reward:.3f}[/] = {parts}{how}{whose}", more=2)
        texts = {c.id: c.text for _, criteria in _kinds(task) for c in criteria}
        groups = (("forbidden", score.forbidden), ("sub-goal", score.subgoals), ("interaction", score.interactions))
        for kind, verdicts in groups:
            for verdict in verdicts:
                text = escape(texts.get(verdict.id, ""))
                _hung(out, "  ", f"{_mark(kind, verdict)} {kind} {verdict.id}: {text}{_proof(verdict)}", more=2)
    elif score is not None:
        _hung(out, "", f"[red]unscored[/] (blame: {score.blame}) {score.reason} {escape(score.detail[:300])}", more=2)


def _hung(out: Console, head: str, body: str, more: int = 0) -> None:
    """Prints a line whose continuations stand under its body, `more` further in."""
    first = Text.from_markup(head)
    left = len(first) + more
    lines = Text.from_markup(body).wrap(out, max(out.width - left, _NARROWEST), overflow="fold")
    for number, line in enumerate(lines):
        line.rstrip()
        out.print(Text.assemble(first if number == 0 else " " * left, line))


def _event(event: Any) -> Iterator[tuple[str, str]]:
    """Who, and what."""
    match event:
        case AgentEvent():
            if event.text:
                yield "[green]agent[/]     ", escape(event.text)
            for call in event.calls:
                yield "[green]agent[/]     ", f"[cyan]{escape(call.name)}[/] {escape(call.arguments)}"
        case UserEvent():
            told = (
                f" [dim]({event.heard}; told {', '.join(event.disclosed)})[/]"
                if event.disclosed
                else f" [dim]({event.heard})[/]"
            )
            yield "[magenta]user[/]      ", f"{escape(event.text)}{told}"
        case ToolEvent():
            text = (
                event.response
                if len(event.response) <= 400
                else f"{event.response[:400]}... ({len(event.response)} characters)"
            )
            yield "[blue]tool[/]      ", escape(text)
        case FormEvent():
            yield "[red]malformed[/] ", escape(event.error)


def _mark(kind: str, verdict: Verdict) -> str:
    good = verdict.holds != (kind == "forbidden")
    word = ("broken" if verdict.holds else "kept") if kind == "forbidden" else ("done" if verdict.holds else "missed")
    return f"[{'green' if good else 'red'}]{word}[/]"


def _proof(verdict: Verdict) -> str:
    said = ["by the judge"] if verdict.by == "judge" else []
    if verdict.events:
        said.append(f"events {', '.join(map(str, verdict.events))}")
    return f" [dim]({'; '.join(said)})[/]" if said else ""
