"""The group `corpus`. Only words and wiring here, as in `main`."""

from pathlib import Path
from typing import Annotated

import typer

from synthagent.cli.options import Json

corpus = typer.Typer(help="Documents to search without a network.", no_args_is_help=True, rich_markup_mode=None)


@corpus.command("build")
def corpus_build(
    folder: Annotated[Path, typer.Argument(help="A folder of .txt, .md and .jsonl files.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the corpus goes (SQLite).", show_default=False)],
    json: Json = False,
) -> None:
    """Index a folder of documents."""
    from synthagent.cli.corpus import run_build

    run_build(folder, out, json)


@corpus.command("search")
def corpus_search(
    file: Annotated[Path, typer.Argument(help="A corpus that was built.", show_default=False)],
    query: Annotated[str, typer.Argument(help="What to look for.", show_default=False)],
    top: Annotated[int, typer.Option(help="Most hits.", min=1, max=20)] = 5,
    json: Json = False,
) -> None:
    """Try a corpus: what an agent would read."""
    from synthagent.cli.corpus import run_search

    run_search(file, query, top, json)
