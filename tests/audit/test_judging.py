"""How steady a judge is: kappa against the worked example, and every other figure against judgments made by hand."""

import pytest

from synthagent.audit.judging import Judgment, blinded, fleiss, judgment, steadiness, subject
from synthagent.errors import Blame
from synthagent.llm.scripted import Scripted
from synthagent.schema.scores import Scored, Unscored, Verdict
from synthagent.schema.tasks import Criterion, Rubric
from synthagent.scoring.scorer import Scoring, score
from synthagent.simulation.episode import prepare
from synthagent.simulation.scripted_agents import scripted
from tests.builders import library, played
from tests.judges import deciding, judge_of, ruling

# ---- kappa

WORKED = [
    (0, 0, 0, 0, 14), (0, 2, 6, 4, 2), (0, 0, 3, 5, 6), (0, 3, 9, 2, 0), (2, 2, 8, 1, 1),
    (7, 7, 0, 0, 0), (3, 2, 6, 3, 0), (2, 5, 3, 2, 2), (6, 5, 2, 1, 0), (0, 2, 2, 3, 7),
]  # fmt: skip
"""Fleiss' example as it is commonly told: ten subjects, fourteen ratings each, five categories."""


def rows(counts):
    return [[str(category) for category, count in enumerate(row) for _ in range(count)] for row in counts]


def test_kappa_is_that_of_the_worked_example():
    assert fleiss(rows(WORKED)) == pytest.approx(0.210, abs=5e-4)
    assert fleiss([list(reversed(row)) for row in reversed(rows(WORKED))]) == fleiss(rows(WORKED))


def test_kappa_is_one_where_all_agree_and_below_zero_where_they_agree_less_than_by_chance():
    assert fleiss([["a", "a"], ["b", "b"]]) == 1.0
    assert fleiss([["a", "b"], ["b", "a"]]) == -1.0


@pytest.mark.parametrize("some", [[], [["a"]], [["a"], ["b"]], [["a", "a"], ["a", "a"]]])
def test_there_is_no_kappa_for_one_rater_or_of_a_single_category(some):
    assert fleiss(some) is None


def test_subjects_of_unequal_ratings_are_refused():
    with pytest.raises(ValueError, match="same number"):
        fleiss([["a", "b"], ["a"]])


# ---- figures

MET, NOT, DOUBT = "met", "not_met", "cannot_tell"


def scored(reward: float) -> Scored:
    return Scored(task_id="t", sample=0, rubric_id="r", reward=reward, gate=1, n=reward, i=None,
                  subgoals=(Verdict(id="a", holds=True),))  # fmt: skip


UNSCORED = Unscored(task_id="t", sample=0, rubric_id="r", blame=Blame.JUDGE, reason="cannot_tell")


def rated(draw: int, a: str | None, b: str | None, worth: float | None, task: str = "t", **more) -> Judgment:
    """One repetition: what it says of the criteria a, which holds, and b, which does not."""
    ratings = {id_: said for id_, said in (("a", a), ("b", b)) if said is not None}
    values = {
        "agent": "x", "task_id": task, "sample": 0, "draw": draw, "judge": "j", "ratings": ratings,
        "known": {id_: {"a": True, "b": False}[id_] for id_ in ratings},
        "operators": {id_: {"a": "said", "b": "called"}[id_] for id_ in ratings},
        "score": UNSCORED if worth is None else scored(worth), "known_reward": 0.5,
    }  # fmt: skip
    return Judgment(**{**values, **more})


def test_the_figures_of_a_judge_that_is_always_right():
    found = steadiness(rated(draw, MET, NOT, 0.5, task) for task in "tuv" for draw in range(3))
    assert (found.episodes, found.judgments) == (3, 9)
    assert (found.unscored_share, found.flip_rate, found.self_agreement, found.kappa) == (0.0, 0.0, 1.0, 1.0)
    assert (found.agreement_with_checks, found.met_when_false, found.missed_when_true) == (1.0, 0.0, 0.0)
    assert (found.reward_right, found.ratings) == (1.0, {"met": 9, "not_met": 9})
    assert found.agreement_by_operator == {"said": 1.0, "called": 1.0}


def test_every_share_is_of_what_it_says():
    found = steadiness([rated(0, MET, MET, 1.0), rated(1, MET, NOT, 0.5), rated(2, DOUBT, NOT, None)])
    assert (found.episodes, found.judgments, found.unscored_share) == (1, 3, 1 / 3)
    assert found.flip_rate == 1.0, "of one pair of rewards"
    assert found.self_agreement == 2 / 6, "a: met met, b: not met not met, of three pairs each"
    assert found.agreement_with_checks == 4 / 6
    assert found.agreement_by_operator == {"called": 2 / 3, "said": 2 / 3}
    assert (found.met_when_false, found.missed_when_true) == (1 / 3, 1 / 3)
    assert found.reward_right == 0.5
    assert found.kappa == pytest.approx(fleiss([[MET, MET, DOUBT], [MET, NOT, NOT]]))


def test_an_episode_that_was_judged_less_often_is_left_out_of_kappa():
    whole = [rated(draw, MET, NOT, 0.5, "t") for draw in range(3)]
    broken_off = [rated(draw, NOT, MET, 0.5, "u") for draw in range(2)]
    assert steadiness([*whole, *broken_off]).kappa == steadiness(whole).kappa == 1.0


