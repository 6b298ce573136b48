"""`score`: one episode, one rubric, a reward with its proof; or the reason why there is none, and whose fault it is."""

from synthagent.errors import Blame, EpisodeFailure
from synthagent.schema.episodes import Episode, Stop
from synthagent.schema.scores import Score, Scored, Unscored, Verdict
from synthagent.schema.tasks import Criterion, Rubric
from synthagent.scoring.checks import Evidence, decide
from synthagent.scoring.reward import gate_of, reward_of, share
from synthagent.simulation.episode import Stage, replay
from synthagent.simulation.world import Final


def score(stage: Stage, episode: Episode, final: Final | None = None) -> Score:
    """Scores an episode under its task's rubric.

    `final` is the state it ended in, when it has just been played; without it the stored calls are replayed, and a
    response that differs makes the episode unscored (infrastructure). A failure never becomes a number (invariant 4).
    """
    rubric = stage.task.rubric
    if episode.failure is not None:
        return _unscored(episode, rubric, episode.failure.blame, episode.failure.reason, episode.failure.detail)
    if episode.stop in (Stop.FAILED, Stop.TIME_LIMIT):
        return _unscored(episode, rubric, Blame.INFRASTRUCTURE, episode.stop.value)
    criteria = (*rubric.forbidden, *rubric.subgoals, *rubric.interactions)
    if any(criterion.check is None for criterion in criteria):
        return _unscored(episode, rubric, Blame.JUDGE, "no_judge", "a criterion has no check and there is no judge")
    try:
        evidence = Evidence(stage, episode, final or replay(stage, episode))
        return _scored(episode, rubric, evidence)
    except EpisodeFailure as error:
        return _unscored(episode, rubric, error.blame, error.reason, str(error))


def _scored(episode: Episode, rubric: Rubric, evidence: Evidence) -> Scored:
    forbidden = _verdicts(rubric.forbidden, evidence)
    subgoals = _verdicts(rubric.subgoals, evidence)
    interactions = _verdicts(rubric.interactions, evidence)
    gate, n, i = gate_of(forbidden), share(subgoals), share(interactions)
    assert n is not None  # a task without sub-goals does not load
    reward = reward_of(gate, n, i)
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
        blame=Blame.AGENT if reward == 0 else None,
    )


def _verdicts(criteria: tuple[Criterion, ...], evidence: Evidence) -> tuple[Verdict, ...]:
    verdicts = []
    for criterion in criteria:
        assert criterion.check is not None
        finding = decide(criterion.check, evidence)
        verdicts.append(Verdict(id=criterion.id, holds=finding.holds, events=finding.events))
    return tuple(verdicts)


def _unscored(episode: Episode, rubric: Rubric, blame: Blame, reason: str, detail: str = "") -> Unscored:
    return Unscored(
        task_id=episode.task_id,
        sample=episode.sample,
        rubric_id=rubric.rubric_id,
        blame=blame,
        reason=reason,
        detail=detail[:2000],
    )
