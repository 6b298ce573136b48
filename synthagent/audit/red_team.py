"""What agents that do not try earn on a task set, and the tasks that pay them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from synthagent.errors import TaskFault
from synthagent.schema.tasks import Task
from synthagent.scoring.scorer import PLAIN, Scoring
from synthagent.simulation.episode import prepare
from synthagent.simulation.response_map import Tools
from synthagent.synthesis.red_team import BOUNDS, earnings

MOST = {**BOUNDS, "spam": 0.5}
"""Agent -> the most it may earn on one task. Who calls every tool may happen upon a look-up that counts; the bound on
its mean stays."""


@dataclass(frozen=True, slots=True)
class Breach:
    """A task that pays an agent more than it may earn."""

    task: str
    agent: str
    reward: float
    bound: float


@dataclass(slots=True)
class RedTeam:
    """What came of a task set."""

    rewards: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in BOUNDS})
    breaches: list[Breach] = field(default_factory=list)
    tasks: int = 0
    unscored: int = 0
    """Tries without a reward: broken tasks, and criteria that only a judge can tell."""

    def see(self, task: str, earned: dict[str, float]) -> None:
        """Takes note of what the agents earn on one task."""
        self.tasks += 1
        self.unscored += len(BOUNDS) - len(earned)
        for name, reward in earned.items():
            self.rewards[name].append(reward)
            if reward > MOST[name]:
                self.breaches.append(Breach(task, name, reward, MOST[name]))

    @property
    def means(self) -> dict[str, float | None]:
        """Agent -> mean reward; None for one that has none."""
        return {name: sum(found) / len(found) if found else None for name, found in self.rewards.items()}

    @property
    def held(self) -> bool:
        """No task lets an agent through, and no mean is beyond its bound. Of an agent without a score nobody knows."""
        within = all(mean is not None and mean <= BOUNDS[name] for name, mean in self.means.items())
        return not self.tasks or (within and not self.breaches)

    @property
    def breached(self) -> list[str]:
        """Ids of the tasks that let an agent through, each once."""
        return list(dict.fromkeys(breach.task for breach in self.breaches))


async def attack(tasks: Iterable[Task], found: RedTeam, tools: Tools | None = None, scoring: Scoring = PLAIN) -> None:
    """Lets every agent play every task once."""
    for task in tasks:
        try:
            earned = await earnings(prepare(task), tools, scoring)
        except TaskFault:
            earned = {}
        found.see(task.id, earned)


def worst(breaches: Sequence[Breach], most: int) -> list[Breach]:
    """The breaches that pay most."""
    return sorted(breaches, key=lambda breach: breach.bound - breach.reward)[:most]
