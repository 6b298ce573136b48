"""One run as a page asks for it: figures, episodes by filter, one episode with its score."""

import threading
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from synthagent.errors import InputError
from synthagent.llm.recording import Exchange
from synthagent.schema.episodes import Episode
from synthagent.schema.record import Json, Record, content_id
from synthagent.schema.scores import Score, Scored
from synthagent.schema.tasks import Task
from synthagent.simulation.model_agent import episode_name
from synthagent.storage.index import EPISODES, SCORES, TASKS, Index
from synthagent.storage.journal import Span, line_at, lines, typed
from synthagent.storage.manifest import Manifest, read_manifest
from synthagent.storage.run_folder import EXCHANGES, MANIFEST
from synthagent.storage.tables import EpisodeRow, ScoreLine
from synthagent.storage.task_file import parse_task
from synthagent.viewer.asking import whole
from synthagent.viewer.searching import Texts, episode_words

LARGEST_PAGE = 500
"""Episodes of one answer."""
LIVELY = 90.0
"""Seconds after its last episode in which a run that is not complete counts as going on."""
FRESH = 0.5
"""Seconds for which the index is not looked over again."""

EQUALS = ("agent", "task_id", "sample", "family", "domain", "stop", "user", "rubric_id")
"""Columns that are filtered by equality."""
SORTS = {
    "played": "offset", "reward": "reward", "turns": "turns", "tokens": "completion_tokens", "seconds": "seconds",
    "task": "task_id", "agent": "agent", "malformed": "malformed",
}  # fmt: skip
_BLAME = "coalesce(blame, unscored_blame)"
_COUNTS = "reward IS NOT NULL AND (blame IS NULL OR blame = 'agent')"


class _About(Record, extra="ignore"):
    """A line of `exchanges.jsonl`, as far as it says whose it is."""

    about: str = ""


