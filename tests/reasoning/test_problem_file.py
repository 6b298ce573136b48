"""Problems as others publish them: names of keys, forms of answers, kinds of files."""

from pathlib import Path

import orjson
import pytest

from synthagent.errors import InputError
from synthagent.reasoning.problem_file import read_problems


def lines(path: Path, *rows: object) -> Path:
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return path


CHAT = [{"role": "system", "content": "s"}, {"role": "user", "content": "Q?"}]


@pytest.mark.parametrize(
    ("row", "question", "gold"),
    [
        ({"question": "Q?", "answer": "7"}, "Q?", "7"),
        ({"problem": " Q? ", "solution": "so \\boxed{6}, no: \\boxed{\\frac{7}{1}}"}, "Q?", "\\frac{7}{1}"),
        ({"problem": "Q?", "solution": "seven", "answer": "7"}, "Q?", "7"),
        ({"problem": "Q?", "solution": "seven, I think"}, "Q?", None),
        ({"question": "Q?", "answer": "5 + 2 = 7\n#### 7"}, "Q?", "7"),
        (
            {"prompt": CHAT, "gt_answer": 7},
            "Q?",
            "7",
        ),
        ({"query": "Q?", "final_answer": ["7"]}, "Q?", "7"),
        ({"question": "Q?", "answer": ["7", "8"]}, "Q?", None),
        ({"question": "Q?", "answer": ""}, "Q?", None),
        ({"question": "Q?"}, "Q?", None),
    ],
)
def test_the_names_that_published_sets_use_are_known(tmp_path: Path, row, question: str, gold: str | None):
    [found] = read_problems(lines(tmp_path / "p.jsonl", row))
    assert (found.question, found.gold, found.id, found.source) == (question, gold, "1", "p")


def test_a_row_says_itself_how_it_is_compared_and_what_may_be_used(tmp_path: Path):
    rows = [
        {"id": 4, "question": "Q?", "answer": "7"},
        {"question": "Q?", "answer": "Lima", "kind": "text", "license": "MIT"},
        {"question": "Q?", "answer": "Lima", "kind": "text", "tools": []},
    ]
    path = lines(tmp_path / "p.jsonl", *rows)
    first, second, third = read_problems(path, licence="CC0")
    assert (first.id, first.answer, first.tools, first.licence) == ("4", "math", ("python",), "CC0")
    assert (second.answer, second.tools, second.licence) == ("text", ("search",), "MIT")
    assert third.tools == ()
    assert next(p.tools for p in read_problems(path, tools=("search", "python"))) == ("search", "python")


def test_a_list_and_parquet_are_read_too(tmp_path: Path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [{"question": "Q?", "answer": "7"}, {"question": "R?", "answer": None}]
    (tmp_path / "p.json").write_bytes(orjson.dumps(rows))
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "p.parquet")
    found = [list(read_problems(tmp_path / name, source="s")) for name in ("p.json", "p.parquet")]
    assert found[0] == found[1]
    assert [problem.gold for problem in found[0]] == ["7", None]


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("p.jsonl", b'{"answer": "7"}\n', "p.jsonl:1: no question: expected one of question, problem"),
        ("p.jsonl", b'{"question": "Q?"}\n\n{\n', "p.jsonl:3: not JSON"),
        ("p.jsonl", b"[1]\n", "p.jsonl:1: a problem is a JSON object"),
        ("p.jsonl", b'{"question": "Q?", "kind": "essay"}\n', "kind: 'essay' is not one of math, text"),
        ("p.jsonl", b'{"question": "Q?", "tools": ["bash"]}\n', "tools: expected a list of python, search"),
        ("p.json", b'{"question": "Q?"}', "p.json: expected a list of problems"),
        ("p.parquet", b"PAR1 not really", "p.parquet: no parquet file"),
    ],
)
def test_what_is_no_problem_is_named_with_its_place(tmp_path: Path, name: str, data: bytes, said: str):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError) as error:
        list(read_problems(tmp_path / name))
    assert said in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"nowhere\.jsonl: cannot be read"):
        list(read_problems(tmp_path / "nowhere.jsonl"))
