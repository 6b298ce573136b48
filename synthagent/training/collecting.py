"""From tasks to groups of episodes with their tokens: what every trainer learns from. No torch here.

Which tasks are played follows what the policy can do by now: those whose mean reward lies in the recipe's band come
first, and groups that teach nothing are drawn again (Yu et al., *DAPO*, arXiv 2503.14476, section 3.2). A task that was
never played is judged by its like: same domain, same goals, same twin.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from synthagent.errors import EndpointDown, InputError
from synthagent.rollouts.batch import lost
from synthagent.rollouts.group import Outcome, roll
from synthagent.schema.episodes import Limits
from synthagent.schema.scores import Scored, Unscored
from synthagent.schema.tasks import Task
from synthagent.scoring.scorer import PLAIN, Scoring
from synthagent.simulation.agent import Agent, ToolForm
from synthagent.simulation.episode import Cast, Stage, prepare
from synthagent.simulation.model_agent import sampling_seed
from synthagent.training.advantages import without_variance
from synthagent.training.policy import Policy, PolicyAgent
from synthagent.training.recipe import Rollouts, Selection
from synthagent.training.syllabus import is_reasoning
from synthagent.training.tokens import Tokens
from synthagent.workers import Streak, work_off

Supporting = Callable[[Stage, int, Agent], Cast]
"""(stage, sample, agent) -> who plays with this agent."""
WEIGHT = 0.5
"""Of the latest group in the running mean of what a kind of task earns: the policy changes under it."""


@dataclass(frozen=True, slots=True)
class Try:
    """One episode of the policy, and its tokens."""

    outcome: Outcome
    tokens: Tokens | None
    """None: it failed before the policy wrote anything."""

    @property
    def reward(self) -> float | None:
        """None for what must not be learnt from: unscored, or a zero that the agent did not cause (invariant 4)."""
        score = self.outcome.score
        return score.reward if self.tokens is not None and isinstance(score, Scored) and score.counts else None


@dataclass(frozen=True, slots=True)
class TryGroup:
    """All tries at one task in one step."""

    task: Task
    tries: tuple[Try, ...]

    @property
    def rewards(self) -> list[float | None]:
        """One a try."""
        return [one.reward for one in self.tries]


@dataclass(frozen=True, slots=True)
class Playing:
    """How the policy plays: everything but the task."""

    policy: Policy
    form: ToolForm
    supporting: Supporting
    rollouts: Rollouts
    scoring: Scoring = PLAIN

    @property
    def limits(self) -> Limits:
        """When an episode is cut."""
        mine = self.rollouts
        return Limits(
            turns=mine.turns, tokens=mine.response_tokens, malformed=mine.malformed, errors=mine.errors,
            seconds=mine.seconds,
        )  # fmt: skip

    async def play(self, stage: Stage, sample: int, seed: int, temperature: float | None = None) -> Try:
        """One episode. Never raises for what an episode can suffer."""
        agent = PolicyAgent(
            self.policy, self.form, max_tokens=self.rollouts.turn_tokens,
            temperature=self.rollouts.temperature if temperature is None else temperature,
            seed=sampling_seed(seed, stage.task.id, sample), most=self.rollouts.response_tokens,
        )  # fmt: skip

        def casting(stage: Stage, sample: int) -> Cast:
            return self.supporting(stage, sample, agent)

        try:
            outcome = await roll(stage, casting, self.limits, sample, seed, agent.name, self.scoring)
        finally:
            agent.close()
        return Try(outcome, agent.tokens if agent.wrote else None)

    async def play_all(
        self, jobs: Sequence[tuple[Stage, int]], seed: int, temperature: float | None = None,
        tell: Callable[[], None] = lambda: None,
    ) -> list[Try]:  # fmt: skip
        """All of these (stage, sample) pairs, in their order. Raises `EndpointDown` when infrastructure is gone."""
        found: dict[int, Try] = {}
        streak = Streak("episodes")

        async def do(numbered: tuple[int, tuple[Stage, int]]) -> None:
            place, (stage, sample) = numbered
            found[place] = await self.play(stage, sample, seed, temperature)
            streak.see(lost(found[place].outcome.score))
            tell()

        await work_off(iter(enumerate(jobs)), do, self.rollouts.slots)
        return [found[place] for place in range(len(jobs))]


@dataclass(frozen=True, slots=True)
class Collected:
    """What one step brought."""

    groups: tuple[TryGroup, ...]
    """To be learnt from: their rewards differ."""
    played: tuple[TryGroup, ...]
    """All of them, in the order in which they were played."""
    redrawn: int
    """Groups played in place of such as teach nothing."""
    seconds: float

    @property
    def zero_variance(self) -> float:
        """Share of the groups played that teach nothing."""
        return 1 - len(self.groups) / max(len(self.played), 1)


class Curriculum:
    """Which tasks come next."""

    def __init__(self, tasks: Sequence[Task], selection: Selection, seed: int, reasoning: float = 0.0):
        """`reasoning`: share of reasoning tasks in what is drawn. Raises `InputError` where there are none to draw."""
        self._tasks, self._selection, self._seed, self._share = list(tasks), selection, seed, reasoning
        self._thinking = [place for place, task in enumerate(tasks) if is_reasoning(task)]
        self._acting = [place for place, task in enumerate(tasks) if not is_reasoning(task)]
        if (reasoning and not self._thinking) or (reasoning < 1 and not self._acting):
            raise InputError("there are no tasks to train on" if not tasks else "one kind of tasks is missing")
        self._kinds = [kind_of(task) for task in tasks]
        self._places = {task.id: place for place, task in enumerate(tasks)}
        self._drawn: set[int] = set()
        self._dealt = {"all": 0, "reasoning": 0}
        self._rates: dict[str, float] = {}
        self._own: dict[int, float] = {}

    def draw(self, count: int, turn: str) -> list[Task]:
        """The next `count` tasks, none twice before all of its kind were drawn: what acts, then what reasons.

        `turn` names the draw: the same name, the same tasks. Over all draws the share of reasoning tasks is kept to
        within one task.
        """
        random = Random(f"{self._seed}/{turn}")
        due = round((self._dealt["all"] + count) * self._share) - self._dealt["reasoning"]
        thinking = min(max(due, 0), count)
        self._dealt = {"all": self._dealt["all"] + count, "reasoning": self._dealt["reasoning"] + thinking}
        found = [*self._deal(self._acting, count - thinking, random), *self._deal(self._thinking, thinking, random)]
        return [self._tasks[place] for place in found]

    def _deal(self, deck: Sequence[int], count: int, random: Random) -> list[int]:
        """Places of a deck, which is taken up anew when it is spent."""
        found: list[int] = []
        while len(found) < count:
            left = [place for place in deck if place not in self._drawn]
            if not left:
                self._drawn.difference_update(deck)
                continue
            need = count - len(found)
            pool = random.sample(left, min(len(left), need * self._selection.pool))
            taken = sorted(pool, key=self._outside)[:need]
            self._drawn.update(taken)
            found += taken
        return found

    def saw(self, group: TryGroup) -> None:
        """Takes what a group earned."""
        known = [reward for reward in group.rewards if reward is not None]
        if not known:
            return
        rate = sum(known) / len(known)
        place = self._places[group.task.id]
        self._own[place] = rate
        kind = self._kinds[place]
        self._rates[kind] = rate if kind not in self._rates else WEIGHT * rate + (1 - WEIGHT) * self._rates[kind]

    def _outside(self, place: int) -> float:
        """How far from the band a task is thought to be; 0 for one that is within, or of which nothing is known."""
        rate = self._own.get(place, self._rates.get(self._kinds[place]))
        if rate is None:
            return 0.0
        return max(self._selection.low - rate, rate - self._selection.high, 0.0)

    def state(self) -> dict[str, Any]:
        """Everything that changes, as JSON."""
        own = {str(place): rate for place, rate in sorted(self._own.items())}
        rates = dict(sorted(self._rates.items()))
        return {"drawn": sorted(self._drawn), "dealt": dict(self._dealt), "rates": rates, "own": own}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes up a state that `state` gave, on the same tasks."""
        self._drawn, self._dealt = set(state["drawn"]), dict(state["dealt"])
        self._rates = dict(state["rates"])
        self._own = {int(place): rate for place, rate in state["own"].items()}


