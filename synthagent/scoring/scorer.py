"""`score`: one episode, one rubric, a reward with its proof; or the reason why there is none, and whose fault it is."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from synthagent.errors import Blame, EpisodeFailure
from synthagent.schema.checks import Answered, AnswerSpec
from synthagent.schema.episodes import Episode, Stop
from synthagent.schema.scores import FormulaName, Score, Scored, Unscored, Verdict, Weights
from synthagent.schema.tasks import Criterion, Rubric
from synthagent.scoring.answers import Comparer, at_once, final_answer, specs_in
from synthagent.scoring.blame import Cause, cause_of
from synthagent.scoring.checks import Evidence, decide
from synthagent.scoring.citations import Open, opened
from synthagent.scoring.judge import Judge, Ruling, verdict_of
from synthagent.scoring.reward import formula_of, gate_of, share
from synthagent.simulation.episode import Stage, replay
from synthagent.simulation.world import Final

FACTS = "facts"
"""Name of the user that is no model."""


@dataclass(frozen=True, slots=True)
class Scoring:
    """How episodes are scored."""

    judge: Judge | None = None
    """Who decides what code cannot see; None: nobody, and such episodes stay unscored."""
    formula: FormulaName = "mean"
    weights: Weights = field(default_factory=Weights)
    answers: Comparer | None = None
    """Who compares final answers as mathematics; None: nobody, and what is not equal word for word stays unscored."""

    def paper(self, stage: Stage) -> bool:
        """The judge decides everything about an episode. Of an answer it only decides what code cannot."""
        return self.judge is not None and self.judge.mode == "paper" and stage.task.kind != "reasoning"


PLAIN = Scoring()


def score(
    stage: Stage, episode: Episode, final: Final | None = None, scoring: Scoring = PLAIN,
    equal: Mapping[AnswerSpec, bool] | None = None,
) -> Score:  # fmt: skip
    """Scores an episode under its task's rubric, by code alone; `equal`: what the final answer was found to come to.

    `final` is the state it ended in, when it has just been played; without it the stored calls are replayed, and a
    response that differs makes the episode unscored (infrastructure). A failure never becomes a number (invariant 4).
    """
    if failed := _unplayed(stage, episode):
        return failed
    if _left_to_judge(stage, episode, paper=False):
        return _unscored(
            stage, episode, Blame.JUDGE, "no_judge", "there is no judge, and only one can decide a criterion"
        )
    try:
        return _scored(stage, episode, checked(stage, episode, final, equal), scoring)
    except EpisodeFailure as error:
        return _unscored(stage, episode, error.blame, error.reason, str(error))


async def judged(stage: Stage, episode: Episode, final: Final | None = None, scoring: Scoring = PLAIN) -> Score:
    """Scores an episode, the judge deciding what code cannot: it is never asked about anything that has a check.

    In the judge's mode `paper` it decides everything, and no check is looked at.
    """
    if failed := _unplayed(stage, episode):
        return failed
    try:
        equal = await _compared(stage, episode, scoring.answers)
    except EpisodeFailure as error:
        return _unscored(stage, episode, error.blame, error.reason, str(error))
    asked = _left_to_judge(stage, episode, paper=scoring.paper(stage))
    if scoring.judge is None or not asked:
        return score(stage, episode, final, scoring, equal)
    return (await ruled(stage, episode, scoring, asked, final, equal))[0]


async def _compared(stage: Stage, episode: Episode, answers: Comparer | None) -> dict[AnswerSpec, bool]:
    """What the final answer comes to, of the mathematics that the rubric asks for; what shows at once is left out."""
    found = final_answer(episode)
    if found is None or answers is None:
        return {}
    specs = {spec for criterion in criteria_of(stage.task.rubric) for spec in specs_in(criterion.check)}
    open_ = [spec for spec in specs if spec.kind == "math" and at_once(spec, found[1]) is None]
    return {spec: await answers.equal(spec.gold, found[1]) for spec in open_}


def _left_to_judge(stage: Stage, episode: Episode, *, paper: bool) -> list[Open]:
    """What only a judge can decide about an episode: criteria without a check, and an answer in other words."""
    brief, rubric = stage.task.brief, stage.task.rubric
    asked = opened(rubric, brief, all_=paper)
    if paper or (found := final_answer(episode)) is None:
        return asked
    known = {item.criterion.id for item in asked}
    answers = {criterion.id for criterion in criteria_of(rubric) if _in_other_words(criterion, found[1])}
    if not answers:  # as nearly always, and to tell what each criterion names takes longer than the checks
        return asked
    return [item for item in opened(rubric, brief, all_=True) if item.criterion.id in known | answers]


def _in_other_words(criterion: Criterion, text: str) -> bool:
    """Whether the criterion is a free answer, which this text does not give word for word."""
    check = criterion.check
    return isinstance(check, Answered) and check.answer.kind == "text" and at_once(check.answer, text) is None


async def ruled(
    stage: Stage, episode: Episode, scoring: Scoring, asked: Sequence[Open], final: Final | None = None,
    equal: Mapping[AnswerSpec, bool] | None = None,
) -> tuple[Score, dict[str, Ruling]]:  # fmt: skip
    """(the score, what the judge makes of each criterion it was asked about). Where there is a check, it decides."""
    judge = scoring.judge
    assert judge is not None
    if failed := _unplayed(stage, episode):
        return failed, {}
    rulings: dict[str, Ruling] = {}
    try:
        if equal is None:
            equal = await _compared(stage, episode, scoring.answers)
        by_code = {} if scoring.paper(stage) else checked(stage, episode, final, equal)
        rulings = await judge.rule(stage.task.brief, episode, asked) if asked else {}
        told = {id_: verdict_of(id_, ruling) for id_, ruling in rulings.items() if id_ not in by_code}
        return _scored(stage, episode, told | by_code, scoring), rulings
    except EpisodeFailure as error:
        at_fault = judge.name if error.blame is Blame.JUDGE else ""
        return _unscored(stage, episode, error.blame, error.reason, str(error), at_fault), rulings


def again(stage: Stage, episode: Episode, old: Scored, scoring: Scoring = PLAIN) -> Score:
    """Scores an episode once more under the same rubric, with the verdicts that a judge gave it: nobody is asked.

    An answer that was compared is not compared again.
    """
    verdicts = {verdict.id: verdict for verdict in (*old.forbidden, *old.subgoals, *old.interactions)}
    try:
        if old.judge_mode != "paper":
            known = {spec: verdicts[id_].holds for id_, spec in _answers(stage.task.rubric) if id_ in verdicts}
            verdicts |= checked(stage, episode, equal=known)
        found = _scored(stage, episode, verdicts, scoring)
    except EpisodeFailure as error:
        return _unscored(stage, episode, error.blame, error.reason, str(error))
    return found.model_copy(update={"judge": old.judge, "judge_mode": old.judge_mode})


def _answers(rubric: Rubric) -> Iterator[tuple[str, AnswerSpec]]:
    """Ids of the criteria that are an answer and nothing else."""
    for criterion in criteria_of(rubric):
        if isinstance(criterion.check, Answered):
            yield criterion.id, criterion.check.answer


def _unplayed(stage: Stage, episode: Episode) -> Unscored | None:
    """An episode that did not come to an end that may be scored."""
    if episode.failure is not None:
        return _unscored(stage, episode, episode.failure.blame, episode.failure.reason, episode.failure.detail)
    if episode.stop in (Stop.FAILED, Stop.TIME_LIMIT):
        return _unscored(stage, episode, Blame.INFRASTRUCTURE, episode.stop.value)
    return None


def checked(
    stage: Stage, episode: Episode, final: Final | None = None, equal: Mapping[AnswerSpec, bool] | None = None
) -> dict[str, Verdict]:
    """A verdict for every criterion that code can decide, by id, whatever the others are. Raises `EpisodeFailure`."""
    evidence = Evidence(stage, episode, final or replay(stage, episode), equal)
    judges = {item.criterion.id for item in _left_to_judge(stage, episode, paper=False)}
    verdicts = {}
    for criterion in criteria_of(stage.task.rubric):
        if criterion.check is not None and criterion.id not in judges:
            finding = decide(criterion.check, evidence)
            verdicts[criterion.id] = Verdict(id=criterion.id, holds=finding.holds, events=finding.events)
    return verdicts


def criteria_of(rubric: Rubric) -> tuple[Criterion, ...]:
    """All criteria of a rubric; their ids are unique within it."""
    return (*rubric.forbidden, *rubric.subgoals, *rubric.interactions)


def _scored(stage: Stage, episode: Episode, verdicts: Mapping[str, Verdict], scoring: Scoring) -> Scored:
    rubric = stage.task.rubric
    forbidden, subgoals, interactions = (
        _of(part, verdicts) for part in (rubric.forbidden, rubric.subgoals, rubric.interactions)
    )
    gate, n, i = gate_of(forbidden), share(subgoals), share(interactions)
    assert n is not None  # a task without sub-goals does not load
    reward = formula_of(scoring.formula, scoring.weights)(gate, n, i)
    cause = None
    if reward == 0:
        opening = stage.task.brief.instruction
        cause = cause_of(episode, opening, stage.listener, forbidden, scripted=episode.user == FACTS)
        said = final_answer(episode) if stage.task.kind == "reasoning" else None
        if cause.reason == "did_nothing" and said is not None and said[1].strip():
            cause = Cause(Blame.AGENT, "wrong_answer")
    by_judge = scoring.judge is not None and any(verdict.by == "judge" for verdict in verdicts.values())
    return Scored(
        task_id=episode.task_id,
        sample=episode.sample,
        rubric_id=rubric.rubric_id,
        reward=reward,
        gate=gate,
        n=n,
        i=i,
        forbidden=forbidden,
        subgoals=subgoals,
        interactions=interactions,
        blame=cause.blame if cause else None,
        reason=cause.reason if cause else "",
        formula=scoring.formula,
        judge=scoring.judge.name if by_judge and scoring.judge else "",
        judge_mode=scoring.judge.mode if by_judge and scoring.judge else "checks",
    )


def _of(criteria: Sequence[Criterion], verdicts: Mapping[str, Verdict]) -> tuple[Verdict, ...]:
    return tuple(verdicts[criterion.id] for criterion in criteria)


def _unscored(stage: Stage, episode: Episode, blame: Blame, reason: str, detail: str = "", judge: str = "") -> Unscored:
    return Unscored(
        task_id=episode.task_id,
        sample=episode.sample,
        rubric_id=stage.task.rubric.rubric_id,
        blame=blame,
        reason=reason,
        detail=detail[:2000],
        judge=judge,
    )
