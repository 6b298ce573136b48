"""models: small models to play with."""

from synthagent.cli.console import print_json, print_table, say
from synthagent.llm.local_models import MODELS, cache_dir, fetch, find


def run_fetch(name: str) -> None:
    """Fetches a model into the cache, or says that it is there."""
    found = find(name, cache_dir())
    if found is None:
        found = fetch(name, cache_dir(), say)
    say(f"{name} is at {found}; use it as --agent local:{name}")


def run_list(json: bool) -> None:
    """Prints the models that can be fetched."""
    rows = [
        {
            "name": model.name,
            "title": model.title,
            "licence": model.licence,
            "megabytes": round(model.size / 1e6, 1),
            "here": find(model.name, cache_dir()) is not None,
        }
        for model in MODELS.values()
    ]
    if json:
        print_json(rows)
    else:
        print_table(rows, ("name", "title", "licence", "megabytes", "here"))
