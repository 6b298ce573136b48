"""A corpus: what is read, what is found, and that no query is ever more than words."""

import sqlite3

import anyio
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synthagent.errors import Blame, InputError
from synthagent.reasoning import corpus as module
from synthagent.reasoning.corpus import Corpus, build
from synthagent.reasoning.documents import Document, documents
from synthagent.reasoning.search import SearchFailed, SearchSettings
from tests.commands import synthagent

FERRY = Document("Night ferries", "http://a/ferry", "The night ferry leaves at ten from the old quay.")
TIDES = Document("Tides", "http://a/tides", "High water at the old quay is at nine.")
CAFE = Document("Café", "http://a/cafe", "Crème brûlée and coffee, on the quay.")


@pytest.fixture(scope="module")
def harbour(tmp_path_factory):
    path = tmp_path_factory.mktemp("harbour") / "corpus.sqlite"
    build([FERRY, TIDES, CAFE], path)
    return path


async def found(path, query, **settings) -> list[str]:
    corpus = Corpus.open(path, SearchSettings(**settings))
    try:
        return [hit.title for hit in await corpus.search(query)]
    finally:
        await corpus.aclose()


async def test_pages_with_the_rarest_words_come_first(harbour):
    assert await found(harbour, "When does the ferry leave the quay?") == ["Night ferries", "Café", "Tides"]


async def test_case_accents_and_endings_do_not_matter(harbour):
    assert await found(harbour, "CREME BRULEE") == ["Café"]
    assert await found(harbour, "ferry leaving") == ["Night ferries"]


async def test_a_hit_shows_the_words_around_what_was_found(tmp_path):
    long = Document("Log", "http://a/log", "calm sea " * 200 + "then the lighthouse went dark " + "calm sea " * 200)
    build([long], tmp_path / "c.sqlite")
    corpus = Corpus.open(tmp_path / "c.sqlite", SearchSettings(snippet=500))
    [hit] = await corpus.search("lighthouse")
    assert "lighthouse went dark" in hit.snippet and len(hit.snippet) <= 500
    await corpus.aclose()


async def test_equal_pages_come_in_the_order_of_the_corpus(tmp_path):
    build([Document(f"Copy {n}", f"http://a/{n}", "the same words") for n in range(9)], tmp_path / "c.sqlite")
    for _ in range(3):
        assert await found(tmp_path / "c.sqlite", "same") == [f"Copy {n}" for n in range(5)]


async def test_words_that_too_many_pages_hold_are_not_put_in_order(tmp_path, monkeypatch):
    pages = [Document(f"Page {n}", f"http://a/{n}", "quay" + " ferry" * (n == 7)) for n in range(20)]
    build(pages, tmp_path / "c.sqlite")
    monkeypatch.setattr(module, "_MOST_PAGES", 10)
    assert await found(tmp_path / "c.sqlite", "quay ferry") == ["Page 7"]
    assert len(await found(tmp_path / "c.sqlite", "quay")) == 5  # at least one word counts


@pytest.mark.parametrize("query", ["", "   ", "\0", "?!", '""', "\ud800", "OR", "_", "\u0301"])
async def test_a_query_without_words_of_the_corpus_gives_no_hits(harbour, query):
    assert await found(harbour, query) == []


@pytest.mark.parametrize(
    "query",
    [
        'ferry" OR title : "tides', "ferry NOT ferry", "title:ferry", "ferry*", "^ferry", "NEAR(ferry night, 2)",
        "'; DROP TABLE pages; -- ferry", "{title text}: ferry", "ferry + night", '"ferry', "((ferry",
    ],
)  # fmt: skip
async def test_nothing_in_a_query_is_syntax(harbour, query):
    assert "Night ferries" in await found(harbour, query)


SYNTAX = st.sampled_from(
    ['"', "'", "*", "^", "(", ")", ":", "+", "-", " NEAR(", " AND ", " OR ", " NOT ", ";", "\0", "ferry"]
)
HOSTILE = st.one_of(st.text(st.characters(), max_size=60), st.lists(SYNTAX | st.text(max_size=3)).map("".join))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(HOSTILE)
def test_no_query_makes_sqlite_complain(harbour, query):
    async def ask():
        corpus = Corpus.open(harbour)
        first, again = await corpus.search(query), await corpus.search(query)
        await corpus.aclose()
        assert first == again and len(first) <= 5

    anyio.run(ask)


async def test_a_very_long_query_is_cut(harbour):
    assert await found(harbour, "ferry " + "quay " * 1_000_000) != []
    assert await found(harbour, "x" * 1_000_000) == []


async def test_many_may_ask_at_once(harbour):
    corpus = Corpus.open(harbour)
    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(corpus.search, "ferry")
    await corpus.aclose()


# ---- building


