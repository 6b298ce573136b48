"""synth, check and split: commands about task files."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import get_args

import anyio

from synthagent import __version__
from synthagent.cli.console import Tick, print_json, progress, say
from synthagent.cli.engines import HERE, Engine, running
from synthagent.config import Settings, settings
from synthagent.engines.worker import Hands
from synthagent.errors import InputError
from synthagent.storage.atomic import make_folder, replacing
from synthagent.storage.journal import Journal
from synthagent.storage.task_file import read_tasks, task_line, write_tasks
from synthagent.synthesis import personas as persona_files
from synthagent.synthesis.elsewhere import Families, InOrder
from synthagent.synthesis.pipeline import Kept, Rejected, verified
from synthagent.synthesis.procedural import domain as domain_files
from synthagent.synthesis.procedural.teacher import Difficulty, Knobs, Made, Range, families
from synthagent.synthesis.screening import objections
from synthagent.synthesis.splits import PARTS, By, split


def run_synth(
    out: Path, n: int, seed: int, personas: Path | None, difficulty: str, domains: str | None,
    domain_file: Sequence[Path], knobs: Mapping[str, str | None], verify: bool, json: bool, engine: Engine = HERE,
) -> None:  # fmt: skip
    """Writes n tasks to `out`, and what was rejected, with reasons, to `out`.d/rejected.jsonl."""
    if difficulty not in get_args(Difficulty):
        raise InputError(f"--difficulty: '{difficulty}' is not one of {', '.join(get_args(Difficulty))}")
    asked = Families(
        domains=_domains(domains, domain_file),
        personas=persona_files.load(personas) if personas else persona_files.shipped(),
        seed=seed,
        difficulty=difficulty,  # type: ignore[arg-type]
        knobs={name: _range(name, text) for name, text in knobs.items() if text is not None},
        verify=verify,
    )
    begun = time.monotonic()
    folder = make_folder(out.with_name(out.name + ".d"))
    (folder / "rejected.jsonl").unlink(missing_ok=True)
    with (
        running(engine, settings(None, {}) if engine.crew else Settings()) as cluster,
        closing(Journal.open(folder / "rejected.jsonl")) as journal,
        progress("synthesizing", n) as tick,
        replacing(out) as write,
    ):
        writer = _Writer(write, journal, tick)
        if cluster is None:
            _made_here(asked, n, writer)
        else:
            in_order = InOrder(n, writer.see)
            work = partial(cluster.work_off, partial(_makers, asked), in_order.jobs(), in_order.take, in_order.given_up)
            anyio.run(work)
            writer.by_reason.update(in_order.screens)
    rejected, by_reason = writer.rejected, writer.by_reason
    figures = {
        "tasks": writer.kept,
        "rejected": rejected,
        "seconds": round(time.monotonic() - begun, 3),
        "kept": writer.kept,
        "rejected_by_reason": dict(by_reason + Counter({"composition": rejected - by_reason.total()})),
        "tokens": 0,
        "tokens_per_kept_task": 0,
        "compiled_share": 1.0,  # a family with a program that does not compile is not made
    }
    if json:
        print_json(figures)
    else:
        say(
            f"{writer.kept} tasks in {out} ({rejected} families rejected, reasons in {folder / 'rejected.jsonl'}), "
            f"{figures['seconds']} s, synthagent {__version__}"
        )


class _Writer:
    """Writes what is kept into the task file, and what is not, with its reasons, into the journal."""

    def __init__(self, write: Callable[[bytes], None], journal: Journal, tick: Tick):
        self.kept = self.rejected = 0
        self.by_reason: Counter[str] = Counter()
        self._write, self._journal, self._tick = write, journal, tick

    def see(self, result: Kept | Rejected) -> None:
        if isinstance(result, Rejected):
            self.rejected += 1
            self._journal.append({"index": result.index, "reasons": list(result.reasons)})
            return
        self.kept += 1
        self._write(task_line(result.task))
        self._tick(f"({self.rejected} families rejected)")


def _made_here(asked: Families, n: int, writer: _Writer) -> None:
    with asyncio.Runner() as runner:

        def screen(made: Made) -> list[str]:
            found = runner.run(objections(made.tasks, made.compiled)) if asked.verify else []
            writer.by_reason.update(f"screening: {o.screen}" for o in found[:1])
            return [str(objection) for objection in found]

        made = families(asked.domains, asked.personas, asked.seed, asked.difficulty, asked.knobs)
        for result in verified(made, screen, n):
            writer.see(result)


@asynccontextmanager
async def _makers(asked: Families) -> AsyncIterator[Hands]:
    yield Hands(asked.do, lambda: b"")


def _domains(names: str | None, files: Sequence[Path]) -> dict[str, domain_files.Domain]:
    found = dict(domain_files.shipped()) if names or not files else {}
    own = [domain_files.load(file) for file in files]
    if names:
        wanted = [name.strip() for name in names.split(",")]
        unknown = [name for name in wanted if name not in found]
        if unknown:
            raise InputError(f"--domains: no domain '{unknown[0]}'", way_out=f"known: {', '.join(found)}")
        found = {name: found[name] for name in wanted}
    return {**found, **{domain.name: domain for domain in own}}


def _range(name: str, text: str) -> Range:
    low, _, high = text.partition("-")
    try:
        found = (int(low), int(high or low))
    except ValueError as error:
        raise InputError(f"--{name}: '{text}' is not a range such as 2 or 1-3") from error
    least = {"goals": 1, "depth": 1, "facts": 1, "traps": 1}.get(name, 0)
    most = 4 if name == "goals" else 100
    if not least <= found[0] <= found[1] <= most:
        raise InputError(f"--{name}: '{text}' must lie between {least} and {most}, lower end first")
    assert name in Knobs.model_fields
    return found


def run_split(path: Path, out: Path, by: str, seed: int, shares: str, json: bool) -> None:
    """Writes train.jsonl, dev.jsonl and test.jsonl into a folder."""
    if by not in get_args(By):
        raise InputError(f"--by: '{by}' is not one of {', '.join(get_args(By))}")
    try:
        numbers = [float(part) for part in shares.split("/")]
    except ValueError as error:
        raise InputError(f"--shares: '{shares}' is not train/dev/test, such as 0.8/0.1/0.1") from error
    if len(numbers) != len(PARTS):
        raise InputError(f"--shares: '{shares}' is not train/dev/test, such as 0.8/0.1/0.1")
    parts = split(read_tasks(path), by, seed, dict(zip(PARTS, numbers, strict=True)))  # type: ignore[arg-type]
    make_folder(out)
    counts = {part: write_tasks(out / f"{part}.jsonl", tasks) for part, tasks in parts.items()}
    if json:
        print_json(counts)
    else:
        say(", ".join(f"{count} in {out / part}.jsonl" for part, count in counts.items()))
