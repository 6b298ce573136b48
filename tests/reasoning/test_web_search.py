"""One query to a provider, over real HTTP: what is sent, what is understood, and how each mishap is named."""

import math

import anyio
import orjson
import pytest

from synthagent.errors import Blame, InputError
from synthagent.llm.pacing import Limiter, Rate
from synthagent.llm.retrying import Backoff, Tries
from synthagent.llm.stub import Misbehave
from synthagent.reasoning.backends import open_search
from synthagent.reasoning.corpus import Corpus, build
from synthagent.reasoning.documents import Document
from synthagent.reasoning.providers import SEARXNG, SERPER, TAVILY
from synthagent.reasoning.search import MOST_QUERY, Hit, SearchFailed, SearchSettings
from synthagent.reasoning.search_stub import SearchStub
from synthagent.reasoning.web_search import WebSearch

PROVIDERS = {"serper": SERPER, "tavily": TAVILY, "searxng": SEARXNG}
HITS = [Hit(f"Page {n}", f"http://example.org/{n}", f"About {n}.") for n in range(8)]
ONCE = Backoff(attempts=1)


def client(name, url, key="a-key", settings=None, backoff=ONCE, waits=None, **more) -> WebSearch:
    async def sleep(seconds):
        (waits if waits is not None else []).append(seconds)

    return WebSearch(PROVIDERS[name], settings, key, url=url, tries=Tries(backoff, sleep=sleep), **more)


async def asked(name, handler, query="ferries", **more):
    """The stub after one query, and the hits."""
    stub = SearchStub(name, handler)
    async with stub as url:
        search = client(name, url, **more)
        try:
            return stub, await search.search(query)
        finally:
            await search.aclose()


async def failure(name, served, **more) -> SearchFailed:
    with pytest.raises(SearchFailed) as caught:
        await asked(name, lambda _: served, **more)
    assert caught.value.blame is Blame.INFRASTRUCTURE
    return caught.value


@pytest.mark.parametrize("name", PROVIDERS)
async def test_the_best_five_hits_come_in_the_providers_order(name):
    _, hits = await asked(name, lambda _: HITS)
    assert list(hits) == HITS[:5]


async def test_serper_is_asked_as_it_wants_it():
    stub, _ = await asked("serper", lambda _: HITS)
    [seen] = stub.seen
    assert seen.body == {"q": "ferries", "gl": "us", "hl": "en", "num": 5}
    assert seen.headers["X-API-KEY"] == "a-key" and seen.path == "/search"


async def test_tavily_is_asked_as_it_wants_it():
    stub, _ = await asked("tavily", lambda _: HITS, settings=SearchSettings(country="de", top=3))
    [seen] = stub.seen
    assert seen.headers["Authorization"] == "Bearer a-key"
    wanted = {"query": "ferries", "country": "germany", "max_results": 3, "search_depth": "basic", "topic": "general"}
    assert wanted.items() <= seen.body.items()


async def test_searxng_is_asked_as_it_wants_it():
    stub, _ = await asked("searxng", lambda _: HITS, query="ferries & tides", key="")
    assert stub.seen[0].body == {"q": "ferries & tides", "format": "json", "language": "en-US"}


@pytest.mark.parametrize("name", PROVIDERS)
async def test_no_hits_are_no_failure(name):
    assert (await asked(name, lambda _: []))[1] == ()


@pytest.mark.parametrize("name", PROVIDERS)
async def test_an_empty_query_asks_nobody_and_a_long_one_is_cut(name):
    stub, hits = await asked(name, lambda _: HITS, query=" \0 ")
    assert (stub.seen, hits) == ([], ())
    stub, _ = await asked(name, lambda _: HITS, query="ferry " * 5000)
    [sent] = [stub.seen[0].body.get("q") or stub.seen[0].body.get("query")]
    assert MOST_QUERY - 6 <= len(sent) <= MOST_QUERY


