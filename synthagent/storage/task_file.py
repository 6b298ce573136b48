"""Task files: JSONL, one task a line. They come from models, hands and strangers; every fault names its place."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from pydantic import ValidationError

from synthagent.errors import InputError
from synthagent.schema.record import Json, dump, line
from synthagent.schema.tasks import SCHEMA, Task, identified
from synthagent.storage.atomic import replacing
from synthagent.storage.complaints import complaints, dotted

LONGEST_LINE = 64 << 20
"""Bytes of the longest line that is read."""
DEEPEST = 64
"""Levels of nesting: real tasks have some fifteen, and canonical JSON is written by recursion."""
MOST_VALUES = 1_000_000
"""JSON values in one task: a line may be 64 MB of `[5,5,5,…` and each a fault of its own."""
LARGEST_INTEGER = 2**53 - 1
"""Beyond it RFC 8785 has no bytes to hash."""

Migration = Callable[[dict[str, Any]], dict[str, Any]]
"""Turns the data of one schema version into the next one's, `schema` included."""

MIGRATIONS: Mapping[str, Migration] = {}
"""Older schema version -> its migration. Version 1 is the first."""


def read_tasks(
    path: Path, *, fix_ids: bool = False, migrations: Mapping[str, Migration] = MIGRATIONS
) -> Iterator[Task]:
    """The tasks of a file in order, one in memory at a time, with ids filled in where they were left empty.

    `fix_ids` takes the ids anew from the content instead of refusing those that do not match. Blank lines are
    skipped. Raises `InputError` naming file, line and field, when the reading gets there: for lines that are too
    long, not JSON or not a task, for unknown schema versions, and for ids that repeat or do not match.
    """
    seen: dict[str, int] = {}
    for number, raw in _raw_lines(path):
        where = f"{path}:{number}"
        task = parse_task(raw, where, fix_ids=fix_ids, migrations=migrations)
        first = seen.setdefault(task.id, number)
        if first != number:
            raise InputError(f"id: {task.id} is also the id of line {first}", where=where, way_out="remove one of them")
        yield task


def parse_task(
    raw: bytes, where: str, *, fix_ids: bool = False, migrations: Mapping[str, Migration] = MIGRATIONS
) -> Task:
    """One line as a task. Raises `InputError`, which begins with `where`, as `read_tasks` says."""
    data = _loaded(raw, where)
    _refuse_monsters(data, where)
    data, migrated = _migrated(data, where, migrations)
    if migrated:
        _refuse_monsters(data, where)
    # Absent, empty and null all say "not yet".
    given = {name: data.pop(name, None) or "" for name in ("id", "world_id")}
    valid = _validated({**data, **dict.fromkeys(given, "")}, where)
    try:
        task = identified(valid)
    except ValueError as error:  # a field that takes integers made one of a float beyond 2**53
        raise InputError(f"a number that JSON cannot carry: {error}", where=where) from error
    if fix_ids or migrated:
        return task
    for name, value in given.items():
        if value and value != getattr(task, name):
            message = f"{name}: {str(value)[:40]!r} does not match the content, which gives {getattr(task, name)!r}"
            way_out = "the content was changed by hand: run `synthagent check --fix-ids`"
            raise InputError(message, where=where, way_out=way_out)
    return task


def write_tasks(path: Path, tasks: Iterable[Task]) -> int:
    """Write a task file, whole or not at all, one task at a time; missing ids are filled in. Returns how many.

    Raises `RunFolderError` when the file cannot be written, `InputError` for a task that JSON cannot hold.
    """
    count = 0
    with replacing(path) as write:
        for task in tasks:
            try:
                write(task_line(task))
            except (TypeError, ValueError) as error:
                raise InputError(f"task {count + 1} cannot be written as JSON: {error}", where=str(path)) from error
            count += 1
    return count


