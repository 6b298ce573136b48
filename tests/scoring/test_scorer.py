"""`score`: a reward with its proof, or the reason why there is none and whose fault it is; never one for the other."""

import anyio
import pytest

from synthagent.errors import Blame, EpisodeFailure, JudgeFailed, ModelFailed, ToolFailed, UserFailed
from synthagent.llm.model import ContextOverflow
from synthagent.schema.episodes import Episode, Failure, Limits, Stop
from synthagent.schema.scores import Scored, Unscored, Verdict
from synthagent.schema.tasks import Rubric
from synthagent.scoring.scorer import again, score
from synthagent.simulation.episode import Stage

RENEW_L82 = {"call": "renew_loan", "args": {"loan_id": "L-82", "new_due": "2031-05-23"}}
READ = {"called": {"tool": "opening_hours"}}


class Failing:
    """An agent that gives up with this error after its first turn."""

    name = "failing"

    def __init__(self, error: Exception):
        self._error = error

    async def act(self, view):
        raise self._error


def held(verdicts):
    return {verdict.id: verdict.holds for verdict in verdicts}


def with_rubric(stage: Stage, **rubric) -> Stage:
    data = {**stage.task.rubric.model_dump(), **rubric}
    return Stage(stage.task.model_copy(update={"rubric": Rubric.model_validate(data)}), stage.blueprint, stage.listener)


def test_the_reference_earns_everything_and_proves_it(theatre, reference):
    played = theatre.steps(reference)
    result = theatre.score(played)
    assert (result.reward, result.gate, result.n, result.i, result.blame) == (1.0, 1, 1.0, 1.0, None)
    assert held(result.forbidden) == {"f1": False, "f2": False}
    assert held(result.subgoals) == {"s1": True, "s2": True, "s3": True}
    assert held(result.interactions) == {"i1": True, "i2": True, "i3": True, "i4": True}
    proved = [played.episode.events[place] for verdict in result.subgoals for place in verdict.events]
    assert {event.tool for event in proved if event.kind == "tool"} == {"list_loans", "renew_loan"}


def test_a_score_says_which_episode_and_rubric_it_belongs_to(tale, stage):
    result = tale.call("opening_hours").score(sample=3)
    assert (result.task_id, result.sample) == (stage.task.id, 3)
    assert result.rubric_id == stage.task.rubric.rubric_id


def test_half_done_earns_the_mean_of_both_shares(tale):
    result = tale.call("list_loans", member_id="M-204").tell("Who are you?", asked=("name",)).score()
    assert (result.n, result.i, result.reward) == (1 / 3, 1 / 4, pytest.approx((1 / 3 + 1 / 4) / 2))
    assert result.blame is None, "nobody is to blame for a reward"


def test_one_forbidden_deed_costs_everything_and_is_the_agents_fault(theatre, reference):
    result = theatre.score(theatre.steps([*reference[:-1], RENEW_L82, reference[-1]]))
    assert (result.reward, result.gate, result.blame) == (0.0, 0, Blame.AGENT)
    assert held(result.forbidden) == {"f1": True, "f2": False}
    assert result.i == 1.0, "the shares are told all the same"


def test_a_forbidden_deed_that_failed_did_not_happen(theatre, reference):
    failing = {"call": "renew_loan", "args": {"loan_id": "L-82", "new_due": "whenever"}}
    assert theatre.score(theatre.steps([*reference[:-1], failing, reference[-1]])).reward == 1.0


def test_doing_nothing_is_a_zero_of_the_agents_own(tale):
    result = tale.answer("Goodbye.").score()
    assert (result.reward, result.gate, result.blame) == (0.0, 1, Blame.AGENT)


def test_a_task_that_requires_no_interaction_is_not_halved(theatre):
    other = theatre.other(subgoals=[READ, {"called": {"tool": "list_loans"}}], interactions=[])
    result = other.score(other.script({"call": "opening_hours"}, "Goodbye."))
    assert (result.n, result.i, result.reward) == (0.5, None, 0.5)


@pytest.mark.parametrize("blame", list(Blame))
def test_a_failed_episode_is_unscored_with_its_blame_whatever_it_did(theatre, reference, blame):
    episode = theatre.steps(reference).episode.model_copy(
        update={"stop": Stop.FAILED, "failure": Failure(blame=blame, reason="broke", detail="in two")}
    )
    result = score(theatre.stage, episode)
    assert isinstance(result, Unscored)
    assert (result.blame, result.reason, result.detail) == (blame, "broke", "in two")
    assert (result.task_id, result.sample) == (episode.task_id, episode.sample)
    assert result.rubric_id == theatre.stage.task.rubric.rubric_id


@pytest.mark.parametrize(
    ("error", "blame"),
    [
        (ModelFailed("gone"), Blame.INFRASTRUCTURE),
        (UserFailed("leaked"), Blame.USER),
        (ToolFailed("no answer"), Blame.TOOLS),
        (JudgeFailed("undecided"), Blame.JUDGE),
    ],
)
def test_a_failure_while_playing_is_never_a_zero(theatre, error, blame):
    played = theatre.play(Failing(error))
    result = theatre.score(played)
    assert isinstance(result, Unscored) and result.blame == blame
    assert (played.episode.stop, result.reason) == (Stop.FAILED, type(error).__name__)


