"""import: tasks that others published, as tasks of ours."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from synthagent.cli.console import print_json, progress, say
from synthagent.errors import InputError
from synthagent.schema.tasks import Task
from synthagent.storage.atomic import make_folder
from synthagent.storage.journal import Journal
from synthagent.storage.task_file import write_tasks
from synthagent.synthesis.agenticqwen import SOURCE, NotImported, imported
from synthagent.synthesis.screening import objections

SOURCES = (SOURCE,)
_CHUNK = 1 << 20
_LONGEST = 16 << 20
"""Characters of the longest record that is read."""


def run_import(source: str, file: Path, out: Path, json: bool) -> None:
    """Writes what can be imported to `out`, and what cannot, with the reason, to `out`.d/not_imported.jsonl."""
    if source not in SOURCES:
        raise InputError(f"--from: '{source}' is not known", way_out=f"known: {', '.join(SOURCES)}")
    begun = time.monotonic()
    folder = make_folder(out.with_name(out.name + ".d"))
    for name in ("not_imported.jsonl", "changes.jsonl"):
        (folder / name).unlink(missing_ok=True)
    count = {"read": 0, "imported": 0, "playable": 0, "not_imported": 0, "changed": 0}
    with (
        Journal.open(folder / "not_imported.jsonl") as refused,
        Journal.open(folder / "changes.jsonl") as changed,
        asyncio.Runner() as runner,
        progress("importing", 0) as tick,
    ):

        def tasks() -> Iterator[Task]:
            seen: set[str] = set()
            for record in records(file):
                count["read"] += 1
                name = record.get("id") if isinstance(record, dict) else None
                try:
                    found = imported(record)
                    if found.task.id in seen:
                        raise NotImported("the same task is there already")
                except NotImported as error:
                    count["not_imported"] += 1
                    refused.append({"record": count["read"], "id": name, "reason": str(error)})
                    continue
                seen.add(found.task.id)
                count["imported"] += 1
                wrong = [o.text for o in runner.run(objections([found.task]))]
                count["playable"] += not wrong
                count["changed"] += bool(found.changes)
                if wrong or found.changes:
                    changed.append({"id": name, "changes": list(found.changes), "objections": wrong})
                tick("")
                yield found.task

        write_tasks(out, tasks())
    result: dict[str, Any] = {**count, "seconds": round(time.monotonic() - begun, 3)}
    if json:
        print_json(result)
    else:
        say(
            f"{count['imported']} of {count['read']} tasks in {out}, {count['playable']} of them playable once their "
            f"tools are simulated; {count['not_imported']} not imported, reasons in {folder}"
        )


def records(path: Path) -> Iterator[Any]:
    """The records of a JSON array or of a JSONL file, one in memory at a time.

    Raises `InputError` naming file and place for what is neither.
    """
    import json

    decoder = json.JSONDecoder()
    try:
        with path.open(encoding="utf-8") as file:
            text, number, array = file.read(_CHUNK), 0, None
            while True:
                text = text.lstrip().removeprefix("\ufeff")
                if array is None and text:
                    array = text[0] == "["
                    text = text[1:] if array else text
                text = text.lstrip(" \t\r\n,") if array else text.lstrip()
                if array and text.startswith("]"):
                    return
                try:
                    value, end = decoder.raw_decode(text)
                    # A number or a word may go on in the next chunk; objects end where they end.
                    whole = text[:1] in "{[" or end < len(text)
                except json.JSONDecodeError as error:
                    whole, end, problem = False, 0, error.msg
                else:
                    problem = "cut off"
                if whole:
                    number += 1
                    yield value
                    text = text[end:]
                    continue
                more = file.read(_CHUNK)
                if not more:
                    if text.strip():
                        raise InputError(f"record {number + 1}: not JSON: {problem}", where=str(path))
                    if array:
                        raise InputError(f"the list is cut off after record {number}", where=str(path))
                    return
                text += more
                if len(text) > _LONGEST:
                    raise InputError(f"record {number + 1}: not JSON, or longer than {_LONGEST} characters",
                                     where=str(path))  # fmt: skip
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {error}", where=str(path)) from error
    except RecursionError as error:
        raise InputError("nested too deep", where=str(path)) from error
