"""What fills the tables: every kind of generator, and the templates around them."""

import re
from datetime import datetime
from random import Random

import pytest

from synthagent.errors import InputError
from synthagent.synthesis.procedural.rows import Rows, ddl_of, fill

NOW = datetime(2031, 5, 7, 10)


@pytest.fixture
def rows(pottery) -> Rows:
    return Rows(pottery, Random(1), NOW)


def drawn(rows, generator, names=None, n=200):
    return [rows.make(generator, names or {}) for _ in range(n)]


@pytest.mark.parametrize(
    ("generator", "pattern"),
    [
        ({"id": "P-####"}, r"P-\d{4}"),
        ({"code": "?#-##?"}, r"[A-Z]\d-\d\d[A-Z]"),
        ({"person": "full"}, r"[A-Z]\w+ [A-Z]\w+"),
        ({"date": [1, 3]}, r"2031-05-(08|09|10)"),
        ({"date": [-1, -1]}, r"2031-05-06"),
        ({"time": [9, 10, 15]}, r"09:(00|15|30|45)|10:00"),
        ({"date_from": "2031-02-27", "days": [1, 2]}, r"2031-02-28|2031-03-01"),
    ],
)
def test_text_generators_keep_to_their_pattern_and_use_all_of_it(rows, generator, pattern):
    values = drawn(rows, generator)
    assert all(re.fullmatch(pattern, value) for value in values)
    assert len(set(values)) >= min(2, pattern.count("|") + 1)


@pytest.mark.parametrize(
    ("generator", "values"),
    [
        ({"int": [2, 4]}, {2, 3, 4}),
        ({"int": [4, 24, 10]}, {4, 14, 24}),
        ({"int": [2, 2]}, {2}),
        ({"cents": [0, 100, 50]}, {0, 50, 100}),
        ({"bool": 0.5}, {0, 1}),
        ({"bool": 0.0}, {0}),
        ({"const": "none"}, {"none"}),
        ({"pick": ["a", "b"]}, {"a", "b"}),
        ({"pick": "clays"}, {"stoneware", "earthenware", "porcelain"}),
        ({"pick": "clays", "not": "porcelain"}, {"stoneware", "earthenware"}),
        ({"pick": "clays", "not": ["{mine}", "stoneware"]}, {"earthenware"}),
        ({"text": "{mine} clay"}, {"porcelain clay"}),
    ],
)
def test_a_generator_gives_each_of_its_values_and_no_other(rows, generator, values):
    assert set(drawn(rows, generator, {"mine": "porcelain"})) == values


def test_a_reference_points_at_a_row_that_is_there(rows):
    rows.populate()
    owners = {row["potter_id"] for row in rows.tables["potters"]}
    assert owners and {row["potter_id"] for row in rows.tables["pieces"]} <= owners


def test_so_many_rows_for_each_parent(rows):
    rows.populate()
    assert 3 <= len(rows.tables["potters"]) <= 5
    for potter in rows.tables["potters"]:
        assert 1 <= sum(piece["potter_id"] == potter["potter_id"] for piece in rows.tables["pieces"]) <= 3


def test_ids_people_and_unique_words_never_repeat(rows):
    rows.populate()
    for _ in range(12):
        rows.add("pieces", {"potter_id": rows.tables["potters"][0]["potter_id"]})
    for column in ("piece_id", "label"):
        values = [row[column] for row in rows.tables["pieces"]]
        assert len(set(values)) == len(values)


def test_given_values_and_generators_take_the_place_of_the_tables_own(rows):
    rows.populate()
    row = rows.add("courses", {"title": "Sitting Still", "free": {"int": [9, 9]}})
    assert (row["title"], row["free"]) == ("Sitting Still", 9) and row in rows.tables["courses"]


def test_words_that_run_out_are_an_error_and_not_a_loop(rows):
    rows.tables["courses"] = []
    with pytest.raises(InputError, match=r"courses\.title: cannot find one more distinct value"):
        for _ in range(20):
            rows.add("courses", {})


def test_a_generator_that_does_not_exist_is_named(rows):
    with pytest.raises(InputError, match=r"no generator among \['dice'\]; known: id, code"):
        rows.make({"dice": 6}, {})


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{piece.shelf}", 7),  # one placeholder alone keeps its type
        ("{found.0.title}", "Raku"),
        ("shelf {piece.shelf}", "shelf 7"),
        ("{day|spoken}", "7 May 2031"),
        ("{cents|money}", "3.05"),
        ("{piece.label|lower}s", "jugs"),
        ("{piece.label} on {day|spoken}", "Jug on 7 May 2031"),
        ("no placeholder {}", "no placeholder {}"),
    ],
)
def test_templates(template, text):
    names = {"piece": {"shelf": 7, "label": "Jug"}, "found": [{"title": "Raku"}], "day": "2031-05-07", "cents": 305}
    assert fill(template, names) == text


@pytest.mark.parametrize("template", ["{nobody}", "{piece.size}", "{found.3}", "x {piece.label.x}"])
def test_a_template_of_nothing_is_an_error_that_names_it(template):
    with pytest.raises(InputError, match=template.strip("x {}")):
        fill(template, {"piece": {"label": "Jug"}, "found": []})


def test_tables_are_strict_typed_and_keyed(pottery):
    ddl = ddl_of(pottery)
    assert "CREATE TABLE pieces(piece_id TEXT PRIMARY KEY, potter_id TEXT NOT NULL REFERENCES potters" in ddl
    assert "fired INTEGER NOT NULL, shelf TEXT NOT NULL) STRICT;" in ddl
