"""What a harness's run leaves in its folder, and what keeps two different runs out of one folder."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from synthagent.errors import InputError
from synthagent.evaluation.items import Endpoint, HarnessOrder
from synthagent.storage.atomic import make_folder, replacing

_PINS = "harness.json"


def chosen(options: Mapping[str, str], known: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Every known option's value; the first of its values is the default. Raises `InputError` for any other."""
    for name, text in options.items():
        if name not in known:
            raise InputError(f"no option is called '{name}'", way_out=f"known: {', '.join(known)}")
        if text not in known[name]:
            raise InputError(f"'{text}' is no {name}", way_out=f"one of: {', '.join(known[name])}")
    return {name: options.get(name, values[0]) for name, values in known.items()}


def pin_folder(order: HarnessOrder, versions: Mapping[str, str]) -> None:
    """Makes the folder, and keeps in it what its results depend on: models, sampling, versions; not how many of them.

    Raises `InputError` if the folder holds results of something else: those are never mixed.
    """
    make_folder(order.out)
    pins: dict[str, Any] = {
        **versions,
        "agent": order.agent.model,
        "user": _model(order.user),
        "judge": _model(order.judge),
        "seed": order.seed,
        "temperature": order.temperature,
    }
    path = order.out / _PINS
    if path.is_file():
        before = json.loads(path.read_bytes())
        if other := sorted(name for name in {*before, *pins} if before.get(name) != pins.get(name)):
            told = ", ".join(f"{name} {before.get(name)!r}, now {pins.get(name)!r}" for name in other)
            raise InputError(f"holds results of another run: {told}", where=str(order.out), way_out="another --out")
        return
    with replacing(path) as write:
        write(json.dumps(pins, indent=1).encode())


def _model(endpoint: Endpoint | None) -> str | None:
    return endpoint.model if endpoint else None


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The JSON objects of a file, one a line; none if it is not there. A torn line is a result that is missing."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    for line in data.splitlines():
        try:
            entry = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if isinstance(entry, dict):
            yield entry


def write_lines(path: Path, entries: Iterable[Mapping[str, Any]]) -> None:
    """The file anew, one JSON object a line."""
    make_folder(path.parent)
    with replacing(path) as write:
        for entry in entries:
            write(json.dumps(entry).encode() + b"\n")


def append_lines(path: Path, entries: Iterable[Mapping[str, Any]]) -> None:
    """Further JSON objects, one a line. What a killed process left of its last line stays a line of its own."""
    make_folder(path.parent)
    with path.open("ab+") as file:
        if file.tell() and (file.seek(-1, 2), file.read())[1] != b"\n":
            file.write(b"\n")
        file.writelines(json.dumps(entry).encode() + b"\n" for entry in entries)