class RunView:
    """A run folder, looked at. Safe to use from many threads, one at a time."""

    def __init__(self, path: Path, cache: Path | None):
        self.path = path
        self._texts = Texts(path / EPISODES, cache, episode_words)
        self._lock = threading.RLock()
        self._index: Index | None = None
        self._sizes: tuple[int, ...] = ()
        self._looked = 0.0
        self._places: dict[str, Span] = {}
        self._heard: dict[str, Span] = {}
        self._heard_to = 0
        self._rows: tuple[Index, Sequence[EpisodeRow]] | None = None

    def close(self) -> None:
        """Lets go of the indexes."""
        with self._lock:
            self._texts.close()
            if self._index is not None:
                self._index.close()
                self._index = None

    def sizes(self) -> tuple[int, ...]:
        """Bytes of the journals: they differ when something was added."""
        return tuple(_size(self.path / name) for name in (EPISODES, SCORES, TASKS))

    def summary(self) -> Json:
        """The run as one row of a list: what was asked, how far it is, what it is worth."""
        manifest = self.manifest
        with self._lock:
            index = self._opened()
            [row] = index.query(
                f"SELECT count(*), avg(CASE WHEN {_COUNTS} THEN reward END), sum(reward IS NULL), "
                f"avg(CASE WHEN {_COUNTS} THEN turns END), sum(prompt_tokens), sum(completion_tokens), "
                "sum(seconds), max(started) FROM episodes"
            )
            blames = dict(index.query(f"SELECT {_BLAME}, count(*) FROM episodes WHERE {_BLAME} IS NOT NULL GROUP BY 1"))
            [[tasks]] = index.query("SELECT count(*) FROM tasks")
        names = ("episodes", "reward", "unscored", "turns", "prompt_tokens", "completion_tokens", "seconds", "started")
        found = dict(zip(names, row, strict=True))
        # A run that was played by hand has as many tries at a task as somebody felt like.
        wanted = max(tasks * manifest.n * len(manifest.agents), found["episodes"])
        found |= {"tasks": tasks, "wanted": wanted, "blame": blames, "live": self._lively(found["episodes"], wanted)}
        asked = manifest.model_dump(mode="json", include=set(_TOLD))
        return {**asked, **found}

    @property
    def manifest(self) -> Manifest:
        """What was asked. Raises as `read_manifest` does."""
        return read_manifest(self.path / MANIFEST)

    def rows(self) -> Sequence[EpisodeRow]:
        """Every episode as a row, in the order in which they were played."""
        with self._lock:
            index = self._opened()
            if self._rows is None or self._rows[0] is not index:
                self._rows = (index, list(index.rows()))
            return self._rows[1]

    @property
    def recorded(self) -> bool:
        """Whether exchanges with the agents' models were kept."""
        return (self.path / EXCHANGES).is_file()

    def exchange(self, agent: str, task_id: str, sample: int, turn: int) -> Json | None:
        """The exchange behind a turn, the latest one of an episode that was played again; None where there is none.

        Raises `InputError` naming a line that is none.
        """
        path = self.path / EXCHANGES
        with self._lock:
            for found in lines(path, self._heard_to) if path.is_file() else ():
                self._heard[typed(path, found, _About).about] = found.span
                self._heard_to = found.span.end
            span = self._heard.get(f"{episode_name(agent, task_id, sample)}|{turn}")
        return None if span is None else typed(path, line_at(path, span), Exchange).model_dump(mode="json")

    def plays(self, task_ids: Collection[str]) -> dict[str, str]:
        """Task -> what its episodes depend on, hashed, as `play_id_of` does; of those that are in the run."""
        parts = ("brief", "hidden", "world")
        if not task_ids:
            return {}
        found = (one.value for one in lines(self.path / TASKS))
        return {
            value["id"]: content_id({part: value.get(part) for part in parts})
            for value in found
            if value.get("id") in task_ids
        }

    def facets(self) -> Json:
        """Column -> value -> episodes."""
        columns = {"agent": "agent", "domain": "domain", "stop": "stop", "blame": _BLAME, "legal": "legal"}
        found: dict[str, dict[str, int]] = {name: {} for name in columns}
        with self._lock:
            sql = f"SELECT {', '.join(columns.values())}, count(*) FROM episodes GROUP BY {', '.join(columns.values())}"
            rows = list(self._opened().query(sql))
        for *values, count in rows:
            for name, value in zip(columns, values, strict=True):
                if value is not None:
                    word = str(value) if name != "legal" else ("yes" if value else "no")
                    found[name][word] = found[name].get(word, 0) + count
        return found

    def episodes(self, asked: Mapping[str, str]) -> Json:
        """One page of the episodes that fit: `{total, offset, rows}`.

        `asked`: filters by the names of columns, `blame`, `legal`, `min`, `max` (of the reward), `scored`, `q` (words),
        `sort` (with `-` in front: largest first), `offset` and `limit`. Raises `InputError` for what is none of them.
        """
        where, values = _where(asked)
        offset, limit = whole(asked, "offset", 0), min(whole(asked, "limit", 100), LARGEST_PAGE)
        with self._lock:
            index = self._opened()
            if asked.get("q", "").strip():
                where.append("offset IN (SELECT value FROM json_each(?))")
                values.append(orjson.dumps(self._texts.find(asked["q"])).decode())
            chosen = " AND ".join(where) or "1"
            [[total]] = index.query(f"SELECT count(*) FROM episodes WHERE {chosen}", values)
            columns = [name for name in EpisodeRow.model_fields if name not in ("offset", "length")]
            sql = f"SELECT {', '.join(columns)} FROM episodes WHERE {chosen} ORDER BY {_order(asked)} LIMIT ? OFFSET ?"
            rows = [dict(zip(columns, row, strict=True)) for row in index.query(sql, (*values, limit, offset))]
        for row in rows:
            row["features"], row["tools_called"] = orjson.loads(row["features"]), orjson.loads(row["tools_called"])
        return {"total": total, "offset": offset, "rows": rows}

    def episode(self, agent: str, task_id: str, sample: int) -> tuple[Episode, Score | None]:
        """One episode and its latest score. Raises `InputError` when there is none."""
        with self._lock:
            index = self._opened()
            episode = index.load_episode(agent, task_id, sample)
            sql = (
                "SELECT offset, length FROM scored WHERE agent = ? AND task_id = ? AND sample = ? "
                "ORDER BY offset DESC LIMIT 1"
            )
            for place in index.query(sql, (agent, task_id, sample)):
                path = self.path / SCORES
                return episode, typed(path, line_at(path, Span(*place)), ScoreLine).score
        return episode, None

    def group(self, task_id: str) -> list[Json]:
        """The tries at one task at a glance: each with its reward and `verdicts`, criterion -> whether it is good."""
        names = ("agent", "task_id", "sample", "reward", "stop", "turns")
        latest = "SELECT max(offset) FROM scored WHERE task_id = ? GROUP BY agent, sample"
        with self._lock:
            rows = self.episodes({"task_id": task_id, "limit": str(LARGEST_PAGE)})["rows"]
            sql = f"SELECT agent, sample, offset, length FROM scored WHERE offset IN ({latest})"
            places = {(agent, sample): Span(*span) for agent, sample, *span in self._opened().query(sql, (task_id,))}
        return [
            {
                **{name: row[name] for name in names},
                "verdicts": self._verdicts(places.get((row["agent"], row["sample"]))),
            }
            for row in rows
        ]

    def _verdicts(self, place: Span | None) -> dict[str, bool]:
        if place is None:
            return {}
        path = self.path / SCORES
        score = typed(path, line_at(path, place), ScoreLine).score
        if not isinstance(score, Scored):
            return {}
        broken = {verdict.id: not verdict.holds for verdict in score.forbidden}
        return {**broken, **{verdict.id: verdict.holds for verdict in (*score.subgoals, *score.interactions)}}

    def task(self, task_id: str) -> Task:
        """A task that was played, without reading the others whole. Raises `InputError` when it is not there."""
        with self._lock:
            if task_id not in self._places:
                self._places = {
                    found.value["id"]: found.span for found in lines(self.path / TASKS) if found.value.get("id")
                }
            span = self._places.get(task_id)
        if span is None:
            raise InputError(f"there is no task {task_id[:80]!r} in this run", where=str(self.path))
        with (self.path / TASKS).open("rb") as stream:
            stream.seek(span.offset)
            return parse_task(stream.read(span.length), str(self.path / TASKS))

    def rewards(self) -> dict[str, tuple[float | None, int]]:
        """Task -> mean reward over what counts, and episodes."""
        sql = f"SELECT task_id, avg(CASE WHEN {_COUNTS} THEN reward END), count(*) FROM episodes GROUP BY task_id"
        with self._lock:
            return {task: (mean, count) for task, mean, count in self._opened().query(sql)}

    def _opened(self) -> Index:
        now = time.monotonic()
        if self._index is not None and now - self._looked < FRESH:
            return self._index
        sizes = self.sizes()
        if self._index is None or sizes != self._sizes:
            if self._index is not None:
                self._index.close()
            self._index, self._sizes = Index.open(self.path), sizes
        self._looked = now
        return self._index

    def _lively(self, episodes: int, wanted: int) -> bool:
        try:
            quiet = time.time() - (self.path / EPISODES).stat().st_mtime
        except OSError:
            return False
        return episodes < wanted and quiet < LIVELY


