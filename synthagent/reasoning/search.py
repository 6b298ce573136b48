"""What an agent may look up: one query, a few hits, and the one text in which it reads them.

The defaults are the search tool of Lyu et al., *Mock Worlds, Real Skills*: country "us", the top five hits, snippets
only. No page behind a hit is ever fetched.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from pydantic import Field

from synthagent.errors import Blame, EpisodeFailure
from synthagent.schema.record import Record
from synthagent.schema.tasks import Function, Tool

MOST_QUERY = 400
"""Characters of a query; what is longer is cut between words. Tavily refuses longer ones, the others hardly profit."""
_MOST_TITLE = 200
_MOST_URL = 500
_MORE = "..."
NOTHING = "No results."
"""What the agent reads where there are no hits."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


class SearchSettings(Record):
    """How a search is made: equal settings and equal queries give equal hits once they are in a map."""

    country: str = Field("us", pattern=r"^[a-z]{2}$")
    """Whose results come first: an ISO 3166 code of two small letters. A corpus has no country."""
    language: str = Field("en", pattern=r"^[a-z]{2}$")
    """Of the results, where the provider can be told: an ISO 639 code."""
    top: int = Field(5, ge=1, le=20)
    """Most hits of a query."""
    snippet: int = Field(300, ge=40, le=4000)
    """Longest snippet, in characters."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One result: single lines without control characters, whoever wrote them."""

    title: str
    url: str
    snippet: str


class SearchBackend(Protocol):
    """Whatever answers queries: a corpus in a file, a provider on the web, or a map in front of one."""

    @property
    def name(self) -> str:
        """What decides its hits beside settings and query: a part of a map's key."""
        ...

    @property
    def settings(self) -> SearchSettings:
        """How it searches."""
        ...

    async def search(self, query: str) -> tuple[Hit, ...]:
        """The best hits, best first; none for an empty query.

        Raises `SearchFailed` where it cannot answer and `InputError` where somebody has to set it up differently:
        neither is ever text for the agent.
        """
        ...

    async def aclose(self) -> None:
        """Lets go of files and connections. Harmless when repeated."""
        ...


class SearchFailed(EpisodeFailure):
    """A search could not be answered, after all tries: nobody's lack of skill.

    Reasons: timeout, connection, rate_limited, quota, http_<status>, bad_request, bad_reply, engines, closed,
    corpus_damaged.
    """

    blame = Blame.INFRASTRUCTURE


def search_tool(description: str = "Search the web. Gives titles, addresses and snippets of the best results.") -> Tool:
    """The tool as an agent sees it: one query, whose result is a text."""
    query = {"type": "string", "description": "What to look for, in a few words."}
    parameters = {
        "type": "object", "properties": {"query": query}, "required": ["query"], "additionalProperties": False,
    }  # fmt: skip
    function = Function(name="search", description=description, parameters=parameters)
    return Tool(function=function, outputs={"type": "string"}, effect="read", reads=())


def cleaned(query: str) -> str:
    """The query as it is sent: one line, composed (NFC), without control characters, at most `MOST_QUERY` long."""
    return bounded(query[: 4 * MOST_QUERY], MOST_QUERY, "")


def hits_of(found: Iterable[tuple[str, str, str]], settings: SearchSettings) -> tuple[Hit, ...]:
    """Hits of (title, address, text), none twice, as many and as long as the settings allow.

    One address may come with several snippets, as where a corpus holds pages in pieces.
    """
    return tuple(islice(dict.fromkeys(_bounded_hits(found, settings)), settings.top))


def render(hits: Sequence[Hit]) -> str:
    """What the agent reads. Equal hits give equal text. A hit's parts are single lines, so that none poses as two."""
    blocks = (
        "\n".join([f"{number}. {hit.title or hit.url}", *(f"   {line}" for line in (hit.url, hit.snippet) if line)])
        for number, hit in enumerate(hits, start=1)
    )
    return "\n\n".join(blocks) or NOTHING


def bounded(text: str, most: int, more: str = _MORE) -> str:
    """The text on one line, without control characters; beyond `most` it is cut between words and ended by `more`."""
    line = " ".join(_CONTROL.sub(" ", unicodedata.normalize("NFC", text)).split())
    if len(line) <= most:
        return line
    room = most - len(more)
    kept = line[: room + 1].rpartition(" ")[0] if " " in line[room // 2 : room + 1] else line[:room]
    return kept.rstrip() + more


def _bounded_hits(found: Iterable[tuple[str, str, str]], settings: SearchSettings) -> Iterator[Hit]:
    for title, url, text in found:
        hit = Hit(bounded(title, _MOST_TITLE), bounded(url, _MOST_URL, ""), bounded(text, settings.snippet))
        if hit.url or hit.title or hit.snippet:
            yield hit
