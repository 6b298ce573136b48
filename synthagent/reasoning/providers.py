"""What Serper, Tavily and SearXNG want to be asked, and what they answer. Pure: nothing here opens a connection.

Shapes as of 2026: Serper `POST https://google.serper.dev/search` (https://serper.dev, no public reference; as LangChain
and others call it); Tavily https://docs.tavily.com/documentation/api-reference/endpoint/search; SearXNG
https://docs.searxng.org/dev/search_api.html.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from synthagent.errors import InputError
from synthagent.reasoning.search import SearchSettings

Found = tuple[str, str, str]
"""Title, address, text."""


class NoEngine(Exception):
    """A metasearch answered, but none of the engines behind it did: no hits, and no proof that there are none."""


@dataclass(frozen=True, slots=True)
class Asking:
    """One exchange: what is sent."""

    path: str
    body: Mapping[str, Any] | None = None
    """Posted as JSON; None for a GET."""
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Provider:
    """A search API."""

    name: str
    url: str
    """Where it is; empty where everybody runs their own."""
    variable: str
    """The environment variable with its key; with its address where there is no key."""
    asking: Callable[[str, SearchSettings, str], Asking]
    """Query, settings, key -> what is sent. Raises `InputError` for settings that it cannot be told."""
    read: Callable[[Any], list[Found]]
    """Decoded JSON -> results in its order. Raises `ValueError` for another shape, `NoEngine`."""
    refused: str
    """What a 401 or 403 means, and the way out."""
    spent: frozenset[int] = frozenset()
    """Statuses that mean: the plan is used up, so that another try is in vain."""


def _serper(query: str, settings: SearchSettings, key: str) -> Asking:
    body = {"q": query, "gl": settings.country, "hl": settings.language, "num": settings.top}
    return Asking("/search", body, headers={"X-API-KEY": key})


def _read_serper(reply: Any) -> list[Found]:
    if not isinstance(reply, dict) or not ("organic" in reply or "searchParameters" in reply):
        raise ValueError("no 'organic' results")
    return _read_all(reply.get("organic", []), "title", "link", "snippet")


def _tavily(query: str, settings: SearchSettings, key: str) -> Asking:
    if settings.country not in COUNTRIES:
        raise InputError(f"Tavily cannot be told the country '{settings.country}'", way_out=f"one of {_known()}")
    body = {
        "query": query, "topic": "general", "search_depth": "basic", "max_results": settings.top,
        "country": COUNTRIES[settings.country], "include_answer": False, "include_raw_content": False,
        "include_images": False,
    }  # fmt: skip
    return Asking("/search", body, headers={"Authorization": f"Bearer {key}"})


def _read_tavily(reply: Any) -> list[Found]:
    if not isinstance(reply, dict) or "results" not in reply:
        raise ValueError("no 'results'")
    return _read_all(reply["results"], "title", "url", "content")


def _searxng(query: str, settings: SearchSettings, _: str) -> Asking:
    language = f"{settings.language}-{settings.country.upper()}"
    return Asking("/search", params={"q": query, "format": "json", "language": language})


def _read_searxng(reply: Any) -> list[Found]:
    found = _read_tavily(reply)
    if not found and reply.get("unresponsive_engines"):
        raise NoEngine(str(reply["unresponsive_engines"]))
    return found


def _read_all(results: Any, title: str, url: str, text: str) -> list[Found]:
    if not isinstance(results, list) or not all(isinstance(result, dict) for result in results):
        raise ValueError("the results are no list of objects")
    return [(_text(result, title), _text(result, url), _text(result, text)) for result in results]


def _text(result: dict[str, Any], name: str) -> str:
    value = result.get(name)  # null and absent are common: not every page has a description
    if value is not None and not isinstance(value, str):
        raise ValueError(f"'{name}' is no text")
    return value or ""


def _known() -> str:
    return ", ".join(sorted(COUNTRIES))


COUNTRIES = {
    "ar": "argentina", "at": "austria", "au": "australia", "be": "belgium", "br": "brazil", "ca": "canada",
    "ch": "switzerland", "cl": "chile", "cn": "china", "de": "germany", "dk": "denmark", "es": "spain", "fi": "finland",
    "fr": "france", "gb": "united kingdom", "gr": "greece", "ie": "ireland", "il": "israel", "in": "india",
    "it": "italy", "jp": "japan", "ke": "kenya", "kr": "south korea", "mx": "mexico", "ng": "nigeria",
    "nl": "netherlands", "no": "norway", "nz": "new zealand", "pl": "poland", "pt": "portugal", "se": "sweden",
    "sg": "singapore", "us": "united states", "za": "south africa",
}  # fmt: skip
"""Tavily takes countries by name."""

SERPER = Provider(
    "serper", "https://google.serper.dev", "SERPER_API_KEY", _serper, _read_serper,
    "the key in SERPER_API_KEY is not accepted",
)  # fmt: skip
TAVILY = Provider(
    "tavily", "https://api.tavily.com", "TAVILY_API_KEY", _tavily, _read_tavily,
    "the key in TAVILY_API_KEY is not accepted", frozenset({432, 433}),
)  # fmt: skip
SEARXNG = Provider(
    "searxng", "", "SEARXNG_URL", _searxng, _read_searxng,
    "the instance of SEARXNG_URL or searxng:URL does not give JSON: add json to search.formats in its settings.yml",
)  # fmt: skip
