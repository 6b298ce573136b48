"""What the pages tell a reader to type works, in the order in which they say it, and prints what they show.

With SYNTHAGENT_REFRESH_DOCS=1 the present output is written into the pages instead of being compared: whole, or as many
lines before and after a `...` as there were. Ids of tasks are followed from a list into the commands after it.
"""

import os
import re
import shlex
from pathlib import Path

import pytest
import typer

from synthagent.cli.main import app
from tests.docs.pages import DOCS, ROOT, SHOWING, Command, commands, saved_files, typed

HANDY = ("synthagent", "cat", "head", "tail", "ls", "wc", "grep", "mkdir")
"""Programs that a session runs; others (pip, git, python) belong to the reader's own machine."""
_VARYING = (
    (re.compile(r"\d+\.\d+ s\b"), "_ s"),
    (re.compile(r'("(?:seconds|started)": )[\d.]+'), r"\1_"),
    (re.compile(r"│ +\d+\.\d+ │$"), "│ _ │"),
    (re.compile(r"synthagent \d+\.\d+\S*"), "synthagent _"),
    (re.compile(r"[─━]+"), "─"),
)
_PROGRESS = re.compile(r"^\S+: \d+ of \d+ ")
_ID = re.compile(r"\b[0-9a-f]{16}\b")
REFRESH = bool(os.environ.get("SYNTHAGENT_REFRESH_DOCS"))


def session(path: Path) -> list[Command]:
    return [one for one in commands(path) if one.program in HANDY and not one.needs]


@pytest.mark.parametrize("path", SHOWING, ids=lambda path: path.name)
def test_every_command_of_a_page_works_and_prints_what_is_shown(path: Path, tmp_path: Path):
    for name, text in saved_files().items():
        if any(name in command.text for command in session(path)):
            (tmp_path / name).write_text(text)
    if REFRESH:
        refresh(path, tmp_path)
        return
    for command in session(path):
        code, output = typed(command.text, tmp_path)
        assert code == 0, f"{path.name}:{command.line}: {command.text}\n" + "\n".join(output)
        missing = not_printed(command.shown, output)
        way_out = "SYNTHAGENT_REFRESH_DOCS=1 writes what it prints now into the page"
        assert missing is None, f"{path.name}:{command.line}: {command.text}\ndoes not print: {missing}\n{way_out}"


@pytest.mark.parametrize("path", SHOWING, ids=lambda path: path.name)
def test_every_command_that_needs_more_than_a_test_has_still_parses(path: Path):
    for command in commands(path):
        if command.needs and command.program == "synthagent":
            parse(shlex.split(command.bare.replace("\\\n", " "))[1:])


def test_every_make_target_that_the_readme_names_exists():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = [one.text.split()[1] for path in SHOWING for one in commands(path) if one.program == "make"]
    assert set(named) <= targets


def test_every_page_of_the_documentation_is_on_the_list():
    assert {DOCS / "getting-started.md", DOCS / "concepts.md", DOCS / "invariants.md"} <= set(SHOWING)


def parse(words: list[str]) -> None:
    """Reads a command line without running it. Raises what typer would show the user."""
    command, name = typer.main.get_command(app), "synthagent"
    while hasattr(command, "commands"):
        name, *words = words
        command = command.commands[name]
    command.make_context(name, words)


def not_printed(shown: list[str], output: list[str]) -> str | None:
    """The first shown line that is not where it should be in the output. A line `...` stands for any lines."""
    lines = [plain(line) for line in output if not _PROGRESS.match(line)]
    place, gap = 0, False
    for line in map(plain, shown):
        if line == "...":
            gap = True
            continue
        found = next((n for n in range(place, len(lines)) if lines[n] == line), None)
        if found is None or (found > place and not gap):
            return line
        place, gap = found + 1, False
    return None if gap or not shown or place == len(lines) else f"{len(lines) - place} more lines: {lines[place]!r}"


def plain(line: str) -> str:
    for pattern, stand_in in _VARYING:
        line = pattern.sub(stand_in, line)
    return line.rstrip()


# ---- refreshing


def refresh(path: Path, folder: Path) -> None:
    """Writes what is printed now into the page."""
    page = path.read_text().splitlines()
    renamed: dict[str, str] = {}
    changes: list[tuple[int, int, list[str]]] = []
    for command in commands(path):
        text, shown = with_ids(command.text, renamed), command.shown
        if command.program in HANDY and not command.needs:
            code, printed = typed(text, folder)
            output = [line for line in printed if not _PROGRESS.match(line)]
            assert code == 0, f"{path.name}:{command.line}: {text}\n" + "\n".join(output)
            renamed |= zip(ids_in(shown), ids_in(output), strict=False)
            shown = refreshed(shown, output)
        first = command.line - 1
        last = first + len(command.text.split("\n")) + len(command.shown)
        prompt = "$ " if page[first].startswith("$ ") else ""
        changes.append((first, last, [*f"{prompt}{text}".split("\n"), *shown]))
    for first, last, new in reversed(changes):
        page[first:last] = new
    path.write_text("\n".join(page) + "\n")


def refreshed(shown: list[str], output: list[str]) -> list[str]:
    if not shown:
        return []
    if shown.count("...") > 1:
        raise AssertionError(f"cannot refresh a block with two gaps: {shown}")
    if "..." not in shown:
        return output
    head = shown.index("...")
    tail = len(shown) - head - 1
    return output if len(output) <= head + tail else [*output[:head], "...", *output[len(output) - tail :]]


def ids_in(lines: list[str]) -> list[str]:
    return list(dict.fromkeys(found for line in lines for found in _ID.findall(line)))


def with_ids(text: str, renamed: dict[str, str]) -> str:
    """The command with every word that begins an old id replaced by as much of the new one."""
    words = text.split(" ")
    for place, word in enumerate(words):
        if re.fullmatch(r"[0-9a-f]{4,16}", word):
            words[place] = next((new[: len(word)] for old, new in renamed.items() if old.startswith(word)), word)
    return " ".join(words)