def task_line(task: Task) -> bytes:
    """A task as a line of a task file; missing ids are filled in. Raises `ValueError` for what JSON cannot hold."""
    whole = task if task.id and task.world_id else identified(task)
    # `dump` leaves defaults out, and the schema version is one.
    return line({"schema": SCHEMA, **dump(whole)})


def _raw_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Numbered lines, blank ones left out, never holding more than the cap."""
    try:
        stream = path.open("rb")  # a pipe will do
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", where=str(path)) from error
    with stream:
        number = 0
        while raw := stream.readline(LONGEST_LINE + 1):
            number += 1
            if len(raw) > LONGEST_LINE:
                raise InputError(f"line longer than {LONGEST_LINE >> 20} MB", where=f"{path}:{number}")
            if number == 1:
                raw = raw.removeprefix(b"\xef\xbb\xbf")  # editors on other systems leave a byte order mark
            if not raw.isspace() and raw:
                yield number, raw


def _loaded(raw: bytes, where: str) -> dict[str, Any]:
    try:
        data = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        try:
            raw.decode()
        except UnicodeDecodeError as unreadable:
            raise InputError(f"not UTF-8 (byte {unreadable.start} of the line)", where=where) from error
        raise InputError(f"not JSON: {str(error).replace(': line 1 column', ', column')}", where=where) from error
    if not isinstance(data, dict):
        raise InputError(f"a task is a JSON object, not {_kind(data)}", where=where)
    return data


def _refuse_monsters(data: Json, where: str) -> None:
    """Walk without recursion: nothing that comes later meets too deep, too many or too large values."""
    level: list[_Node] = [_Node(None, "", data)]
    count = 0
    for depth in range(DEEPEST + 1):
        below: list[_Node] = []
        for node in level:
            count += len(node.value)
            if count > MOST_VALUES:
                raise InputError(f"more than {MOST_VALUES:,} values in one task", where=where)
            for key, child in node.value.items() if isinstance(node.value, dict) else enumerate(node.value):
                if isinstance(child, (dict, list)):
                    below.append(_Node(node, key, child))
                elif isinstance(child, int) and abs(child) > LARGEST_INTEGER:
                    place = dotted(_Node(node, key, child).path)
                    raise InputError(f"{place}: integers go up to 2**53 - 1, not {child}", where=where)
        if below and depth == DEEPEST:
            raise InputError(f"{dotted(below[0].path)}: nested more than {DEEPEST} levels deep", where=where)
        level = below


class _Node(NamedTuple):
    """A value and the way to it; a path each would cost its length in memory for every value."""

    parent: "_Node | None"
    key: str | int
    value: Json

    @property
    def path(self) -> tuple[str | int, ...]:
        parts: list[str | int] = []
        node = self
        while node.parent is not None:
            parts.append(node.key)
            node = node.parent
        return tuple(reversed(parts))


def _migrated(data: dict[str, Any], where: str, migrations: Mapping[str, Migration]) -> tuple[dict[str, Any], bool]:
    """The data in the current schema version, and whether it had to be changed."""
    tried: list[Json] = []
    while (version := data.get("schema", SCHEMA)) != SCHEMA:
        if not isinstance(version, str) or version not in migrations or version in tried:
            known = ", ".join([*migrations, SCHEMA])
            way_out = "upgrade synthagent if the file is newer; else make the file again with `synthagent synth`"
            raise InputError(f"schema: unknown version {version!r}; known: {known}", where=where, way_out=way_out)
        tried.append(version)
        try:
            data = migrations[version](data)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"not a task of schema {version!r}: {error!r}", where=where) from error
    return data, bool(tried)


def _validated(data: dict[str, Any], where: str) -> Task:
    try:
        return Task.model_validate(data)
    except ValidationError as error:
        raise InputError(complaints(error, data), where=where) from error


def _kind(value: Json) -> str:
    names = {type(None): "null", bool: "a boolean", str: "a string", list: "an array"}
    return names.get(type(value), "a number")
