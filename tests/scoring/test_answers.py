"""Final answers: what shows at once, what a process compares, what a judge decides, and whose fault the rest is."""

import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from synthagent.errors import Blame, EpisodeFailure
from synthagent.llm.scripted import Scripted
from synthagent.reasoning.problems import Problem
from synthagent.reasoning.tasks import as_task
from synthagent.schema.checks import All, Answered, AnswerSpec, Not
from synthagent.schema.episodes import AgentEvent, Episode, Stop
from synthagent.schema.scores import Score, Scored, Unscored
from synthagent.schema.tasks import Criterion, Rubric, Task, identified
from synthagent.scoring import answers
from synthagent.scoring.answers import MathAnswers, after_mark, at_once, boxed
from synthagent.scoring.judge import Judge
from synthagent.scoring.scorer import Scoring, again, judged, score
from synthagent.simulation.episode import prepare
from tests.judges import Asked, deciding, judge_of, ruling

HALF = as_task(Problem(id="half", question="How much is one half?", gold="\\frac{1}{2}"))
CAPITAL = as_task(Problem(id="capital", question="What is the capital of Peru?", gold="Lima", answer="text"))


def said(task: Task, text: str) -> Episode:
    """An episode in which the agent says this as its last word."""
    stage = prepare(task)
    event = AgentEvent(text=text, answer=text)
    return Episode(
        task_id=task.id, agent="tested", protocol="tools", events=(event,), stop=Stop.AGENT_FINAL,
        digest=stage.blueprint.digest,
    )  # fmt: skip


def silent(task: Task) -> Episode:
    return said(task, "").model_copy(update={"events": (AgentEvent(text=""),), "stop": Stop.TURN_LIMIT})


@pytest.fixture(scope="module")
async def workers() -> AsyncIterator[MathAnswers]:
    found = MathAnswers(most=1, seconds=2)
    yield found
    await found.aclose()


@pytest.mark.parametrize(
    ("gold", "text", "right"),
    [
        ("204", "It takes her \\boxed{204} minutes.", True),
        ("204", "So that is all.\n204", True),
        ("204", "\\boxed{0204.0}", True),
        ("1,234", "\\boxed{1234}", True),
        ("204", "\\boxed{205}", False),
        ("204", "", False),
        ("204", "   \n", False),
        ("x^2", "\\boxed{ $x^2$ }", True),
        ("\\frac{1}{2}", "\\boxed{\\frac{1}{2}}", True),
        ("204", "\\boxed{204} or else \\boxed{205}", None),  # who hedges is compared, not taken at their word
        ("204", "The answer is 204.", None),
        ("\\frac{1}{2}", "\\boxed{0.5}", None),
        ("204", "\\boxed{204", None),
        ("204", "\\boxed{204.}", True),
        ("204", "That makes\n205", None),
        ("0.33", "\\boxed{0.333}", None),
        # What looks alike, and is something else.
        ("5", "\\boxed{5!}", None),
        ("5", "\\boxed{.5}", None),
        ("22", "\\boxed{2²}", None),
        ("m", "\\boxed{M}", None),
        ("f", "\\boxed{f'}", None),
        ("0.3", "\\boxed{0.3...}", None),
    ],
)
def test_mathematics_that_is_equal_word_for_word_needs_nobody(gold: str, text: str, right: bool | None):
    assert at_once(AnswerSpec(gold=gold), text) is right


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("Peru's capital is on the coast.\n**Answer:** lima.", True),
        ("Answer: Cuzco\nNo, wait.\nFinal answer: Lima", True),
        ("Lima", True),
        ("", False),
        ("Answer: Lima, I think", None),
        ("The answer: Lima", None),
        ("Answer: Lima\nAnswer: Cuzco", None),  # the last one counts, and in other words only a judge can tell
    ],
)
def test_a_free_answer_is_what_follows_its_mark(text: str, right: bool | None):
    assert at_once(AnswerSpec(gold="Lima", kind="text"), text) is right


@pytest.mark.parametrize(
    ("gold", "text", "right"),
    [
        ("5", "Answer: .5", None),
        ("0.5 km", "Answer: .5 km.", True),
        ("102", "Answer: 10²", None),
        ("Lima", 'Answer: "Lima".', True),
    ],
)
def test_marks_that_belong_to_a_number_are_no_marks_around_an_answer(gold: str, text: str, right: bool | None):
    assert at_once(AnswerSpec(gold=gold, kind="text"), text) is right


def test_boxes_are_read_with_what_is_nested_in_them():
    assert boxed("\\boxed{\\frac{1}{2}}, \\boxed{\\{1, 2\\}} and \\boxed{3") == ["\\frac{1}{2}", "\\{1, 2\\}"]
    assert after_mark("no mark at all ") == "no mark at all"


