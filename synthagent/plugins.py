"""Where strangers extend SynthAgent: entry points, loaded by name when they are asked for.

Groups:
- `synthagent.benchmarks`: a suite for `eval run --suite NAME`; a callable without arguments that gives an
  `evaluation.suites.Benchmark`.
- `synthagent.models`: a scheme for `--agent SCHEME:ARGUMENT`; a callable `(argument, settings) -> ChatModel`.
- `synthagent.trainers`: a name for `train --trainer NAME`; a coroutine function that takes a `training.job.Job`.
"""

from importlib.metadata import entry_points
from typing import Any

from synthagent.errors import InputError

GROUPS = ("synthagent.benchmarks", "synthagent.models", "synthagent.trainers")


def names(group: str) -> list[str]:
    """What is installed in a group."""
    return sorted(entry.name for entry in entry_points(group=group))


def load(group: str, name: str) -> Any:
    """The plugin's object. Raises `InputError` when it is not installed or does not load."""
    for entry in entry_points(group=group, name=name):
        try:
            return entry.load()
        except Exception as error:  # a stranger's import may fail in any way
            raise InputError(f"the plugin '{name}' of {group} does not load: {error}") from error
    raise InputError(f"no plugin '{name}' in {group}", way_out=f"installed: {', '.join(names(group)) or 'none'}")
