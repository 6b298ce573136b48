"""What a task set shares with an evaluation set: a model that trains on it would be tested on what it has seen.

Looks for runs of thirteen words (the usual measure since Brown et al. 2020, appendix C), for identifiers, for tools and
for whole tool schemas; in tasks, and in our own prompts, which are the source of every task.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import orjson

from synthagent import prompts
from synthagent.errors import InputError
from synthagent.schema.tasks import AskStep, SayStep, Task
from synthagent.synthesis.overlap import grams, hashed, words

Kind = Literal["text", "identifier", "schema", "tool"]
"""`tool`: a tool's name alone. It is told, but fails nothing: there are only so many ways to say `get_user_details`."""
FAILING: frozenset[Kind] = frozenset({"text", "identifier", "schema"})
N = 13
"""Words of a run."""
_MOST_BYTES = 64 << 20
"""Bytes of a file that is read; larger ones are refused rather than passed over."""
_IDENTIFIER = re.compile(
    r"(?<![\w-])(?:#?[A-Z]{1,5}[-_]?\d{3,}|#[A-Z]\d{4,}|[a-z]+(?:_[a-z]+)+_\d{3,}|[\w.+-]+@[\w-]+\.\w{2,}|\d{8,})(?![\w-])"
)
"""#W1234567, HAT123, mia_li_3668, somebody@example.com, 8823412345."""
_TOOL = re.compile(r'"name"\s*:\s*"([A-Za-z_][\w.-]{2,63})"|^\s*(?:async\s+)?def\s+([a-z_]\w{2,63})\s*\(', re.M)


@dataclass(frozen=True, slots=True)
class Overlap:
    """One thing that both sides hold."""

    kind: Kind
    task: str
    """The task's id, or the prompt's name."""
    field: str
    """Where in it."""
    text: str
    """What is shared, in short."""
    seen: str
    """Where on the other side: file and line."""


@dataclass
class Index:
    """What the evaluation sets hold, by hash, with the place where it was first seen."""

    runs: dict[int, str] = field(default_factory=dict)
    identifiers: dict[str, str] = field(default_factory=dict)
    tools: dict[str, str] = field(default_factory=dict)
    schemas: dict[int, str] = field(default_factory=dict)
    files: int = 0
    skipped: list[str] = field(default_factory=list)
    """Files that hold no text."""

    def read(self, path: Path) -> None:
        """Adds a file, or every file under a folder. Raises `InputError` for what is not there or cannot be read."""
        if not path.exists():
            raise InputError("there is no such file or folder", where=str(path))
        for file in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
            if any(part.startswith(".") for part in file.relative_to(path).parts):
                continue
            self._file(file)

    def _file(self, path: Path) -> None:
        try:
            if path.stat().st_size > _MOST_BYTES:
                raise InputError(f"larger than {_MOST_BYTES >> 20} MB: split it", where=str(path))
            data = path.read_bytes()
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error
        if b"\0" in data[:4096]:
            self.skipped.append(str(path))
            return
        self.files += 1
        self.add(data.decode("utf-8", "replace"), str(path))

    def add(self, text: str, where: str) -> None:
        """Adds a text, line by line and as a whole, so that a run may go over a line's end."""
        for number, line in enumerate(_unescaped(text).splitlines(), start=1):
            place = f"{where}:{number}"
            for run in _runs(line):
                self.runs.setdefault(run, place)
            for found in _IDENTIFIER.findall(line):
                self.identifiers.setdefault(found, place)
        for run in _runs(_unescaped(text)):
            self.runs.setdefault(run, where)
        for match in _TOOL.finditer(text):
            self.tools.setdefault(match[1] or match[2], where)
        for schema in _schemas(text):
            self.schemas.setdefault(schema, where)


def _unescaped(text: str) -> str:
    """JSON's own escapes would glue words together."""
    return text.replace("\\n", "\n").replace('\\"', '"').replace("\\t", " ")


def _runs(text: str) -> Iterator[int]:
    """Hashes of every run of thirteen words; a shorter text has none."""
    return (hashed(gram) for gram in grams(text, N) if len(gram) == N)


