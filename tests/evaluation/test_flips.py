"""Two scorings of the same episodes: what changed, criterion by criterion."""

from typing import Any

from synthagent.errors import Blame
from synthagent.evaluation.flips import Changes, Scoring, changes
from synthagent.schema.scores import Scored, Unscored, Verdict
from synthagent.schema.tasks import Criterion, Rubric, Task, identified
from synthagent.storage.tables import ScoreLine
from tests.builders import library

LOOKED, TOLD, RUDE, ASKED = "Looked", "Told", "Was rude", "Asked"


def with_rubric(**parts: list[tuple[str, str]]) -> Task:
    """The library's task under a rubric of (id, text)."""
    made = {name: tuple(Criterion(id=id_, text=text) for id_, text in some) for name, some in parts.items()}
    return identified(library().model_copy(update={"rubric": Rubric(**made)}))


TASK = with_rubric(forbidden=[("f1", RUDE)], subgoals=[("s1", LOOKED), ("s2", TOLD)], interactions=[("i1", ASKED)])


def line(task: Task, reward: float | None, *held: str, sample: int = 0, agent: str = "small") -> ScoreLine:
    """A score of the task in which the criteria of these ids hold; no reward: nobody could tell."""
    named: dict[str, Any] = {"task_id": task.id, "sample": sample, "rubric_id": task.rubric.rubric_id}
    if reward is None:
        return ScoreLine(agent=agent, score=Unscored(**named, blame=Blame.JUDGE, reason="cannot_tell"))
    parts = {
        name: tuple(Verdict(id=c.id, holds=c.id in held) for c in getattr(task.rubric, name))
        for name in ("forbidden", "subgoals", "interactions")
    }
    return ScoreLine(agent=agent, score=Scored(**named, **parts, reward=reward, gate=1, n=reward, i=None))


def scoring(*lines: ScoreLine, tasks: tuple[Task, ...] = (TASK,)) -> Scoring:
    return Scoring({task.id: task for task in tasks}, lines)


def flips(found: Changes) -> list[tuple[str, str, int, int, int]]:
    return [(flip.criterion, flip.text, flip.pairs, flip.to_true, flip.to_false) for flip in found.flips]


def test_the_same_scores_do_not_differ():
    one = [line(TASK, 0.5, "s1", sample=n) for n in range(3)]
    found = changes(scoring(*one), scoring(*one))
    assert (found.episodes, found.rewards_changed, found.scored_now, found.unscored_now) == (3, 0, 0, 0)
    assert (found.verdicts, found.flips, found.unmatched) == (12, (), 0)


def test_a_flip_is_told_by_its_criterion_and_in_which_direction():
    mine = [line(TASK, 1.0, "s1", "s2"), line(TASK, 0.5, "s2", sample=1), line(TASK, 0.5, "s2", sample=2)]
    theirs = [line(TASK, 0.5, "s1"), line(TASK, 0.5, "s1", sample=1), line(TASK, 0.5, "s2", "f1", sample=2)]
    found = changes(scoring(*mine), scoring(*theirs))
    assert flips(found) == [
        ("s2", "sub-goal: Told", 3, 2, 0), ("f1", "forbidden: Was rude", 3, 0, 1), ("s1", "sub-goal: Looked", 3, 0, 1),
    ]  # fmt: skip
    assert (found.rewards_changed, found.verdicts) == (1, 12)
    assert {flip.task for flip in found.flips} == {TASK.id}


def test_criteria_pair_by_what_they_say_under_another_rubric_whatever_their_ids():
    other = with_rubric(subgoals=[("a", TOLD), ("b", LOOKED), ("c", "Something new")], interactions=[("i1", ASKED)])
    assert other.id != TASK.id
    found = changes(scoring(line(other, 0.5, "a", "i1"), tasks=(other,)), scoring(line(TASK, 0.5, "s1", "i1")))
    assert flips(found) == [("a", "sub-goal: Told", 1, 1, 0), ("b", "sub-goal: Looked", 1, 0, 1)]
    assert (found.episodes, found.verdicts, found.unmatched) == (1, 3, 2)
    assert {flip.task for flip in found.flips} == {other.id}, "tasks are named as this run names them"


def test_the_same_words_in_another_part_are_another_criterion():
    other = with_rubric(subgoals=[("s1", LOOKED), ("s2", RUDE)])
    found = changes(scoring(line(other, 0.5, "s2"), tasks=(other,)), scoring(line(TASK, 0.5)))
    assert (flips(found), found.verdicts, found.unmatched) == ([], 1, 4)


def test_criteria_that_read_alike_are_told_apart_by_their_order():
    twice = with_rubric(subgoals=[("s1", LOOKED), ("s2", LOOKED), ("s3", TOLD)])
    found = changes(scoring(line(twice, 0.5, "s1"), tasks=(twice,)), scoring(line(twice, 0.5, "s2"), tasks=(twice,)))
    assert flips(found) == [("s1", "sub-goal: Looked", 1, 1, 0), ("s2", "sub-goal: Looked (2)", 1, 0, 1)]
    assert found.verdicts == 3


def test_what_is_unscored_has_no_verdicts_and_is_counted_by_where_it_is():
    mine = [line(TASK, None), line(TASK, 1.0, sample=1), line(TASK, None, sample=2)]
    theirs = [line(TASK, 1.0), line(TASK, None, sample=1), line(TASK, None, sample=2)]
    found = changes(scoring(*mine), scoring(*theirs))
    assert (found.episodes, found.scored_now, found.unscored_now) == (3, 1, 1)
    assert (found.rewards_changed, found.verdicts, found.unmatched) == (0, 0, 0)


def test_episodes_pair_by_agent_play_and_sample():
    elsewhere = identified(TASK.model_copy(update={"brief": TASK.brief.model_copy(update={"instruction": "Hello!"})}))
    mine = [line(TASK, 1.0), line(TASK, 1.0, agent="large"), line(TASK, 1.0, sample=7), line(elsewhere, 1.0)]
    found = changes(scoring(*mine, tasks=(TASK, elsewhere)), scoring(line(TASK, 0.0)))
    assert (found.episodes, found.rewards_changed) == (1, 1)


def test_the_latest_score_of_an_episode_counts_on_both_sides():
    mine = [line(TASK, 0.0), line(TASK, 1.0, "s1", "s2")]
    theirs = [line(TASK, 0.0), line(TASK, None), line(TASK, 1.0, "s1", "s2")]
    assert changes(scoring(*mine), scoring(*theirs)).rewards_changed == 0


def test_a_score_of_a_task_that_is_not_there_is_passed_over():
    assert changes(scoring(line(TASK, 1.0), tasks=()), scoring(line(TASK, 0.0))).episodes == 0