def kind_of(task: Task) -> str:
    """What a task is like: tasks of one kind are about equally hard."""
    made = task.provenance
    return f"{made.domain}/{'+'.join(made.templates)}/{made.legal}" if made.domain else task.family


async def collect(
    curriculum: Curriculum, playing: Playing, selection: Selection, seed: int, step: int,
    tell: Callable[[], None] = lambda: None,
) -> Collected:  # fmt: skip
    """The groups of one step, redrawn as the recipe says."""
    begun = time.monotonic()
    played: list[TryGroup] = []
    useful: list[TryGroup] = []
    wanted = playing.rollouts.tasks
    seen: Counter[str] = Counter()
    for turn in range(selection.redraws + 1):
        need = wanted - len(useful)
        tasks = curriculum.draw(need, f"{step}/{turn}")
        groups = await roll_groups(tasks, playing, seed * 1_000_003 + step, tell, seen)
        for group in groups:
            curriculum.saw(group)
        played += groups
        useful += [group for group in groups if not without_variance(group.rewards)]
        if len(useful) >= wanted:
            break
    _refuse_nothing(played)
    return Collected(tuple(useful), tuple(played), len(played) - wanted, time.monotonic() - begun)


async def roll_groups(
    tasks: Sequence[Task], playing: Playing, seed: int, tell: Callable[[], None] = lambda: None,
    seen: Counter[str] | None = None,
) -> list[TryGroup]:  # fmt: skip
    """A group of tries at each task.

    `seen`: groups that each task had already under this seed, brought up to date here. A task that comes again gets
    further samples, not the same ones.
    """
    size = playing.rollouts.group
    seen = Counter() if seen is None else seen
    jobs: list[tuple[Stage, int]] = []
    for task in tasks:
        stage, first = prepare(task), seen[task.id] * size
        seen[task.id] += 1
        jobs += [(stage, first + n) for n in range(size)]
    tries = await playing.play_all(jobs, seed, tell=tell)
    return [TryGroup(task, tuple(tries[n * size : (n + 1) * size])) for n, task in enumerate(tasks)]


def _refuse_nothing(played: Sequence[TryGroup]) -> None:
    """Raises `EndpointDown` when no episode of a step has a reward: nothing can be learnt, and something is broken."""
    tries = [one for group in played for one in group.tries]
    if tries and all(one.reward is None for one in tries):
        score = tries[0].outcome.score
        why = (
            f"{score.blame}: {score.reason}: {score.detail[-300:]}"
            if isinstance(score, Unscored)
            else "not the agent's"
        )
        raise EndpointDown(f"none of {len(tries)} episodes has a reward to learn from; the first: {why}")
