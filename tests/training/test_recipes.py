"""Recipes: the shipped ones are what their names say, and a file that is wrong says where."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synthagent.errors import InputError
from synthagent.training.recipe import Recipe, read_recipe

RECIPES = Path(__file__).parents[2] / "recipes"
BASE = RECIPES / "paper-qwen3-8b.toml"
USERS = {
    "small": "openai:Qwen/Qwen3-4B@http://localhost:8000/v1",
    "medium": "openai:Qwen/Qwen3-14B@http://localhost:8000/v1",
    "large": "openai:Qwen/Qwen3-235B-A22B@http://localhost:8000/v1",
}
CLAIMS: dict[str, dict[str, Any]] = {
    "reasoning-only": {"data.reasoning": 1.0},
    "no-information-gap": {"data.information_gap": False},
    **{f"simulator-{size}": {"data.user": user} for size, user in USERS.items()},
    **{f"demonstrations-{k}": {"data.demonstrations": k} for k in (2, 3, 4)},
    "tasks-5k": {"data.tasks": 5_000},
    "tasks-15k": {"data.tasks": 15_096},
    "sft": {"method": "sft"},
    "rl": {"method": "grpo"},
}
"""Ablation -> the fields it states, and nothing else."""
CONTROLS = {"demonstrations-4", "tasks-15k", "rl"}
"""Rows that the paper compares others with: they are the base."""


def flat(table: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Dotted field -> value."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        found |= flat(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value}
    return found


@pytest.mark.parametrize("path", sorted(RECIPES.rglob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_recipe_loads(path: Path):
    assert isinstance(read_recipe(path), Recipe)


def test_there_is_an_ablation_for_every_claim_and_no_other():
    assert {path.stem for path in (RECIPES / "ablations").iterdir()} == set(CLAIMS)


@pytest.mark.parametrize("name", CLAIMS)
def test_an_ablation_differs_from_its_base_in_what_its_name_claims_and_in_nothing_else(name: str):
    path = RECIPES / "ablations" / f"{name}.toml"
    stated = tomllib.loads(path.read_text())
    assert (path.parent / stated.pop("extends")).resolve() == BASE
    assert flat(stated) == CLAIMS[name]
    base, own = (flat(read_recipe(one).model_dump()) for one in (BASE, path))
    differing = {field: value for field, value in own.items() if base[field] != value}
    assert differing == ({} if name in CONTROLS else CLAIMS[name])


def test_the_papers_recipe_has_the_papers_values():
    recipe = read_recipe(BASE)
    rollouts, loss, optimiser = recipe.rollouts, recipe.loss, recipe.optimiser
    assert (recipe.method, recipe.epochs, recipe.lora) == ("grpo", 2, None)
    assert (loss.clip_low, loss.clip_high) == (0.2, 0.28)
    assert (rollouts.group, rollouts.turns, rollouts.response_tokens) == (16, 16, 13_000)
    assert (rollouts.tasks, optimiser.minibatch, optimiser.lr) == (128, 16, 1e-6)
    assert (recipe.data.tasks, recipe.data.information_gap, recipe.data.demonstrations) == (15_096, True, 4)
    assert recipe.steps_for(15_096) == 236
    assert read_recipe(RECIPES / "paper-qwen3-14b.toml") == recipe


def test_every_value_of_the_papers_recipe_says_what_it_rests_on():
    for line in BASE.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            assert line.partition("# ")[2].split(":")[0] in ("paper", "interpretation", "verl", "ours"), line


def test_the_tiny_recipe_is_tiny():
    recipe = read_recipe(RECIPES / "tiny.toml")
    assert (recipe.rollouts.group, recipe.rollouts.tasks) == (4, 2)
    assert recipe.rollouts.response_tokens <= 256


# ---- extends


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    def written(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return written


def test_tables_are_merged_and_the_nearer_file_wins(write):
    write(
        "base.toml", "seed = 1\nepochs = 3\n[rollouts]\ngroup = 4\nturns = 5\n[lora]\nrank = 2\ntargets = ['a', 'b']\n"
    )
    write("middle.toml", "extends = 'base.toml'\nseed = 2\n[rollouts]\ngroup = 6\n")
    recipe = read_recipe(
        write("below/top.toml", "extends = '../middle.toml'\n[rollouts]\ntasks = 3\n[lora]\ntargets = ['c']\n")
    )
    assert (recipe.seed, recipe.epochs) == (2, 3)
    assert (recipe.rollouts.group, recipe.rollouts.turns, recipe.rollouts.tasks) == (6, 5, 3)
    assert recipe.lora is not None
    assert (recipe.lora.rank, recipe.lora.targets) == (2, ("c",))


def test_a_circle_is_refused_and_shown(write):
    write("a.toml", "extends = 'b.toml'\n")
    write("b.toml", "extends = 'c.toml'\n")
    path = write("c.toml", "extends = './a.toml'\n")
    with pytest.raises(InputError, match=r"b\.toml: extends: .*circle: c\.toml -> a\.toml -> b\.toml -> c\.toml"):
        read_recipe(path)
    with pytest.raises(InputError, match=r"self\.toml: extends: .*circle: self\.toml -> self\.toml"):
        read_recipe(write("self.toml", "extends = 'self.toml'\n"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("extends = 3\n", r"top\.toml: extends: must be the path of one file"),
        ("extends = 'nowhere.toml'\n", r"top\.toml: extends: there is no file nowhere\.toml"),
        ("extends = 'broken.toml'\n", r"broken\.toml: cannot be read"),
        ("[rollouts\n", r"top\.toml: cannot be read"),
        ("colour = 'red'\n", r"top\.toml: colour: Extra inputs are not permitted"),
        ("[rollouts]\ncolour = 'red'\n", r"top\.toml: rollouts\.colour: Extra"),
        ("extends = 'base.toml'\n[rollouts]\ngroup = 1\n", r"top\.toml: rollouts\.group: "),
        ("extends = 'wrong.toml'\n[rollouts]\nturns = 2\n", r"wrong\.toml: rollouts\.colour: Extra"),
        ("extends = 'base.toml'\nrollouts = 3\n", r"top\.toml: rollouts: "),
        ("[selection]\nlow = 0.9\nhigh = 0.1\n", r"top\.toml: selection: .*low 0\.9 is above high 0\.1"),
        ("extends = 'base.toml'\n[lora]\ntargets = [1]\n", r"top\.toml: lora\.targets\.0: "),
    ],
)
def test_what_is_wrong_is_told_with_the_file_that_states_it_and_the_field(write, text: str, said: str):
    write("base.toml", "[rollouts]\ngroup = 4\n")
    write("wrong.toml", "[rollouts]\ncolour = 'red'\n")
    write("broken.toml", "[rollouts\n")
    with pytest.raises(InputError, match=said):
        read_recipe(write("top.toml", text))


def test_a_file_that_is_not_there_is_told(tmp_path: Path):
    with pytest.raises(InputError, match=r"none\.toml: cannot be read"):
        read_recipe(tmp_path / "none.toml")
