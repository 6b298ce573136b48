"""BFCL's multi-turn categories, driven as they are: https://gorilla.cs.berkeley.edu/leaderboard.html.

BFCL turns a lost endpoint into an answer ("Error during inference") and the answer into a zero. Here such an entry has
no result: it is run again, and until then the run has failed.
"""

import json
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synthagent.evaluation.gateway import OVERFLOW, Gateway
from synthagent.evaluation.harness_folder import append_lines, chosen, pin_folder, read_lines, write_lines
from synthagent.evaluation.harness_run import Drive, Watch, drive, last_words
from synthagent.evaluation.harness_setup import BFCL, DRIVERS, Installed, harness_dir, installed
from synthagent.evaluation.items import HarnessOrder, Item, SuiteFailed
from synthagent.storage.atomic import make_folder, replacing

CATEGORIES = ("multi_turn_base", "multi_turn_miss_func", "multi_turn_miss_param", "multi_turn_long_context")
SUITES: Mapping[str, Sequence[str]] = {
    "bfcl_base": CATEGORIES[:1],
    "bfcl_miss_func": CATEGORIES[1:2],
    "bfcl_miss_param": CATEGORIES[2:3],
    "bfcl_long_context": CATEGORIES[3:],
    "bfcl": CATEGORIES,
}
"""Suite -> the categories in it; 200 entries each."""
_NAMES = {"fc": "synthagent-FC", "prompt": "synthagent-PROMPT"}
_FAILED = "Error during inference"


@dataclass(frozen=True, slots=True)
class Bfcl:
    """A `Harness`. Options: `mode` is `fc` (the default: tools in the request) or `prompt` (tools in the text);
    `unsafe_local=yes` runs it without namespaces."""

    categories: Sequence[str] = CATEGORIES
    where: Path = field(default_factory=harness_dir)
    """The folder of the harnesses."""
    watch: Watch = field(default_factory=Watch)

    def versions(self) -> Mapping[str, str]:
        """See `Harness`. Raises `InputError` if it is not installed."""
        return installed(BFCL.name, self.where).versions()

    def run(self, order: HarnessOrder) -> Sequence[Item]:
        """See `Harness`. Raises `SuiteFailed`, and `InputError` for options, keys, a harness that is not there."""
        options = chosen(order.options, {"mode": ("fc", "prompt"), "unsafe_local": ("no", "yes")})
        found = installed(BFCL.name, self.where)
        found.check()
        pin_folder(order, {**found.versions(), "mode": options["mode"]})
        expected = {category: entry_ids(found, category)[: order.limit] for category in self.categories}
        items: list[Item] = []
        for trial in range(order.trials):
            items += _Trial(found, order, options, expected, trial, self.watch).items()
        return items


