"""Files of data sets, in each published shape, become problems; what does not fit is told with its place."""

import base64
import csv
from itertools import cycle
from pathlib import Path

import orjson
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from synthagent.errors import InputError
from synthagent.evaluation.datasets.rows import read_rows
from synthagent.evaluation.datasets.shapes import SHAPES, problems
from synthagent.reasoning.problems import Problem

CANARY = "fixture-canary"


def sealed(text: str, canary: str = CANARY) -> str:
    """As xBench publishes its texts."""
    return base64.b64encode(bytes(a ^ b for a, b in zip(text.encode(), cycle(canary.encode()), strict=False))).decode()


PUBLISHED = {
    "aime24": {"id": 60, "problem": "What is $1+1$?", "solution": "...", "answer": "002", "url": "", "year": "2024"},
    "aime25": {"problem": "What is $1+1$?", "answer": "2", "id": "0"},
    "hmmt25": {"problem_idx": 7, "problem": "What is $1+1$?", "answer": "\\frac{4}{2}", "problem_type": ["Algebra"]},
    "olympiadbench": {
        "id": 1606, "question": "What is $1+1$?", "solution": ["..."], "final_answer": ["2"],
        "is_multiple_answer": False, "unit": None, "answer_type": "Numerical", "error": None, "subject": "Math",
        "language": "English", "modality": "Text-only",
    },
    "frames": {"": "0", "Prompt": "Who won?", "Answer": "Ann Bee", "reasoning_types": "x", "wiki_links": "[]"},
    "webwalkerqa": {"question": "Who won?", "answer": "Ann Bee", "root_url": "http://x/", "info": {"lang": "en"}},
    "xbench": {"id": "5", "prompt": sealed("谁赢了？"), "answer": sealed("Ann Bee"), "canary": CANARY},
}  # fmt: skip


def written(path: Path, rows: list[dict]) -> Path:
    """Rows in the format that the file's name says."""
    match path.suffix:
        case ".jsonl":
            path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
        case ".json":
            path.write_bytes(orjson.dumps(rows))
        case ".parquet":
            parquet.write_table(arrow.Table.from_pylist(rows), path)
        case ".csv" | ".tsv":
            with path.open("w", encoding="utf-8-sig", newline="") as stream:
                writer = csv.DictWriter(stream, list(rows[0]), delimiter="," if path.suffix == ".csv" else "\t")
                writer.writeheader()
                writer.writerows(rows)
    return path


def read(path: Path, suite: str) -> list[Problem]:
    return problems(read_rows(path), SHAPES[suite], "here", "MIT")


@pytest.mark.parametrize("suite", PUBLISHED)
def test_a_row_as_it_is_published_becomes_a_problem(suite: str, tmp_path: Path):
    [found] = read(written(tmp_path / "data.jsonl", [PUBLISHED[suite]]), suite)
    search = SHAPES[suite].tools == ("search",)
    assert found.tools == (("search",) if search else ("python",))
    assert found.answer == ("text" if search else "math")
    golds = {"hmmt25": "\\frac{4}{2}"} | dict.fromkeys(("aime24", "aime25", "olympiadbench"), "2")
    assert found.gold == golds.get(suite, "Ann Bee")
    questions = {"xbench": "谁赢了？", "frames": "Who won?", "webwalkerqa": "Who won?"}
    assert found.question == questions.get(suite, "What is $1+1$?")
    ids = {"aime24": "60", "hmmt25": "7", "olympiadbench": "1606", "xbench": "5"}
    assert found.id == ids.get(suite, "0")
    assert (found.source, found.licence) == ("here", "MIT")


@pytest.mark.parametrize("ending", ["json", "jsonl", "csv", "tsv", "parquet"])
def test_every_format_gives_the_same_problems(ending: str, tmp_path: Path):
    rows = [{"id": str(n), "problem": f'What is\n${n}+1$, "then"?', "answer": str(n + 1)} for n in range(3)]
    found = read(written(tmp_path / f"data.{ending}", rows), "aime25")
    assert [(one.id, one.question, one.gold) for one in found] == [
        (str(n), f'What is\n${n}+1$, "then"?', str(n + 1)) for n in range(3)
    ]


def test_a_local_copy_with_a_conversation_asks_what_its_user_says(tmp_path: Path):
    chat = [{"role": "system", "content": "# Tools"}, {"role": "user", "content": "What is $1+1$?"}]
    [found] = read(written(tmp_path / "copy.json", [{"prompt": chat, "gt_answer": "2"}]), "aime24")
    assert (found.id, found.question, found.gold) == ("0", "What is $1+1$?", "2")


def test_several_answers_are_all_wanted(tmp_path: Path):
    row = PUBLISHED["olympiadbench"] | {"final_answer": ["2", "-2"], "is_multiple_answer": True}
    [found] = read(written(tmp_path / "data.jsonl", [row]), "olympiadbench")
    assert found.gold == "2, -2"


@pytest.mark.parametrize(
    ("suite", "changes", "field"),
    [
        ("aime24", {"answer": "2.5"}, "answer: '2.5' is no integer from 0 to 999"),
        ("aime24", {"problem": ""}, "question: is missing"),
        ("aime25", {"answer": None}, "answer: is missing"),
        ("hmmt25", {"problem": 3}, "problem: not a text"),
        ("hmmt25", {"problem_idx": 1.5}, "id: 1.5 is no name"),
        ("olympiadbench", {"final_answer": []}, "answer: is missing"),
        ("olympiadbench", {"modality": "Multimodal"}, "modality: 'Multimodal' does not belong to this suite"),
        ("olympiadbench", {"language": "Chinese"}, "language: 'Chinese' does not belong to this suite"),
        ("xbench", {"canary": "another"}, "prompt: cannot be decoded with the row's canary"),
        ("xbench", {"answer": "not base64!"}, "answer: cannot be decoded with the row's canary"),
    ],
)
def test_a_row_that_does_not_fit_is_told_with_file_line_and_field(
    suite: str, changes: dict, field: str, tmp_path: Path
):
    good = PUBLISHED[suite] | ({"id": "first"} if suite != "hmmt25" else {"problem_idx": 900})
    path = written(tmp_path / "data.jsonl", [good, PUBLISHED[suite] | changes])
    with pytest.raises(InputError) as caught:
        read(path, suite)
    assert str(caught.value).startswith(f"{path}:2: {field}")


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("data.txt", b"", "is no format that is read"),
        ("data.json", b'{"a": 1}', "not a list of objects"),
        ("data.jsonl", b'{"a": 1}\n{\n', "data.jsonl:2: not JSON"),
        ("data.jsonl", b"[1]\n", "data.jsonl:1: not an object with named columns"),
        ("data.csv", b"a,b\n1\n", "data.csv:2: has more or fewer cells"),
        ("data.csv", b"a,b\n1,2,3\n", "data.csv:2: has more or fewer cells"),
        ("data.csv", b"a,b\n\xff,2\n", "not UTF-8"),
        ("data.parquet", b"PAR1", "no Parquet"),
        ("none.jsonl", None, "cannot be read"),
    ],
)
def test_a_file_that_is_none_is_told(name: str, text: bytes | None, told: str, tmp_path: Path):
    if text is not None:
        (tmp_path / name).write_bytes(text)
    with pytest.raises(InputError, match=told):
        list(read_rows(tmp_path / name))


def test_two_rows_of_one_id_are_told(tmp_path: Path):
    path = written(tmp_path / "data.jsonl", [PUBLISHED["aime25"], PUBLISHED["aime25"]])
    with pytest.raises(InputError, match=r"data.jsonl:2: id: '0' is there twice"):
        read(path, "aime25")
