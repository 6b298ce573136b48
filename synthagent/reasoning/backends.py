"""Who searches, from a word on a command line or in a settings file."""

import os
from collections.abc import Mapping
from pathlib import Path

from synthagent.errors import InputError
from synthagent.reasoning.search import SearchBackend, SearchSettings

FORMS = "corpus:FILE.sqlite, serper, tavily, searxng:URL"


def open_search(
    words: str, settings: SearchSettings | None = None, environ: Mapping[str, str] | None = None
) -> SearchBackend:
    """The backend that `corpus:FILE.sqlite`, `serper`, `tavily`, `searxng:URL` or `searxng` stands for.

    Keys come from SERPER_API_KEY and TAVILY_API_KEY, the address of plain `searxng` from SEARXNG_URL, in `environ` or
    else in the environment. Raises `InputError` for other words, a missing key and a file that is no corpus. Nothing is
    asked yet. Must be called within the loop that uses it.
    """
    from synthagent.reasoning.corpus import Corpus
    from synthagent.reasoning.providers import SEARXNG, SERPER, TAVILY
    from synthagent.reasoning.web_search import WebSearch

    settings = settings or SearchSettings()
    env = os.environ if environ is None else environ
    scheme, mark, argument = words.strip().partition(":")
    if scheme == "corpus" and argument:
        return Corpus.open(Path(argument), settings)
    if scheme == "searxng" and (argument or not mark):
        url = argument or env.get(SEARXNG.variable, "")
        if not url:
            raise InputError("searxng wants an address", way_out=f"searxng:URL, or set {SEARXNG.variable}")
        return WebSearch(SEARXNG, settings, url=url)
    for provider in (SERPER, TAVILY):
        if scheme == provider.name and not mark:
            return WebSearch(provider, settings, env.get(provider.variable, ""))
    raise InputError(f"'{words}' is nobody who searches", way_out=FORMS)
