"""Markdown pages, read as far as the tests need it: sections, tables, fenced blocks, links, commands."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
"""Every page whose links must hold."""
SHOWING = [page for page in PAGES if page.parent in (ROOT, DOCS, DOCS / "reference")]
"""Pages whose commands are run."""

_FENCE = re.compile(r"^```(\w*)[ ]?(\S*)\s*$")
_HEADING = re.compile(r"^(#+)\s+(.*?)\s*$")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`[^`]*`")
NEEDS = re.compile(r"\s+# needs .*$")


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    language: str
    name: str
    """The word after the language: a file to save the block as, or what kind of data it is."""
    lines: tuple[str, ...]
    line: int
    """Of its first line in the page."""

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n"


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it, up to the next heading of any level."""

    title: str
    lines: tuple[str, ...]

    @property
    def tables(self) -> list[list[list[str]]]:
        """Tables as rows of cells, heads included."""
        found: list[list[list[str]]] = []
        inside = False
        for line in self.lines:
            if line.startswith("|"):
                cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
                if not inside:
                    found.append([])
                if not all(set(cell) <= set("-: ") for cell in cells):
                    found[-1].append(cells)
            inside = line.startswith("|")
        return found

    def rows(self, head: str) -> list[list[str]]:
        """The rows of every table whose first column has this head."""
        return [row for table in self.tables if table[0][0] == head for row in table[1:]]


@dataclass(frozen=True)
class Page:
    """One page."""

    path: Path
    blocks: list[Block] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    links: list[str] = field(default_factory=list)

    def section(self, title: str) -> Section:
        return next(section for section in self.sections if section.title == title)

    @property
    def anchors(self) -> set[str]:
        """As GitHub makes them from headings."""
        found: dict[str, int] = {}
        anchors = set()
        for section in self.sections:
            plain = re.sub(r"[^\w\- ]", "", section.title.replace("`", "").lower()).replace(" ", "-")
            count = found[plain] = found.get(plain, -1) + 1
            anchors.add(plain if not count else f"{plain}-{count}")
        return anchors


@cache
def page(path: Path) -> Page:
    """Reads a page."""
    found = Page(path)
    title, body, block, start = "", [], None, 0
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        fence = _FENCE.match(line)
        if block is None and fence:
            block, start, opened = [], number, fence
        elif block is not None:
            if line == "```":
                found.blocks.append(Block(opened[1], opened[2], tuple(block), start + 1))
                block = None
            else:
                block.append(line)
        elif heading := _HEADING.match(line):
            found.sections.append(Section(title, tuple(body)))
            title, body = heading[2], []
        else:
            body.append(line)
            found.links.extend(_LINK.findall(_CODE.sub("", line)))
    found.sections.append(Section(title, tuple(body)))
    return found


def reference(name: str) -> Page:
    """A page of docs/reference."""
    return page(DOCS / "reference" / f"{name}.md")


def codes(cell: str) -> list[str]:
    """What stands in backticks."""
    return [code.strip("`") for code in _CODE.findall(cell)]


def saved_files() -> dict[str, str]:
    """File name -> text, of every block on any page that is to be saved as a file."""
    blocks = [block for path in PAGES for block in page(path).blocks]
    return {block.name: block.text for block in blocks if "." in block.name}


# ---- commands


@dataclass
class Command:
    """A command of a `console` or `bash` block, with the output shown under it."""

    text: str
    shown: list[str]
    line: int
    """In the page."""

    @property
    def needs(self) -> bool:
        """Marked as needing what a test does not have."""
        return bool(NEEDS.search(self.text))

    @property
    def bare(self) -> str:
        return NEEDS.sub("", self.text)

    @property
    def program(self) -> str:
        return self.text.split(maxsplit=1)[0] if self.text.strip() else ""


def commands(path: Path) -> list[Command]:
    """The commands of a page, in order. Where a block has prompts (`$ `) all else is output; else every line is one."""
    found: list[Command] = []
    for block in page(path).blocks:
        if block.language not in ("console", "bash"):
            continue
        going_on, prompted = False, any(line.startswith("$ ") for line in block.lines)
        for number, line in enumerate(block.lines, start=block.line):
            if going_on:
                found[-1].text += "\n" + line
            elif not prompted and (not line.strip() or line.startswith("#")):
                continue
            elif not prompted or line.startswith("$ "):
                found.append(Command(line.removeprefix("$ "), [], number))
            else:
                found[-1].shown.append(line)
            going_on = line.endswith("\\") and not found[-1].shown
    return found


def typed(text: str, folder: Path) -> tuple[int, list[str]]:
    """Exit code and lines of output, both streams together, of a command typed in a folder."""
    done = subprocess.run(
        ["bash", "-c", text], cwd=folder, env=_environment(folder), stdin=subprocess.DEVNULL, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300, check=False,
    )  # fmt: skip
    return done.returncode, [line.rstrip() for line in done.stdout.splitlines()]


def _environment(folder: Path) -> Mapping[str, str]:
    """This interpreter's programs first, and nothing of the network or of whoever runs the tests."""
    return {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "error",
        "PIP_NO_INDEX": "1",
        "SYNTHAGENT_CACHE": str(folder / ".cache"),
    }