@pytest.mark.parametrize("name", PROVIDERS)
@pytest.mark.parametrize("query", ["\ud800 x", "\u202e x", '"} {', "x" * 4000, "%0a&format=csv", "雪"])
async def test_whatever_an_agent_asks_is_sent_as_one_query(name, query):
    assert (await asked(name, lambda _: HITS[:1], query=query))[1] == (HITS[0],)


# ---- failures


@pytest.mark.parametrize(("name", "variable"), [("serper", "SERPER_API_KEY"), ("tavily", "TAVILY_API_KEY")])
async def test_a_key_that_is_refused_stops_the_run_and_is_not_tried_again(name, variable):
    stub = SearchStub(name, key="another")
    async with stub as url:
        search = client(name, url, backoff=Backoff(attempts=5))
        with pytest.raises(InputError, match=variable):
            await search.search("ferries")
        await search.aclose()
    assert len(stub.seen) == 1


async def test_an_instance_of_searxng_without_json_says_what_to_do():
    with pytest.raises(InputError, match=r"SEARXNG_URL .*search\.formats"):
        await asked("searxng", lambda _: Misbehave(403, body="<html>Forbidden</html>"))


@pytest.mark.parametrize("name", PROVIDERS)
@pytest.mark.parametrize("status", [429, 500, 502, 503, 408])
async def test_what_may_pass_is_tried_again(name, status):
    served = iter([Misbehave(status), Misbehave(status, headers={"Retry-After": "7"}), HITS])
    waits: list[float] = []
    stub, hits = await asked(name, lambda _: next(served), backoff=Backoff(attempts=3), waits=waits)
    assert (len(stub.seen), list(hits)) == (3, HITS[:5])
    assert waits[0] <= 0.5 and 7 <= waits[1] <= 7.7


@pytest.mark.parametrize(
    ("served", "reason"),
    [
        (Misbehave(429), "rate_limited"),
        (Misbehave(500, body="<html>"), "http_500"),
        (Misbehave(302, headers={"Location": "http://127.0.0.1:1/"}), "http_302"),
        (Misbehave(400, body={"message": "Bad", "statusCode": 400}), "bad_request"),
        (Misbehave(body="<html>not JSON</html>"), "bad_reply"),
        (Misbehave(body=b"\xff"), "bad_reply"),
        (Misbehave(body=[]), "bad_reply"),
        (Misbehave(body={"message": "maintenance"}), "bad_reply"),
        (Misbehave(body={"organic": 7, "results": 7}), "bad_reply"),
        (Misbehave(body={"organic": [1], "results": [1]}), "bad_reply"),
        (Misbehave(body={"organic": [{"title": {}}], "results": [{"title": {}}]}), "bad_reply"),
        (Misbehave(body=b" " * 5_000_000), "bad_reply"),
        (Misbehave(drop="before"), "connection"),
        (Misbehave(body=b"{}" * 100, drop="inside"), "connection"),
    ],
)
@pytest.mark.parametrize("name", PROVIDERS)
async def test_every_other_mishap_is_infrastructures_and_has_a_name(name, served, reason):
    assert (await failure(name, served)).reason == reason


async def test_a_provider_that_does_not_answer_is_not_waited_for():
    assert (await failure("serper", Misbehave(stall=math.inf), timeout=0.2)).reason == "timeout"


async def test_nobody_listening_is_a_failure():
    search = client("serper", "http://127.0.0.1:9")
    with pytest.raises(SearchFailed, match=r"127\.0\.0\.1:9") as caught:
        await search.search("ferries")
    await search.aclose()
    assert caught.value.reason == "connection"


@pytest.mark.parametrize(
    ("name", "served"),
    [
        ("serper", Misbehave(400, body={"message": "Not enough credits", "statusCode": 400})),
        ("tavily", Misbehave(432, body={"detail": {"error": "This request exceeds your plan's set usage limit."}})),
    ],
)
async def test_a_plan_that_is_spent_is_not_tried_again(name, served):
    waits: list[float] = []
    assert (await failure(name, served, backoff=Backoff(attempts=5), waits=waits)).reason == "quota"
    assert waits == []


