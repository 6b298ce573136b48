"""From a problem and a persona to a verified reasoning task: asked in the persona's words, solved, agreed on.

Source: Lyu et al., *Mock Worlds, Real Skills*, on reasoning data: a problem is rewritten into a persona's scenario, and
kept if every one of several solutions comes to the same answer, and to the known one where there is one.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from synthagent.errors import Blame, ModelFailed
from synthagent.reasoning.problems import Problem
from synthagent.reasoning.rewriting import fingerprints, rewrite
from synthagent.reasoning.tasks import as_task, posed
from synthagent.schema.episodes import Episode
from synthagent.schema.messages import Usage
from synthagent.schema.record import dump
from synthagent.schema.scores import Score, Scored
from synthagent.schema.tasks import Provenance, Task
from synthagent.scoring.answers import final_answer, given_answer
from synthagent.synthesis.personal_data import personal_data
from synthagent.synthesis.teaching import Desk, Outcome, Refused, settled

Solves = Callable[[Task], Awaitable[Sequence[Episode]]]
"""Lets the teacher play a task several times. Raises `ModelFailed` where infrastructure failed."""
Scores = Callable[[Task, Episode], Awaitable[Score]]
"""Scores an episode under a task."""


@dataclass(frozen=True, slots=True)
class Asking:
    """A problem, and who is to ask it."""

    problem: Problem
    persona: str


def askings(problems: Sequence[Problem], personas: Sequence[str], variants: int, seed: int) -> Iterator[Asking]:
    """Every problem with a persona drawn for it, `variants` times over, never twice with one persona if it can be."""
    for variant in range(variants):
        for number, problem in enumerate(problems):
            order = Random(f"{seed}/{number}").sample(range(len(personas)), min(variants, len(personas)))
            yield Asking(problem, personas[order[variant % len(order)]])


async def question_of(
    desk: Desk, index: int, asking: Asking, solves: Solves, scores: Scores, spent: Callable[[], Usage]
) -> Outcome:
    """The task that came of it, or why there is none."""
    return await settled(desk, index, asking.persona, _made(desk, index, asking, solves, scores), spent)


async def _made(desk: Desk, index: int, asking: Asking, solves: Solves, scores: Scores) -> Sequence[Task]:
    if private := personal_data(asking.persona):
        raise Refused("persona", "personal data", private)
    sample = desk.seed * 1_000_003 + index
    problem = await rewrite(desk.teacher, asking.problem, asking.persona, sample)
    desk.keep(index, "rewrite", {"problem": problem.id, "question": problem.question})
    tried = as_task(problem) if problem.gold else posed(problem)
    episodes = await solves(tried)
    said = [given_answer(problem.answer, found[1]) if (found := final_answer(one)) else None for one in episodes]
    desk.keep(index, "solutions", said)
    if any(answer is None or not answer.strip() for answer in said):
        stops = ", ".join(str(one.stop) for one in episodes)
        raise Refused("solving", "no answer", [f"{sum(not a for a in said)} of {len(said)} tries: {stops}"])
    known = problem.gold is not None
    task = as_task(problem if known else problem.model_copy(update={"gold": said[0]}))
    await _agreed(task, episodes, [answer or "" for answer in said], scores, known=known)
    desk.keep(index, "task", dump(task))
    return [_with_provenance(task, desk, asking, known=known)]


async def _agreed(task: Task, episodes: Sequence[Episode], said: Sequence[str], scores: Scores, *, known: bool) -> None:
    """Raises `Refused` unless every try earns the whole reward, and what is at fault where one cannot be scored."""
    wrong = []
    for episode, answer in zip(episodes, said, strict=True):
        score = await scores(task, episode.model_copy(update={"task_id": task.id}))
        if not isinstance(score, Scored):
            if score.blame is Blame.INFRASTRUCTURE:
                raise ModelFailed(score.detail or score.reason, reason=score.reason)
            raise Refused("agreement", f"not comparable ({score.reason})", [f"{answer[:200]}: {score.detail}"])
        if score.reward < 1:
            wrong.append(answer)
    if wrong:
        gold = task.rubric.subgoals[0].text
        reason = "not the known answer" if known else "the tries disagree"
        raise Refused("agreement", reason, [f"{len(wrong)} of {len(said)}: {a[:200]} ({gold[:200]})" for a in wrong])


def _with_provenance(task: Task, desk: Desk, asking: Asking, *, known: bool) -> Task:
    problem = asking.problem
    licence = "; ".join(filter(None, (problem.licence, desk.licence)))
    made = Provenance(
        persona=asking.persona,
        teacher=desk.name,
        domain=problem.source.partition("@")[0] or "reasoning",
        features=("reasoning", problem.answer, *problem.tools),
        seeds=(desk.seed,),
        prompts=fingerprints(),
        parents=(f"{problem.source}#{problem.id}",),
        screening={"solved": "passed", "gold": "known" if known else "agreed"},
        output_licence=licence,
    )
    return task.model_copy(update={"provenance": made})
