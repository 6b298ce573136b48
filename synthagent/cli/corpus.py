"""corpus build, corpus search: documents to search without a network."""

from dataclasses import asdict
from pathlib import Path

import anyio
import typer

from synthagent.cli.console import Tick, print_json, progress, say
from synthagent.reasoning.corpus import Built, Corpus, build
from synthagent.reasoning.documents import documents, files_of
from synthagent.reasoning.search import Hit, SearchSettings, render

_STEPS = 100


def run_build(folder: Path, out: Path, json: bool) -> None:
    """Indexes a folder, whole or not at all."""
    files = files_of(folder)
    size = sum(file.stat().st_size for file in files)
    with progress("percent read", _STEPS) as tick:
        built = _built(folder, out, size, tick)
    if json:
        print_json({"documents": built.documents, "files": len(files), "digest": built.digest})
    else:
        say(f"{built.documents} documents of {len(files)} files in {out}: use corpus:{out}")


def _built(folder: Path, out: Path, size: int, tick: Tick) -> Built:
    state = {"bytes": 0, "steps": 0, "documents": 0}

    def read(more: int) -> None:
        state["bytes"] += more
        while state["steps"] < min(_STEPS, state["bytes"] * _STEPS // max(1, size)):
            state["steps"] += 1
            tick(f"{state['documents']} documents")

    def told(count: int) -> None:
        state["documents"] = count

    return build(documents(folder, read), out, told)


def run_search(file: Path, query: str, top: int, json: bool) -> None:
    """Prints what an agent would read, or the hits."""
    hits = anyio.run(_searched, file, query, top)
    if json:
        print_json([asdict(hit) for hit in hits])
    else:
        typer.echo(render(hits))


async def _searched(file: Path, query: str, top: int) -> tuple[Hit, ...]:
    corpus = Corpus.open(file, SearchSettings(top=top))
    try:
        return await corpus.search(query)
    finally:
        await corpus.aclose()