@dataclass(frozen=True, slots=True)
class _Trial:
    """One pass over the entries: one fresh process, since BFCL's backends keep their state in module globals."""

    found: Installed
    order: HarnessOrder
    options: Mapping[str, str]
    expected: Mapping[str, Sequence[str]]
    number: int
    watch: Watch

    @property
    def folder(self) -> Path:
        return self.order.out / f"trial-{self.number}"

    def items(self) -> list[Item]:
        """Every entry's, in order; runs what is missing first."""
        make_folder(self.folder)
        scores = self._scores()
        if any(id_ not in scores for ids in self.expected.values() for id_ in ids):
            self._run()
            scores = self._scores()
        return [
            Item(
                id=id_,
                trial=self.number,
                score=scores[id_]["score"],
                family=f"multi_turn_{id_.rpartition('_')[2]}",
                overflow=scores[id_]["overflow"],
            )
            for ids in self.expected.values()
            for id_ in ids
        ]

    def _scores(self) -> dict[str, dict[str, Any]]:
        path = self.folder / "scores.json"
        found: dict[str, dict[str, Any]] = json.loads(path.read_bytes()) if path.is_file() else {}
        return found

    def _run(self) -> None:
        kept = {category: self._kept(self.folder / f"{category}.jsonl", category) for category in self.expected}
        missing = {
            category: [id_ for id_ in ids if id_ not in kept[category]] for category, ids in self.expected.items()
        }
        with tempfile.TemporaryDirectory(prefix="synthagent-bfcl-") as name:
            work = Path(name).resolve()
            for category, ids in self.expected.items():
                write_lines(
                    self._results(work, category), [kept[category][id_] for id_ in ids if id_ in kept[category]]
                )
            seen: dict[str, list[dict[str, Any]]] = {}

            def collect() -> int:
                for category, ids in self.expected.items():
                    seen[category] = list(read_lines(self._results(work, category)))
                    found = finished(seen[category], ids)
                    new = {id_: entry for id_, entry in found.items() if id_ not in kept[category]}
                    append_lines(self.folder / f"{category}.jsonl", new.values())
                    kept[category] |= new
                return sum(id_ in kept[category] for category, ids in missing.items() for id_ in ids)

            try:
                code = self._drive(work, missing, collect)
            finally:
                collect()
            self._all_there(kept, seen, code)
            self._read_scores(work, kept)

    def _kept(self, path: Path, category: str) -> dict[str, dict[str, Any]]:
        """Results of earlier runs. Those beyond the limit of this one stay in the file, but are not scored with it."""
        return finished(read_lines(path), entry_ids(self.found, category))

    def _drive(self, work: Path, missing: Mapping[str, Sequence[str]], collect: Callable[[], int]) -> int:
        return drive(
            Drive(
                installed=self.found,
                driver=DRIVERS / "bfcl_driver.py",
                order={
                    "mode": self.options["mode"],
                    "temperature": self.order.temperature,
                    "threads": self.order.in_flight,
                    "entries": self.expected,
                    "missing": missing,
                },
                work=work,
                log=self.folder / "harness.log",
                collect=collect,
                total=sum(map(len, missing.values())),
                unsafe_local=self.options["unsafe_local"] == "yes",
                watch=self.watch,
            ),
            Gateway({"agent": self.order.agent}),
        )

    def _results(self, work: Path, category: str) -> Path:
        return work / "result" / _NAMES[self.options["mode"]] / "multi_turn" / f"BFCL_v4_{category}_result.json"

    def _all_there(
        self,
        kept: Mapping[str, Mapping[str, Any]],
        seen: Mapping[str, Sequence[Mapping[str, Any]]],
        code: int,
    ) -> None:
        """The health gate. Raises `SuiteFailed`: entries that failed, entries that are missing, an exit code."""
        wanted = [(category, id_) for category, ids in self.expected.items() for id_ in ids]
        lost = [id_ for category, id_ in wanted if id_ not in kept[category]]
        if lost:
            raise SuiteFailed(reason(lost, [line for lines in seen.values() for line in lines], len(wanted)))
        if code:
            raise SuiteFailed(f"BFCL ended with exit code {code}: {last_words(self.folder / 'harness.log')}")

    def _read_scores(self, work: Path, kept: Mapping[str, Mapping[str, Any]]) -> None:
        scores = self._scores()
        for category, ids in self.expected.items():
            path = work / "score" / _NAMES[self.options["mode"]] / "multi_turn" / f"BFCL_v4_{category}_score.json"
            for id_, score in scored(list(read_lines(path)), ids, category).items():
                scores[id_] = {"score": score, "overflow": overflowed(kept[category][id_])}
        with replacing(self.folder / "scores.json") as write:
            write(json.dumps(scores, indent=0).encode())


def entry_ids(found: Installed, category: str) -> list[str]:
    """The ids of a category, in the order of its file."""
    return [entry["id"] for entry in read_lines(found.module / "data" / f"BFCL_v4_{category}.json")]


def overflowed(entry: Mapping[str, Any]) -> bool:
    """Whether a prompt of this entry did not fit the model's window: its answer is that error, and is scored as one."""
    result = entry.get("result")
    return isinstance(result, str) and result.startswith(_FAILED) and OVERFLOW in result


def finished(entries: Iterable[Mapping[str, Any]], ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The entries of these ids that have a result: answers, or a prompt that did not fit. The last of an id counts."""
    wanted = set(ids)
    found: dict[str, dict[str, Any]] = {}
    for entry in entries:
        if entry.get("id") in wanted and (isinstance(entry.get("result"), list) or overflowed(entry)):
            found[entry["id"]] = dict(entry)
    return found


def reason(lost: Sequence[str], seen: Iterable[Mapping[str, Any]], total: int) -> str:
    """Why a run has failed: how many entries have no result, and what the first of those says."""
    errors = [str(entry.get("result")) for entry in seen if entry.get("id") in set(lost)]
    if not errors:
        return f"{len(lost)} of {total} entries have no result: {lost[0]}, ..."
    first = " ".join(errors[0].split())[:200]
    return f"{len(lost)} of {total} entries have no result, {len(errors)} of them with an error: {first}"


def scored(lines: Sequence[Mapping[str, Any]], ids: Sequence[str], category: str) -> dict[str, float]:
    """Each id's score from BFCL's score file: a head with counts, then the entries that are wrong.

    Raises `SuiteFailed` if the file is not about exactly these entries, or does not add up.
    """
    head = lines[0] if lines else {}
    wrong = {str(line.get("id")) for line in lines[1:]}
    if head.get("total_count") != len(ids) or not wrong <= set(ids):
        raise SuiteFailed(f"BFCL scored {head.get('total_count')} entries of {category}, not {len(ids)}")
    if head.get("correct_count") != len(ids) - len(wrong):
        raise SuiteFailed(f"BFCL's score file of {category} does not add up: {head}, {len(wrong)} wrong entries")
    return {id_: 0.0 if id_ in wrong else 1.0 for id_ in ids}
