"""Mock worlds: how long a reset and a tool step take, against SQLite alone."""

from collections.abc import Callable, Iterator
from time import process_time
from typing import Any

from benchmarks.figures import Figure, Target, against
from benchmarks.floors import BareWorld, deserialized
from benchmarks.stages import Script, scripts
from synthagent.schema.episodes import ToolEvent
from synthagent.simulation.episode import Stage
from synthagent.simulation.world import LiveWorld

REPEATS = 7
RESETS = 400
TASKS = 40
MICRO = 1e6


def world_reset() -> Iterator[Figure]:
    """Opening and closing a world, untouched and after a write, against restoring its image."""
    target = Target("ratio", "<=", 2.5)
    written = [(script.stage, write) for script in scripts(TASKS) if (write := _a_write(script))][:REPEATS]
    plain = [(_reset(stage, None), deserialized(stage.blueprint.image, RESETS)) for stage, _ in written]
    dirty = [(_reset(stage, write), deserialized(stage.blueprint.image, RESETS)) for stage, write in written]
    yield against("world_reset", "us", _micro(plain), target)
    yield against("world_reset_after_write", "us", _micro(dirty), target)


def tool_step() -> Iterator[Figure]:
    """The references' calls, reads and writes, event included, against their bare SQL. Aim: 120 us."""
    chosen = scripts(TASKS)
    bare = [BareWorld(script.stage.blueprint, script.calls) for script in chosen]
    steps = sum(len(script.calls) for script in chosen)
    for script, floor in zip(chosen, bare, strict=True):  # statements are prepared and connections made once
        _steps(script)
        floor.run()
    pairs = [(sum(map(_steps, chosen)) / steps, sum(b.run() for b in bare) / steps) for _ in range(REPEATS)]
    yield against("tool_step", "us", _micro(pairs), Target("ratio", "<=", 4))


def _micro(pairs: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(ours * MICRO, floor * MICRO) for ours, floor in pairs]


def _a_write(script: Script) -> tuple[str, str] | None:
    """A call of the reference that changes a row of the untouched world."""
    for tool, raw in script.calls:
        with script.stage.blueprint.open() as world:
            if world.call(tool, raw).changed:
                return tool, raw
    return None


def _reset(stage: Stage, write: tuple[str, str] | None) -> float:
    """Seconds to open and close; what is done in between is not counted."""
    spent = 0.0
    for _ in range(RESETS):
        begun = process_time()
        world = stage.blueprint.open()
        opened = process_time()
        if write:
            world.call(*write)
        closing = process_time()
        world.close()
        spent += opened - begun + process_time() - closing
    return spent / RESETS


def _steps(script: Script) -> float:
    """Seconds for all calls of the reference, made and recorded as the episode loop does."""
    with script.stage.blueprint.open() as world:
        begun = process_time()
        for tool, raw in script.calls:
            _step(world, tool, raw, process_time)
        return process_time() - begun


def _step(world: LiveWorld, tool: str, raw: str, clock: Callable[[], float]) -> Any:
    before = clock()
    result = world.call(tool, raw)
    return ToolEvent(
        call_id="call_0_0",
        tool=tool,
        arguments=result.arguments,
        ok=result.ok,
        error=result.error,
        response=result.response,
        changed=result.changed,
        seconds=round(clock() - before, 6),
    )
