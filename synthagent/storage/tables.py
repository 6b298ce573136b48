"""The tables of the index and the records that go in and out of them."""

from typing import Annotated, NamedTuple

from pydantic import Field

from synthagent.errors import Blame
from synthagent.schema.episodes import Stop
from synthagent.schema.record import Record
from synthagent.schema.scores import Score
from synthagent.schema.tasks import Provenance

VERSION = 2
"""Of the tables; an index of another version is built again."""


class Key(NamedTuple):
    """What names an episode within a run."""

    agent: str
    task_id: str
    sample: int


class ScoreLine(Record):
    """One line of scores.jsonl. The latest line of an agent, task, sample and rubric counts."""

    agent: str
    score: Annotated[Score, Field(discriminator="kind")]


class TaskHead(Record, extra="ignore"):
    """What the index keeps of a task. Not a `Task`: that would check every world and hash it anew."""

    id: str
    family: str
    provenance: Provenance = Provenance()


class EpisodeRow(Record):
    """One row of the view `episodes`: an episode, its task, and its latest score."""

    agent: str
    task_id: str
    sample: int
    family: str | None
    """None, like the next three, when the task is not in the folder's tasks.jsonl."""
    domain: str | None
    legal: bool | None
    features: tuple[str, ...]
    user: str
    stop: Stop
    malformed: int
    turns: int
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    started: float
    tools_called: tuple[str, ...]
    """Names of the tools called, each once, in the order of their first call."""
    rubric_id: str | None
    """Of the latest score; None when there is none yet."""
    reward: float | None
    gate: int | None
    n: float | None
    i: float | None
    blame: Blame | None
    """Whose fault a reward of zero is."""
    reason: str | None
    """Why a reward is zero."""
    unscored_blame: Blame | None
    """Whose fault it is that there is no reward."""
    unscored_reason: str | None
    offset: int
    """Of the episode's line in episodes.jsonl, in bytes."""
    length: int

    @property
    def counts(self) -> bool:
        """Whether it has a reward that says something of the agent: see `Scored.counts`."""
        return self.reward is not None and self.blame in (None, Blame.AGENT)


TABLES = """
CREATE TABLE marks (journal TEXT PRIMARY KEY, bytes INTEGER NOT NULL, tail TEXT NOT NULL) STRICT;
CREATE TABLE tasks (
    task_id TEXT PRIMARY KEY, family TEXT NOT NULL, domain TEXT NOT NULL, legal INTEGER NOT NULL,
    features TEXT NOT NULL
) STRICT;
CREATE TABLE played (
    agent TEXT, task_id TEXT, sample INTEGER, user TEXT NOT NULL, stop TEXT NOT NULL, malformed INTEGER NOT NULL,
    turns INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, seconds REAL NOT NULL,
    started REAL NOT NULL, tools_called TEXT NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL,
    PRIMARY KEY (agent, task_id, sample)
) STRICT;
CREATE TABLE scored (
    agent TEXT, task_id TEXT, sample INTEGER, rubric_id TEXT, reward REAL, gate INTEGER, n REAL, i REAL, blame TEXT,
    reason TEXT, unscored_blame TEXT, unscored_reason TEXT, offset INTEGER NOT NULL, length INTEGER NOT NULL,
    PRIMARY KEY (agent, task_id, sample, rubric_id)
) STRICT;
CREATE INDEX played_offset ON played (offset);
CREATE INDEX scored_offset ON scored (offset);
CREATE VIEW episodes AS
SELECT
    played.agent AS agent, played.task_id AS task_id, played.sample AS sample,
    tasks.family AS family, tasks.domain AS domain, tasks.legal AS legal, coalesce(tasks.features, '[]') AS features,
    played.user AS user, played.stop AS stop, played.malformed AS malformed, played.turns AS turns,
    played.prompt_tokens AS prompt_tokens, played.completion_tokens AS completion_tokens,
    played.seconds AS seconds, played.started AS started, played.tools_called AS tools_called,
    scored.rubric_id AS rubric_id, scored.reward AS reward, scored.gate AS gate, scored.n AS n, scored.i AS i,
    scored.blame AS blame, scored.reason AS reason, scored.unscored_blame AS unscored_blame,
    scored.unscored_reason AS unscored_reason,
    played.offset AS offset, played.length AS length
FROM played
LEFT JOIN tasks ON tasks.task_id = played.task_id
LEFT JOIN scored ON scored.agent = played.agent AND scored.task_id = played.task_id
    AND scored.sample = played.sample AND scored.offset = (
        SELECT max(latest.offset) FROM scored AS latest
        WHERE latest.agent = played.agent AND latest.task_id = played.task_id AND latest.sample = played.sample
    )
"""