_TOLD = (
    "command", "agents", "user", "tools", "judge", "judge_mode", "reward", "protocol", "limits", "seed", "n",
    "tasks_file", "version", "scored_from", "faults",
)  # fmt: skip


def _where(asked: Mapping[str, str]) -> tuple[list[str], list[Any]]:
    where: list[str] = []
    values: list[Any] = []
    for name in EQUALS:
        if asked.get(name):
            where.append(f"{name} = ?")
            values.append(whole(asked, name, 0) if name == "sample" else asked[name])
    if asked.get("blame"):
        where.append(f"{_BLAME} = ?")
        values.append(asked["blame"])
    if asked.get("legal"):
        where.append("legal = ?")
        values.append(int(asked["legal"] == "yes"))
    if asked.get("scored"):
        where.append("reward IS NOT NULL" if asked["scored"] == "yes" else "reward IS NULL")
    for name, operator in (("min", ">="), ("max", "<=")):
        if asked.get(name):
            where.append(f"reward {operator} ?")
            values.append(_number(asked, name))
    return where, values


def _order(asked: Mapping[str, str]) -> str:
    wanted = asked.get("sort", "played")
    column = SORTS.get(wanted.removeprefix("-"))
    if column is None:
        raise InputError(f"sort: '{wanted[:40]}' is not one of {', '.join(SORTS)}")
    return f"{column} {'DESC' if wanted.startswith('-') else 'ASC'} NULLS LAST, offset"


def _number(asked: Mapping[str, str], name: str) -> float:
    try:
        return float(asked[name])
    except ValueError as error:
        raise InputError(f"{name}: a number is wanted, not '{asked[name][:40]}'") from error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
