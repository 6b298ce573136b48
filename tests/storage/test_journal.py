"""A journal loses at most its torn last line, whatever stops the writer."""

import os
import signal
import tempfile
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthagent.errors import InputError, RunFolderError
from synthagent.schema.episodes import Limits
from synthagent.storage.journal import Journal, Span, line_at, lines, read, records

TEXT = st.text(st.characters(codec="utf-8"))
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)


def test_what_is_appended_is_read_back_in_order_and_found_by_its_place(tmp_path):
    path = tmp_path / "j.jsonl"
    with Journal.open(path) as journal:
        spans = [journal.append({"k": k, "text": "ü" * k}) for k in range(5)]
    assert [value["k"] for value in read(path)] == [0, 1, 2, 3, 4]
    assert [found.span for found in lines(path)] == spans
    assert line_at(path, spans[3]).value == {"k": 3, "text": "üüü"}
    assert [found.value["k"] for found in lines(path, start=spans[2].end)] == [3, 4]


def test_a_journal_that_is_opened_again_goes_on_where_it_stopped(tmp_path):
    path = tmp_path / "j.jsonl"
    for k in range(3):
        with Journal.open(path) as journal:
            assert journal.cut == 0
            journal.append(k)
    assert list(read(path)) == [0, 1, 2]


@settings(max_examples=150, deadline=None)
@given(values=st.lists(JSON, min_size=1, max_size=6), data=st.data())
def test_cut_at_any_byte_at_most_the_last_line_is_lost(values, data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "j.jsonl")
        with Journal.open(path) as journal:
            ends = [journal.append(value).end for value in values]
        cut = data.draw(st.integers(0, ends[-1]))
        os.truncate(path, cut)
        whole = [value for value, end in zip(values, ends, strict=True) if end <= cut]
        assert list(read(path)) == whole
        with Journal.open(path) as journal:
            assert journal.cut == cut - max([0, *(end for end in ends if end <= cut)])
            journal.append("next")
        assert list(read(path)) == [*whole, "next"]


@settings(max_examples=80, deadline=None)
@given(
    values=st.lists(JSON, max_size=4),
    junk=st.binary(min_size=1, max_size=200_000).map(lambda b: b.replace(b"\n", b"x")),
)
def test_junk_after_the_last_newline_is_cut_off(values, junk):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "j.jsonl")
        with Journal.open(path) as journal:
            for value in values:
                journal.append(value)
        with path.open("ab") as stream:
            stream.write(junk)
        assert list(read(path)) == values
        with Journal.open(path) as journal:
            assert journal.cut == len(junk)
        assert list(read(path)) == values


def test_a_last_line_that_ends_but_does_not_parse_is_torn_too(tmp_path):
    path = tmp_path / "j.jsonl"
    path.write_bytes(b'{"a":1}\n{"a":\0\0\0\n')
    assert list(read(path)) == [{"a": 1}]
    with Journal.open(path) as journal:
        assert journal.cut == 9
    assert path.read_bytes() == b'{"a":1}\n'


def test_a_broken_line_in_the_middle_is_named_by_its_number(tmp_path):
    path = tmp_path / "j.jsonl"
    path.write_bytes(b'{"a":1}\n{"a":2}\n{"a":\n{"a":4}\n')
    with pytest.raises(InputError, match=r"j\.jsonl:3: broken line"):
        list(read(path))
    with pytest.raises(InputError, match=r"j\.jsonl:3: broken line"):
        list(lines(path, start=8))


def test_records_name_file_line_and_field_of_what_does_not_fit(tmp_path):
    path = tmp_path / "j.jsonl"
    path.write_bytes(b'{"turns":1}\n{"turns":0}\n')
    with pytest.raises(InputError, match=r"j\.jsonl:2: turns: input should be greater than or equal to 1, not 0"):
        assert list(records(path, Limits)) == [Limits(turns=1)]


def test_a_value_that_json_cannot_hold_leaves_the_journal_as_it_was(tmp_path):
    path = tmp_path / "j.jsonl"
    deep: list[object] = []
    for _ in range(2000):
        deep = [deep]
    with Journal.open(path) as journal:
        journal.append(1)
        for value in ("\ud800", 2**70, deep, object()):
            with pytest.raises(InputError, match="cannot be written as JSON"):
                journal.append(value)
        journal.append(2)
    assert list(read(path)) == [1, 2]


def test_a_full_device_is_told_with_the_way_out():
    with Journal.open(Path("/dev/full")) as journal:
        for _ in range(2):
            with pytest.raises(RunFolderError, match=r"/dev/full.*No space left.*free some space.*--resume"):
                journal.append({"a": 1})


def test_a_file_that_may_not_grow_keeps_all_whole_lines_and_goes_on_later(tmp_path, start):
    path = tmp_path / "j.jsonl"
    script = """
import resource, signal, sys
from pathlib import Path
from synthagent.errors import RunFolderError
from synthagent.storage.journal import Journal
assert signal.getsignal(signal.SIGXFSZ) is signal.SIG_IGN  # Python's own doing
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
journal = Journal.open(Path(sys.argv[1]))
count = 0
try:
    while True:
        journal.append({"k": count, "text": "x" * 290})
        count += 1
except RunFolderError as error:
    print(error)
print(count)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
journal.append("space again")
journal.close()
"""
    with start(script, path) as process:
        message, count = process.communicate()[0].splitlines()
    assert process.returncode == 0
    assert str(path) in message
    assert "File too large" in message
    assert "--resume" in message
    kept = list(read(path))
    assert len(kept) == int(count) + 1 > 25
    assert [value["k"] for value in kept[:-1]] == list(range(int(count)))
    assert kept[-1] == "space again"


def test_a_writer_killed_in_the_middle_loses_no_line_it_had_finished(tmp_path, start):
    path = tmp_path / "j.jsonl"
    script = """
import sys
from pathlib import Path
from synthagent.storage.journal import Journal
journal = Journal.open(Path(sys.argv[1]))
k = int(sys.argv[2])
while True:
    journal.append({"k": k, "text": "x" * (k % 977) * 50})
    k += 1
    print(k, flush=True)
"""
    finished = 0
    for _ in range(5):
        with start(script, path, finished) as process:
            assert process.stdout
            for _ in range(40):
                reported = int(process.stdout.readline())
            process.send_signal(signal.SIGKILL)
        kept = [value["k"] for value in read(path)]
        assert kept == list(range(len(kept)))
        assert len(kept) >= reported
        finished = len(kept)


def test_a_journal_that_cannot_be_opened_or_is_closed_says_so(tmp_path):
    with pytest.raises(RunFolderError, match="missing"):
        Journal.open(tmp_path / "missing" / "j.jsonl")
    with pytest.raises(InputError, match="No such file"):
        list(read(tmp_path / "none.jsonl"))
    with pytest.raises(InputError, match="not a regular file"):
        list(read(Path("/dev/full")))
    with pytest.raises(InputError, match="no line at byte 5"):
        line_at(tmp_path / "none.jsonl", Span(5, 2))
    journal = Journal.open(tmp_path / "j.jsonl")
    journal.close()
    journal.close()
    with pytest.raises(RunFolderError, match="closed"):
        journal.append(1)
    assert orjson.loads(b"[]") == list(read(tmp_path / "j.jsonl"))