def folder_of(root, **files):
    for name, content in files.items():
        path = root / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def test_files_are_documents_and_jsonl_holds_one_a_line(tmp_path):
    line = orjson.dumps({"title": "T", "url": "http://t", "text": "From JSONL.", "more": 1})
    folder = folder_of(
        tmp_path, b_txt="Plain.", a__notes_md="intro\n# The title #\ntext", c_jsonl=line + b"\n\n" + line, d_pdf="no",
        empty_txt=" \n",
    )  # fmt: skip
    assert list(documents(folder)) == [
        Document("The title", "a/notes.md", "intro\n# The title #\ntext"),
        Document("b", "b.txt", "Plain."),
        Document("T", "http://t", "From JSONL."),
        Document("T", "http://t", "From JSONL."),
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{", "not JSON"),
        (b"[1]", "not an object"),
        (b'{"title": "t", "url": "u"}', "text: missing"),
        (b'{"title": 1, "url": "u", "text": "x"}', "title: no text"),
        (b'{"title": "t", "url": "u", "text": "  "}', "text: empty"),
        (b'{"title": "t", "url": "u", "text": "\xff"}', "not JSON"),
    ],
)
def test_a_broken_line_is_named_and_nothing_is_written(tmp_path, line, said):
    folder = folder_of(tmp_path / "in", x_jsonl=b'{"title": "t", "url": "u", "text": "fine"}\n' + line)
    out = tmp_path / "c.sqlite"
    with pytest.raises(InputError, match=rf"x\.jsonl:2: {said}"):
        build(documents(folder), out)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_file_that_is_not_utf_8_is_named_with_its_line(tmp_path):
    with pytest.raises(InputError, match=r"x\.txt:2: not UTF-8"):
        list(documents(folder_of(tmp_path, x_txt=b"fine\n\xff")))


def test_a_folder_without_documents_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no documents"):
        list(documents(tmp_path))
    with pytest.raises(InputError, match="no document with any text"):
        build(documents(folder_of(tmp_path, x_txt=" ")), tmp_path / "c.sqlite")


def test_the_same_documents_have_the_same_digest_and_others_another(tmp_path):
    one, two = build([FERRY, TIDES], tmp_path / "1"), build(iter([FERRY, TIDES]), tmp_path / "2")
    assert one == two != build([TIDES, FERRY], tmp_path / "3")


# ---- files that are none


@pytest.mark.parametrize("content", [b"", b"not sqlite at all, but long enough to be looked at" * 9])
def test_a_file_that_is_no_corpus_is_refused(tmp_path, content):
    path = tmp_path / "c.sqlite"
    path.write_bytes(content)
    with pytest.raises(InputError, match="no corpus"):
        Corpus.open(path)
    with pytest.raises(InputError, match="no such file"):
        Corpus.open(tmp_path / "absent.sqlite")


def test_somebody_elses_database_is_refused(tmp_path):
    db = sqlite3.connect(tmp_path / "c.sqlite")
    db.execute("CREATE TABLE about (schema TEXT, documents INT, digest TEXT)")
    db.execute("CREATE VIEW pages AS SELECT 1 AS title, 2 AS text")
    db.execute("INSERT INTO about VALUES ('synthagent.corpus/1', 1, 'x')")
    db.commit()
    db.close()
    with pytest.raises(InputError, match="no corpus that this version knows"):
        Corpus.open(tmp_path / "c.sqlite")


async def test_a_corpus_that_breaks_is_infrastructures_fault(harbour, tmp_path):
    path = tmp_path / "c.sqlite"
    path.write_bytes(harbour.read_bytes())
    db = sqlite3.connect(path)
    db.execute("DELETE FROM pages_data")
    db.commit()
    db.close()
    corpus = Corpus.open(path)
    with pytest.raises(SearchFailed) as caught:
        await corpus.search("ferry")
    await corpus.aclose()
    assert (caught.value.blame, caught.value.reason) == (Blame.INFRASTRUCTURE, "corpus_damaged")


async def test_searching_writes_nothing(harbour):
    harbour.chmod(0o444)
    before = harbour.read_bytes()
    await found(harbour, "ferry")
    assert harbour.read_bytes() == before and list(harbour.parent.iterdir()) == [harbour]


# ---- the commands


def test_the_commands_build_and_search(tmp_path):
    folder = folder_of(tmp_path / "in", a_txt=FERRY.text, b_txt=TIDES.text)
    out = tmp_path / "c.sqlite"
    done = synthagent("corpus", "build", folder, "--out", out)
    assert done.code == 0 and "2 documents of 2 files" in done.err
    assert synthagent("corpus", "search", out, "night ferry", "--top", 1).out == (
        "1. a\n   a.txt\n   The night ferry leaves at ten from the old quay.\n"
    )
    assert synthagent("corpus", "search", out, "zeppelin").out == "No results.\n"
    assert synthagent("corpus", "search", folder, "x").code == 2
    assert synthagent("corpus", "build", folder, "--out", folder / "a.txt" / "c.sqlite").code == 3