async def test_engines_that_did_not_answer_are_no_proof_that_there_is_nothing():
    down = Misbehave(body={"results": [], "unresponsive_engines": [["google", "CAPTCHA"]]})
    assert (await failure("searxng", down)).reason == "engines"
    row = {"title": "Page 0", "url": "http://example.org/0", "content": "About 0."}
    half = Misbehave(body={"results": [row], "unresponsive_engines": [["google", "CAPTCHA"]]})
    assert (await asked("searxng", lambda _: half))[1] == (HITS[0],)


async def test_results_without_a_description_are_results():
    bare = Misbehave(body={"organic": [{"title": "Page", "link": "http://p/"}, {"title": None, "snippet": None}]})
    assert (await asked("serper", lambda _: bare))[1] == (Hit("Page", "http://p/", ""),)


async def test_no_key_is_ever_in_a_message():
    with pytest.raises(SearchFailed) as caught:
        await asked("serper", lambda _: Misbehave(500))
    assert "a-key" not in str(caught.value)


async def test_no_more_queries_are_under_way_than_the_limiter_lets_through():
    running, peak = 0, 0

    async def slow(_):
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await anyio.sleep(0.01)
        running -= 1
        return HITS

    async with SearchStub("serper", slow) as url:
        search = client("serper", url, pace=Limiter(2, 2), rate=Rate(rpm=60_000))
        async with anyio.create_task_group() as group:
            for n in range(10):
                group.start_soon(search.search, f"query {n}")
        await search.aclose()
    assert peak == 2


async def test_a_closed_client_says_so():
    search = client("serper", "http://127.0.0.1:9")
    await search.aclose()
    await search.aclose()
    with pytest.raises(SearchFailed, match="already closed"):
        await search.search("ferries")


# ---- words


async def test_words_open_a_backend(tmp_path):
    build([Document("T", "u", "text")], tmp_path / "c.sqlite")
    env = {"SERPER_API_KEY": "s\n", "TAVILY_API_KEY": "t", "SEARXNG_URL": "http://here:8080/"}
    names = []
    for words in (f"corpus:{tmp_path / 'c.sqlite'}", "serper", "tavily", "searxng:http://there/", "searxng"):
        search = open_search(words, SearchSettings(top=2), env)
        assert search.settings.top == 2
        names.append(search.name)
        await search.aclose()
    assert names[1:] == ["serper", "tavily", "searxng:http://there", "searxng:http://here:8080"]
    corpus = Corpus.open(tmp_path / "c.sqlite")
    assert names[0] == corpus.name
    await corpus.aclose()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("google", r"corpus:FILE\.sqlite, serper, tavily, searxng:URL"),
        ("", "searxng:URL"),
        ("corpus:", "nobody who searches"),
        ("corpus:/nowhere.sqlite", "no such file"),
        ("serper", "set SERPER_API_KEY"),
        ("tavily", "set TAVILY_API_KEY"),
        ("searxng", "set SEARXNG_URL"),
        ("searxng:ftp://x", r"no http\(s\) URL"),
        ("searxng:http://me:secret@x", "no password"),
    ],
)
async def test_words_that_mean_nobody_are_refused_with_the_way_out(words, said):
    with pytest.raises(InputError, match=said):
        open_search(words, environ={})


def test_what_a_provider_cannot_be_told_is_refused_at_once():
    with pytest.raises(InputError, match="cannot be told the country 'zz'"):
        WebSearch(TAVILY, SearchSettings(country="zz"), "k")
    with pytest.raises(InputError, match="no HTTP header"):
        WebSearch(SERPER, None, "k\u00e9y")


async def test_a_test_that_errs_hears_of_it():
    def broken(_):
        raise KeyError("mine")

    stub = SearchStub("serper", broken)
    with pytest.raises(KeyError):
        async with stub as url:
            search = client("serper", url)
            with pytest.raises(SearchFailed):
                await search.search("x")
            await search.aclose()
    assert orjson.dumps(stub.seen[0].body)
