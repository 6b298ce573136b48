"""The search index: rebuilt when its file is another, never in the way, and never fooled by operators."""

from pathlib import Path

import pytest

from synthagent.errors import InputError
from synthagent.storage.journal import Journal, lines
from synthagent.viewer.searching import BATCH, Texts, episode_words, task_words


def written(path: Path, *texts: str) -> list[int]:
    """Appends lines; where each starts."""
    with Journal.open(path) as journal:
        return [journal.append({"text": text}).offset for text in texts]


def texts(path: Path, cache: Path | None) -> Texts:
    return Texts(path, cache, lambda value: value["text"])


@pytest.mark.parametrize("cached", [True, False])
def test_words_and_their_beginnings_are_found_in_new_lines_too(tmp_path: Path, cached: bool):
    path, cache = tmp_path / "a.jsonl", tmp_path / "cache" if cached else None
    places = written(path, "The Glass Harbour", "a glass of water", "façade")
    index = texts(path, cache)
    assert index.find("glass") == places[:2]
    assert index.find("GLA harb") == places[:1]
    assert index.find("facade") == places[2:]
    assert index.find("  ") == []
    [late] = written(path, "broken glass")
    assert index.find("glass") == [*places[:2], late]
    index.close()
    again = texts(path, cache)
    assert again.find("glass") == [*places[:2], late]
    again.close()


def test_operators_of_the_index_are_words_like_any_other(tmp_path: Path):
    [place] = written(tmp_path / "a.jsonl", 'never NOT said "quoted" text:column')
    index = texts(tmp_path / "a.jsonl", None)
    for asked in ("never OR nothing", "zebra OR never", "NEAR(never)", "-never", '"', "other:never"):
        index.find(asked)
    assert index.find("never OR nothing") == []
    assert index.find("NOT said") == [place]
    assert index.find('"quoted"') == [place]
    index.close()


def test_another_file_in_the_same_place_is_read_anew(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    written(path, "old words", "more of them")
    index = texts(path, tmp_path / "cache")
    assert index.find("old")
    path.unlink()
    [place] = written(path, "new words")
    assert index.find("old") == []
    assert index.find("new") == [place]
    index.close()


def test_two_at_one_file_do_not_enter_a_line_twice(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    one, other = texts(path, tmp_path / "cache"), texts(path, tmp_path / "cache")
    places = written(path, *(["word"] * (BATCH + 1)))
    assert one.find("word") == places
    assert other.find("word") == places
    late = written(path, "word")
    assert other.find("word") == [*places, *late]
    assert one.find("word") == [*places, *late]
    one.close()
    other.close()


def test_a_cache_that_is_none_is_built_again_or_done_without(tmp_path: Path):
    path, cache = tmp_path / "a.jsonl", tmp_path / "cache"
    [place] = written(path, "word")
    index = texts(path, cache)
    index.find("word")
    index.close()
    [file] = cache.glob("*.sqlite")
    file.write_bytes(b"not a database at all, and long enough to be looked at" * 50)
    index = texts(path, cache)
    assert index.find("word") == [place]
    index.close()
    (tmp_path / "file").write_text("no folder")
    index = texts(path, tmp_path / "file")
    assert index.find("word") == [place]
    index.close()


def test_a_journal_that_is_broken_in_the_middle_is_named(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "fine"}\n{"text": \n{"text": "fine"}\n')
    with pytest.raises(InputError, match=r"a\.jsonl:2: broken line"):
        texts(path, None).find("fine")


def test_everything_that_was_said_in_an_episode_or_stands_in_a_task_is_searched(run: Path):
    episode = next(lines(run / "episodes.jsonl")).value
    for event in episode["events"]:
        assert (event.get("text") or event.get("response") or "") in episode_words(episode)
    task = next(lines(run / "tasks.jsonl")).value
    for text in (task["brief"]["instruction"], task["hidden"]["goal"], task["rubric"]["subgoals"][0]["text"]):
        assert text in task_words(task)