def _schemas(text: str) -> Iterator[int]:
    """Tools with their parameters, wherever a JSON value of the text holds them."""
    for chunk in (text, *text.splitlines()):
        try:
            value = orjson.loads(chunk)
        except orjson.JSONDecodeError:
            continue
        yield from (shape for shape in _tools_in(value) if shape is not None)
        if chunk is text:
            return


def _tools_in(value: Any) -> Iterator[int | None]:
    waiting = [value]
    for item in waiting:  # it grows meanwhile
        if isinstance(item, dict):
            parameters = item.get("parameters", item.get("input_schema", item.get("inputSchema")))
            if isinstance(item.get("name"), str) and isinstance(parameters, dict):
                properties = parameters.get("properties")
                yield _shape(item["name"], properties if isinstance(properties, dict) else {})
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item


def _shape(name: str, properties: Mapping[str, Any]) -> int | None:
    """A tool by its name and the names of its parameters; None for one without any, which says nothing."""
    return hashed([name, *sorted(properties)]) if properties else None


def overlaps(tasks: Iterable[Task], index: Index, allowed: Iterable[str] = ()) -> Iterator[Overlap]:
    """Everything that tasks and our prompts share with the index, one finding a place.

    `allowed`: phrases to pass over.
    """
    passed = [" ".join(words(phrase)) for phrase in allowed if phrase.strip()]
    for name in [*prompts.names("synthesis"), *prompts.names("simulation")]:
        yield from _in_text(name, "prompt", prompts.source(name), index, passed)
    for task in tasks:
        for field_, text in texts(task):
            yield from _in_text(task.id, field_, text, index, passed)
        for tool in task.brief.tools:
            if tool.name in task.world.ends_episode:
                continue
            shape = _shape(tool.name, tool.function.parameters.get("properties", {}))
            if " ".join(words(tool.name)) in passed:
                continue
            if shape in index.schemas and shape is not None:
                yield Overlap("schema", task.id, f"brief.tools.{tool.name}", tool.name, index.schemas[shape])
            elif tool.name in index.tools:
                yield Overlap("tool", task.id, f"brief.tools.{tool.name}", tool.name, index.tools[tool.name])


def _in_text(task: str, field_: str, text: str, index: Index, passed: list[str]) -> Iterator[Overlap]:
    for gram in grams(text, N):
        run = hashed(gram) if len(gram) == N else None
        if run in index.runs and run is not None:
            said = " ".join(gram)
            if not any(phrase in said or said in phrase for phrase in passed):
                yield Overlap("text", task, field_, said, index.runs[run])
                break  # one run is enough to know this place
    for found in dict.fromkeys(_IDENTIFIER.findall(text)):
        if found in index.identifiers and " ".join(words(found)) not in passed:
            yield Overlap("identifier", task, field_, found, index.identifiers[found])


def texts(task: Task) -> Iterator[tuple[str, str]]:
    """(where, text) of everything a task says in words or keeps as a value."""
    yield "brief.instruction", task.brief.instruction
    for number, rule in enumerate(task.brief.rules):
        yield f"brief.rules.{number}", rule
    for tool in task.brief.tools:
        yield f"brief.tools.{tool.name}", tool.function.description
    yield "hidden.goal", task.hidden.goal
    for fact in task.hidden.facts:
        yield f"hidden.facts.{fact.id}", f"{fact.text} {fact.value}"
    for number, line in enumerate((*task.hidden.escape_lines, *(request.text for request in task.hidden.requests))):
        yield f"hidden.lines.{number}", line
    for name, rows in task.world.rows.items():
        yield f"world.rows.{name}", " ".join(str(value) for row in rows for value in row if value is not None)
    for name, text in task.world.grounding.items():
        yield f"world.grounding.{name}", text
    for number, step in enumerate(task.reference):
        if isinstance(step, SayStep):
            yield f"reference.{number}", step.say
        elif isinstance(step, AskStep):
            yield f"reference.{number}", step.text
    for number, text in enumerate(task.workflow):
        yield f"workflow.{number}", text


def hits(found: Iterable[Overlap]) -> dict[str, int]:
    """Kind -> how many."""
    return dict(Counter(overlap.kind for overlap in found))