async def test_what_is_left_of_mathematics_is_compared_as_mathematics(workers: MathAnswers):
    assert await workers.equal("\\frac{1}{2}", "Hence \\boxed{0.5}.")
    assert await workers.equal("204", "The answer is 204.")
    assert await workers.equal("x^2+2x+1", "\\boxed{(x+1)^2}")
    assert not await workers.equal("\\frac{1}{2}", "\\boxed{0.51}")
    assert not await workers.equal("204", "I do not know.")
    assert not await workers.equal("3", "\\boxed{1} or else \\boxed{2}")


@pytest.mark.slow
@pytest.mark.parametrize(
    "hostile",
    [
        "\\boxed{9^{9^{9^{9}}}}",
        "\\boxed{100000000!}",
        "x" * 1_000_000,
        "\\boxed{" + "(" * 5000 + "3" + ")" * 5000 + "}",
        "\\boxed{" + "\\frac{1}{" * 2000 + "3" + "}" * 2000 + "}",
        "\ud800 \\boxed{\0}",
    ],
    ids=["tower", "factorial", "long", "nested", "fractions", "no text"],
)
async def test_a_hostile_answer_is_wrong_and_the_next_one_is_compared(workers: MathAnswers, hostile: str):
    assert not await workers.equal("3", hostile)
    assert await workers.equal("3", "\\boxed{6/2}")


async def test_a_worker_that_compares_nothing_gives_no_verdicts():
    """math-verify swallows its parser's errors: where the parser is broken, every answer would be wrong."""
    worker = Path(answers.__file__).with_name("answer_worker.py")
    broken = (
        "import math_verify, runpy, sys; math_verify.parse = lambda *_, **__: []; sys.argv[1:] = ['2', '2000000000']"
    )
    broken += f"; runpy.run_path({str(worker)!r}, run_name='__main__')"
    process = await anyio.run_process([sys.executable, "-c", broken], check=False)
    assert (process.returncode, process.stdout) == (1, b"")
    assert b"does not compare" in process.stderr


async def test_an_answer_that_takes_too_much_processor_time_is_wrong():
    """However long it takes by the clock: the kernel counts the time of the worker alone."""
    workers = MathAnswers(most=1, seconds=1)
    assert not await workers.equal("3", "\\boxed{9^{9^{9^{9}}}}")
    assert await workers.equal("3", "\\boxed{6/2}")
    await workers.aclose()


async def test_an_answer_that_takes_too_much_memory_is_wrong():
    workers = MathAnswers(most=1, seconds=20, memory=400 << 20)
    assert await workers.equal("3", "\\boxed{6/2}")
    assert not await workers.equal("3", "\\boxed{2^{9999999999}}")
    await workers.aclose()


async def test_workers_are_kept_and_are_no_more_than_was_said():
    workers, others = MathAnswers(most=2), children()
    right: list[bool] = []

    async def ask(number: int) -> None:
        right.append(await workers.equal(str(number), f"\\boxed{{{2 * number}/2}}"))

    async with anyio.create_task_group() as group:
        for number in range(6):
            group.start_soon(ask, number)
    assert right == [True] * 6
    assert len(children() - others) == 2
    await workers.aclose()
    await workers.aclose()
    assert children() == others


async def test_a_worker_that_is_killed_is_infrastructure_and_another_takes_its_place():
    workers, others = MathAnswers(most=1), children()
    assert await workers.equal("3", "\\boxed{6/2}")
    [pid] = children() - others
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(EpisodeFailure, match="a worker was lost: exit code -9") as lost:
        await workers.equal("3", "\\boxed{6/2}")
    assert (lost.value.blame, lost.value.reason) == (Blame.INFRASTRUCTURE, "answer_worker")
    assert await workers.equal("3", "\\boxed{6/2}")
    await workers.aclose()


async def test_a_worker_that_says_nothing_for_too_long_is_infrastructure():
    workers, others = MathAnswers(most=1, patience=0.001), children()
    with pytest.raises(EpisodeFailure, match="no word from a worker"):
        await workers.equal("3", "\\boxed{6/2}")
    await workers.aclose()
    assert children() == others


