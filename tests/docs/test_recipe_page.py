"""docs/reference/recipes.md names every field of a recipe with its default, and every recipe that is shipped."""

import json
import tomllib
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel

from synthagent.training.recipe import Lora, Recipe, read_recipe
from tests.docs.pages import ROOT, codes, reference

PAGE = reference("recipes")
TABLES: dict[str, type[BaseModel]] = {
    "Recipe": Recipe,
    **{name: type(value) for name, value in Recipe() if isinstance(value, BaseModel)},
    "lora": Lora,
}
"""Section -> the record whose fields it lists."""


def written(value: Any, name: str) -> str:
    """A default as the page writes it: as TOML has it, or as a link to a section."""
    if value is None:
        return "unset"
    if isinstance(value, BaseModel):
        return f"[{name}](#{name})"
    return f"`{json.dumps(value)}`"


def test_there_is_a_section_for_every_table_of_a_recipe():
    assert {part.title for part in PAGE.sections if part.rows("field")} == set(TABLES)


@pytest.mark.parametrize("title", TABLES)
def test_a_section_lists_its_fields_with_the_defaults_of_the_code(title: str):
    rows = PAGE.section(title).rows("field")
    said = {name: row[1] for row in rows for name in codes(row[0])}
    assert said == {name: written(value, name) for name, value in TABLES[title]()}
    assert all(row[2] for row in rows)


@pytest.mark.parametrize("title", TABLES)
def test_a_field_with_choices_names_them(title: str):
    for row in PAGE.section(title).rows("field"):
        field = TABLES[title].model_fields[codes(row[0])[0]]
        assert choices(field.annotation) <= set(codes(row[2])), row[0]


def choices(kind: Any) -> set[str]:
    """The words of every `Literal` in an annotation."""
    if get_origin(kind) is Literal:
        return set(get_args(kind))
    return {word for part in get_args(kind) for word in choices(part)}


def test_every_shipped_recipe_stands_in_a_table_and_no_other():
    section = PAGE.section("What is shipped")
    for head, folder in (("recipe", ROOT / "recipes"), ("ablation", ROOT / "recipes" / "ablations")):
        said = [name for row in section.rows(head) for name in codes(row[0])]
        assert sorted(said) == sorted(path.stem for path in folder.glob("*.toml"))


def test_an_ablation_states_what_the_page_says():
    for name, _, stated in PAGE.section("What is shipped").rows("ablation"):
        file = ROOT / "recipes" / "ablations" / f"{codes(name)[0]}.toml"
        own = {key: value for key, value in tomllib.loads(file.read_text()).items() if key != "extends"}
        assert tomllib.loads(codes(stated)[0]) == own


def test_the_example_is_a_recipe(tmp_path: Path):
    [block] = [block for block in PAGE.blocks if block.name == "recipe"]
    (tmp_path / "paper-qwen3-8b.toml").write_text((ROOT / "recipes" / "paper-qwen3-8b.toml").read_text())
    file = tmp_path / "own.toml"
    file.write_text(block.text)
    recipe = read_recipe(file)
    assert (recipe.epochs, recipe.rollouts.group, recipe.rollouts.tasks) == (1, 8, 128)