def test_pairs_are_of_one_episode_only():
    found = steadiness([rated(0, MET, NOT, 0.0, "t"), rated(0, NOT, NOT, 1.0, "u")])
    assert (found.flip_rate, found.self_agreement, found.kappa) == (None, None, None)
    other = steadiness([rated(0, MET, NOT, 0.0), rated(0, NOT, NOT, 1.0, agent="y")])
    assert (other.episodes, other.flip_rate) == (2, None)


def test_a_repetition_that_failed_rates_nothing_and_kappa_is_over_what_all_rated():
    found = steadiness([rated(0, MET, NOT, 0.5), rated(1, MET, NOT, 0.5), rated(2, MET, None, None)])
    assert found.self_agreement == 1.0
    assert found.kappa is None, "only a was rated by all, and always alike"
    lost = steadiness([rated(0, None, None, None), rated(1, None, None, None)])
    assert (lost.unscored_share, lost.flip_rate, lost.self_agreement, lost.kappa) == (1.0, None, None, None)


def test_of_nothing_there_is_no_share():
    found = steadiness([])
    assert (found.episodes, found.judgments, found.ratings, found.agreement_by_operator) == (0, 0, {}, {})
    shares = (found.unscored_share, found.flip_rate, found.self_agreement, found.kappa, found.agreement_with_checks,
              found.met_when_false, found.missed_when_true, found.reward_right)  # fmt: skip
    assert shares == (None,) * 8


def test_where_code_knows_nothing_there_is_no_agreement_with_it():
    found = steadiness([rated(0, MET, NOT, 0.5, known={}, known_reward=None)])
    assert (found.agreement_with_checks, found.reward_right, found.ratings) == (None, None, {"met": 1, "not_met": 1})


# ---- taking checks away


def ids_open(rubric: Rubric) -> set[str]:
    return {c.id for c in (*rubric.forbidden, *rubric.subgoals, *rubric.interactions) if c.check is None}


@pytest.mark.parametrize(
    ("operators", "open_"),
    [
        ([], set()),
        (["said"], {"s3"}),
        (["confirmed"], {"f2"}),
        (["asked"], {"i1", "i2"}),
        (["not"], {"f2"}),
        (["declined"], set()),
        (["called"], {"f1", "f2", "s1", "s3"}),
        (["said", "asked"], {"s3", "i1", "i2"}),
    ],
)
def test_a_check_goes_that_uses_the_operator_anywhere_within(operators, open_):
    task = library()
    found = blinded(task, operators)
    assert ids_open(found.rubric) == open_
    assert (found.id, found.brief, found.world) == (task.id, task.brief, task.world), "its episodes are still its own"
    assert (found.rubric.rubric_id == task.rubric.rubric_id) is (not open_)


# ---- one repetition


async def judged_once(task, blind, *, everything, says=None):
    stage = prepare(task)
    result = await played(stage, scripted("reference", stage))
    model = Scripted(deciding(says or (lambda *_: ruling("not_met"))))
    one = subject(stage, result.episode, blind)
    return await judgment(one, result.episode, Scoring(judge_of(model)), 0, everything=everything), model


async def test_a_judge_that_is_blind_to_a_check_is_held_against_it():
    found, _ = await judged_once(library(), ["said"], everything=False)
    assert (found.ratings, found.known, found.operators) == ({"s3": "not_met"}, {"s3": True}, {"s3": "before"})
    assert (found.known_reward, found.score.n) == (1.0, 2 / 3)


async def test_asked_about_everything_it_decides_only_what_has_no_check():
    found, model = await judged_once(library(), ["said"], everything=True)
    assert set(found.ratings) == {"f1", "f2", "s1", "s2", "s3", "i1", "i2"}
    assert set(found.ratings.values()) == {"not_met"}
    assert (found.score.n, found.score.i, len(model.requests)) == (2 / 3, 1.0, 1)
    assert {id_ for id_, holds in found.known.items() if holds} == {"s1", "s2", "s3", "i1", "i2"}


async def test_what_code_knows_is_known_also_beside_a_criterion_that_only_a_judge_can_decide():
    task = library()
    kind = Criterion(id="s9", text="Was kind")
    task = task.model_copy(
        update={"rubric": task.rubric.model_copy(update={"subgoals": (*task.rubric.subgoals, kind)})}
    )
    found, _ = await judged_once(task, ["said"], everything=True)
    assert found.known == {"f1": False, "f2": False, "s1": True, "s2": True, "s3": True, "i1": True, "i2": True}
    assert found.ratings["s9"] == "not_met"
    assert found.known_reward is None, "what it is worth, code alone cannot tell"


async def test_an_episode_that_does_not_replay_is_known_nothing_of_and_put_to_nobody():
    stage = prepare(library())
    result = await played(stage, scripted("reference", stage))
    episode = result.episode.model_copy(update={"digest": "0" * 64})
    one = subject(stage, episode, ["said"])
    assert (one.known, one.reward) == ({}, None)
    nobody = Scripted([])
    found = await judgment(one, episode, Scoring(judge_of(nobody)), 0, everything=True)
    assert (found.ratings, found.score.blame, nobody.requests) == ({}, Blame.INFRASTRUCTURE, [])


async def test_what_code_knows_does_not_depend_on_what_is_taken_away_from_the_judge():
    stage = prepare(library())
    result = await played(stage, scripted("reference", stage))
    worth = score(stage, result.episode)
    known = {v.id: v.holds for v in (*worth.forbidden, *worth.subgoals, *worth.interactions)}
    for blind in ([], ["said"], ["called", "state"]):
        one = subject(stage, result.episode, blind)
        assert (one.known, one.reward) == (known, worth.reward)