def children() -> set[int]:
    """The workers of this process."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and b"answer_worker" in (folder / "cmdline").read_bytes():
                found.add(int(folder.name))
        except (OSError, IndexError):
            continue  # it has ended meanwhile
    return found


# ---- scores


async def worth(task: Task, episode: Episode, **scoring: object) -> Score:
    return await judged(prepare(task), episode, scoring=Scoring(**scoring))


class Sure:
    """A `Comparer` that knows what it will say, and counts how often it is asked."""

    def __init__(self, right: bool | Exception):
        self.right, self.asked = right, 0

    async def equal(self, gold: str, answer: str) -> bool:
        self.asked += 1
        if isinstance(self.right, Exception):
            raise self.right
        return self.right


async def test_the_right_answer_earns_everything_and_another_nothing():
    for right in (True, False):
        comparer = Sure(right)
        found = await worth(HALF, said(HALF, "\\boxed{0.5}"), answers=comparer)
        assert isinstance(found, Scored)
        assert (found.reward, found.judge, comparer.asked) == (float(right), "", 1)
        assert [verdict.events for verdict in found.subgoals] == [(0,) if right else ()]
        assert (found.blame, found.reason) == ((None, "") if right else (Blame.AGENT, "wrong_answer"))
    for text in ("", " "):
        found = await worth(HALF, said(HALF, text))
        assert isinstance(found, Scored) and (found.reward, found.reason) == (0.0, "did_nothing")


async def test_nobody_is_asked_where_it_shows_at_once_or_where_there_is_no_answer():
    comparer = Sure(True)
    same, none = said(HALF, "\\boxed{\\frac{1}{2}}"), silent(HALF)
    found = [await worth(HALF, episode, answers=comparer) for episode in (same, none)]
    assert [one.reward for one in found if isinstance(one, Scored)] == [1.0, 0.0]
    assert comparer.asked == 0
    assert score(prepare(HALF), same).reward == 1.0


async def test_what_is_said_on_the_way_is_no_answer():
    """The turn limit came before it was meant as the last word."""
    thinking = AgentEvent(text="It may be \\boxed{\\frac{1}{2}}. Let me check.")
    found = await worth(HALF, silent(HALF).model_copy(update={"events": (thinking,)}))
    assert isinstance(found, Scored) and found.reward == 0.0


async def test_an_answer_that_nobody_could_compare_has_no_score():
    episode = said(HALF, "\\boxed{0.5}")
    lost = await worth(HALF, episode, answers=Sure(EpisodeFailure("gone", reason="answer_worker")))
    alone = await worth(HALF, episode)
    assert isinstance(lost, Unscored) and isinstance(alone, Unscored)
    assert (lost.blame, lost.reason) == (Blame.INFRASTRUCTURE, "answer_worker")
    assert (alone.blame, alone.reason) == (Blame.INFRASTRUCTURE, "not_compared")


async def test_answers_may_be_parts_of_a_check():
    check = All(all=(Answered(answer=AnswerSpec(gold="1/2")), Not(negated=Answered(answer=AnswerSpec(gold="7")))))
    rubric = Rubric(subgoals=(Criterion(id="both", text="A half, and not seven.", check=check),))
    task = identified(HALF.model_copy(update={"rubric": rubric, "id": ""}))

    class Compares:
        async def equal(self, gold: str, answer: str) -> bool:
            return gold == "1/2"

    found = await worth(task, said(task, "\\boxed{0.5}"), answers=Compares())
    assert isinstance(found, Scored) and found.reward == 1.0


async def test_scoring_again_takes_what_was_compared_before():
    comparer, episode = Sure(True), said(HALF, "\\boxed{0.5}")
    before = await worth(HALF, episode, answers=comparer)
    assert isinstance(before, Scored)
    assert again(prepare(HALF), episode, before) == before
    assert comparer.asked == 1


async def test_a_free_answer_in_other_words_is_for_the_judge():
    episode = said(CAPITAL, "Answer: the city of Lima")
    alone = await worth(CAPITAL, episode)
    assert isinstance(alone, Unscored)
    assert (alone.blame, alone.reason) == (Blame.JUDGE, "no_judge")
    for verdict in ("met", "not_met"):
        judge, model = deciding_on(verdict)
        found = await worth(CAPITAL, episode, judge=judge)
        assert isinstance(found, Scored)
        assert (found.reward, found.judge) == (float(verdict == "met"), judge.name)
        assert "without alternatives, means the same as: Lima" in model.requests[0].messages[-1]["content"]
        assert again(prepare(CAPITAL), episode, found) == found


async def test_the_judge_is_not_asked_about_an_answer_that_shows_at_once_nor_about_mathematics():
    judge, model = deciding_on("not_met")
    paper, asked = deciding_on("not_met", mode="paper")
    for one in (judge, paper):
        found = await worth(CAPITAL, said(CAPITAL, "Answer: Lima"), judge=one)
        assert isinstance(found, Scored) and (found.reward, found.judge) == (1.0, "")
        found = await worth(HALF, said(HALF, "\\boxed{0.5}"), judge=one, answers=Sure(True))
        assert isinstance(found, Scored) and (found.reward, found.judge) == (1.0, "")
    assert model.requests == asked.requests == []


async def test_no_answer_at_all_needs_no_judge():
    found = await worth(CAPITAL, silent(CAPITAL))
    assert isinstance(found, Scored) and found.reward == 0.0


def deciding_on(verdict: str, mode: str = "checks") -> tuple[Judge, Scripted]:
    """A judge that says this of everything, and cites the answer; and its model."""

    def says(_: str, seen: Asked) -> Any:
        if mode == "paper":
            return {"met": verdict == "met"}
        return ruling(verdict, *([seen.number_of()] if verdict == "met" else []))

    model = Scripted(deciding(says))
    return judge_of(model, mode), model