def test_a_world_that_breaks_while_it_is_played_is_the_tasks_fault(theatre):
    tools = theatre.stage.task.brief.tools
    promised = {"type": "object", "required": ["halls"], "properties": {"halls": {"type": "integer"}}}
    broken = tuple(t.model_copy(update={"outputs": promised}) if t.name == "opening_hours" else t for t in tools)
    other = theatre.other(brief=theatre.stage.task.brief.model_copy(update={"tools": broken}))
    result = other.score(other.script({"call": "opening_hours"}, "Goodbye."))
    assert isinstance(result, Unscored) and (result.blame, result.reason) == (Blame.TASK, "outputs")


@pytest.mark.parametrize("stop", [Stop.TIME_LIMIT, Stop.FAILED])
def test_an_episode_cut_by_the_clock_or_failed_is_unscored_even_without_a_recorded_failure(tale, stop):
    result = tale.call("list_loans", member_id="M-204").score(stop=stop)
    assert isinstance(result, Unscored) and (result.blame, result.reason) == (Blame.INFRASTRUCTURE, stop.value)


SCORED_STOPS = [stop for stop in Stop if stop not in (Stop.TIME_LIMIT, Stop.FAILED)]


@pytest.mark.parametrize("stop", SCORED_STOPS)
def test_every_other_end_is_scored_as_it_stands(tale, stop):
    result = tale.call("list_loans", member_id="M-204").score(stop=stop)
    assert isinstance(result, Scored) and result.reward > 0


def test_a_clock_that_runs_out_is_nobodys_lack_of_skill(theatre):
    class Slow:
        name = "slow"

        async def act(self, view):
            await anyio.sleep_forever()

    played = theatre.play(Slow(), limits=Limits(seconds=0.01))
    result = theatre.score(played)
    assert isinstance(result, Unscored) and result.blame == Blame.INFRASTRUCTURE
    assert (played.episode.stop, result.reason) == (Stop.TIME_LIMIT, "time_limit")


def test_a_prompt_beyond_its_own_window_is_the_agents_failure_and_scored(theatre):
    result = theatre.score(theatre.play(Failing(ContextOverflow("too long"))))
    assert isinstance(result, Scored) and (result.reward, result.blame) == (0.0, Blame.AGENT)


@pytest.mark.parametrize("part", ["forbidden", "subgoals", "interactions"])
def test_a_criterion_that_only_a_judge_can_decide_is_unscored_without_one(tale, stage, part):
    judged = [*getattr(stage.task.rubric, part), {"id": "j", "text": "Was friendly."}]
    result = type(tale)(with_rubric(stage, **{part: judged})).score()
    assert isinstance(result, Unscored) and (result.blame, result.reason) == (Blame.JUDGE, "no_judge")


def test_a_rubric_whose_sql_does_not_run_is_the_tasks_fault(tale, stage):
    broken = [{"id": "s1", "text": "", "check": {"state": "SELECT 1 FROM nowhere"}}]
    result = type(tale)(with_rubric(stage, subgoals=broken)).score()
    assert isinstance(result, Unscored) and (result.blame, result.reason) == (Blame.TASK, "rubric")
    assert "nowhere" in result.detail


def doctored(episode: Episode, place: int, **changes) -> Episode:
    events = list(episode.events)
    events[place] = events[place].model_copy(update=changes)
    return episode.model_copy(update={"events": tuple(events)})


def test_a_stored_episode_that_replays_differently_is_unscored(tale, stage):
    tale.call("opening_hours").call("renew_loan", loan_id="L-81", new_due="2031-05-23")
    episode = tale.played().episode
    assert isinstance(score(stage, episode), Scored)
    for other in (
        doctored(episode, 1, response=episode.events[1].response.replace("09:30", "08:30")),
        doctored(episode, 1, ok=False),
        doctored(episode, 1, error="precondition"),
        doctored(episode, 1, changed=True),
        doctored(episode, 3, changed=False),
        doctored(episode, 3, arguments={"loan_id": "L-82", "new_due": "2031-05-23"}),
        doctored(episode, 3, arguments=None),
        doctored(episode, 3, call_id="c9"),
        doctored(episode, 3, tool="drop_hold"),
        doctored(episode, 2, calls=()),
        episode.model_copy(update={"digest": "0" * 64}),
        episode.model_copy(update={"events": episode.events[:2]}),  # the write is missing
        episode.model_copy(update={"events": (*episode.events[:2], *episode.events[1:])}),  # one answer too many
    ):
        result = score(stage, other)
        assert isinstance(result, Unscored) and result.blame == Blame.INFRASTRUCTURE
        assert result.reason == "ReplayMismatch"


def test_every_failure_of_an_episode_has_somebody_to_blame():
    assert {kind.blame for kind in EpisodeFailure.__subclasses__()} <= set(Blame) - {Blame.AGENT}


def test_a_judges_verdicts_are_taken_over_where_code_has_none(theatre, reference, stage):
    """Scored again without a judge: what has a check is decided anew, what has none stays as it was judged."""
    played = theatre.steps(reference)
    open_ = with_rubric(stage, subgoals=[{"id": "s1", "text": "Was kind"}, *stage.task.rubric.subgoals[1:]])
    whole = theatre.score(played)
    kind = Verdict(id="s1", holds=False, by="judge")
    wrong = Verdict(id="s2", holds=False)
    old = whole.model_copy(update={"subgoals": (kind, wrong, *whole.subgoals[2:]), "judge": "j"})
    found = again(open_, played.episode, old)
    assert held(found.subgoals) == {"s1": False, "s2": True, "s3": True}
    assert (found.judge, found.judge_mode, found.n) == ("j", "checks", 2 / 3)
    as_paper = again(open_, played.episode, old.model_copy(update={"judge_mode": "paper"}))
    assert held(as_paper.subgoals) == {"s1": False, "s2": False, "s3": True}
    assert as_paper.judge_mode == "paper"
