"""The demo's own code: what it makes of finished evaluations, and how it deals out tasks."""

import orjson
import pytest

from examples.train_demo.results import Line, evaluated, results
from examples.train_demo.tables import tables
from examples.train_demo.tasks import dealt
from synthagent.storage.task_file import write_tasks
from synthagent.synthesis.personas import shipped as personas
from synthagent.synthesis.procedural.domain import shipped
from synthagent.synthesis.procedural.teacher import families
from synthagent.training.recipe import Recipe, read_recipe
from tests.commands import synthagent
from tests.docs.pages import ROOT


@pytest.fixture(scope="module")
def some():
    made = families(shipped(), personas(), 11)
    return [list(next(made).tasks) for _ in range(8)]


def test_results_compare_models_on_the_same_tasks_and_show_what_a_mean_hides(some, tmp_path):
    write_tasks(tmp_path / "tasks.jsonl", [task for members in some for task in members])
    played = {"zero_shot": "nothing", "cold_start": "refuse", "grpo": "reference"}
    for model, agent in played.items():
        for name in ("test_seen", "test_unseen"):
            out = tmp_path / "evals" / f"{model}-{name}"
            done = synthagent("rollout", tmp_path / "tasks.jsonl", "--agent", f"scripted:{agent}", "--out", out)
            assert done.code == 0, done.err
    red = ("--agent", "scripted:nothing", "--agent", "scripted:ask-all")
    synthagent("rollout", tmp_path / "tasks.jsonl", *red, "--out", tmp_path / "evals" / "redteam-test_seen")

    found = results(evaluated(tmp_path / "evals"), {"sft": 1.0})

    assert found["zero_shot"]["seen_domains"]["mean"] == 0.0
    assert found["grpo"]["unseen_domains"] == {"mean": 1.0, "low": 1.0, "high": 1.0, "n": sum(map(len, some))}
    assert found["no_gap"] == {}
    assert found["paired"]["grpo_vs_cold_start"]["seen_domains"]["difference"] == 1.0
    assert found["paired"]["cold_start_vs_zero_shot"]["seen_domains"]["difference"] == 0.0
    assert found["habits"]["cold_start/seen_domains"]["legal_refused"] == 1.0
    assert found["habits"]["grpo/seen_domains"]["legal_refused"] < 0.5
    assert set(found["red_team"]["seen_domains"]) == {"nothing", "ask-all"}
    assert found["red_team"]["seen_domains"]["ask-all"]["mean"] > 0
    assert found["seconds"] == {"sft": 1.0}
    page = tables(found)
    assert "| GRPO | 1.000 [1.000, 1.000] | 1.000 [1.000, 1.000] |" in page
    assert "| no gap |  |  |" in page
    assert "| GRPO less cold start | 1.000 [1.000, 1.000] |" in page


def test_tasks_are_dealt_by_family(some):
    parts = dealt(some, {"test": 5, "dev": 3}, "train")
    assert sum(map(len, parts.values())) == sum(map(len, some))
    assert len(parts["test"]) >= 5
    owners = {}
    for name, tasks in parts.items():
        for task in tasks:
            assert owners.setdefault(task.family, name) == name
    assert parts == dealt(reversed(some), {"test": 5, "dev": 3}, "train")


PUBLISHED = ROOT / "docs" / "results" / "train-demo"


def test_the_published_results_follow_from_the_published_episodes():
    rows = (PUBLISHED / "episodes.jsonl").read_bytes().splitlines()
    found = orjson.loads((PUBLISHED / "results.json").read_bytes())
    assert results((Line(**orjson.loads(row)) for row in rows), found["seconds"]) == found


def test_the_published_page_says_what_the_results_say():
    found = orjson.loads((PUBLISHED / "results.json").read_bytes())
    for model in ("zero_shot", "cold_start", "grpo", "no_gap"):
        for group in ("seen_domains", "unseen_domains"):
            assert set(found[model][group]) == {"mean", "low", "high", "n"}
    for pair in ("cold_start_vs_zero_shot", "grpo_vs_cold_start"):
        for group in ("seen_domains", "unseen_domains"):
            assert {"difference", "low", "high"} <= set(found["paired"][pair][group])
    assert found["seconds"]["grpo"] > 0
    page = (PUBLISHED / "README.md").read_text(encoding="utf-8")
    for line in tables(found).splitlines():
        assert line in page


def test_the_published_recipes_are_those_of_the_repository():
    for name in ("sft", "grpo", "grpo-no-gap"):
        ours = read_recipe(ROOT / "recipes" / "train-demo" / f"{name}.toml")
        kept = orjson.loads((PUBLISHED / f"{name}.json").read_bytes())["recipe"]
        assert Recipe.model_validate(kept) == ours, "settings that came later have to be as they were without them"
