"""Rubrics derived from demonstrations: they see what the built-in ones see, and a bad teacher cannot make them lie."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from itertools import islice, pairwise

import orjson
import pytest

from synthagent.llm.scripted import Scripted
from synthagent.llm.structured import Ladder, NotUnderstood, Structured
from synthagent.schema.episodes import Episode, Limits
from synthagent.schema.scores import Scored
from synthagent.schema.tasks import Rubric, Task
from synthagent.scoring.scorer import criteria_of, score
from synthagent.scoring.transcript import transcript
from synthagent.simulation.episode import Cast, Played, Stage, facts_user, play, prepare
from synthagent.simulation.scripted_agents import scripted
from synthagent.simulation.world import Final
from synthagent.synthesis.alignment import Alignment, ModelAligner, Reached, Restriction, Restrictions
from synthagent.synthesis.demonstrations import Demonstration, Source, acted, demonstrated, stripped
from synthagent.synthesis.derivation import Derived, derive, with_rubric
from synthagent.synthesis.mutating import altered, with_calls, without
from synthagent.synthesis.personas import shipped as personas
from synthagent.synthesis.procedural.aligning import ProceduralAligner
from synthagent.synthesis.procedural.domain import shipped
from synthagent.synthesis.procedural.teacher import families
from synthagent.synthesis.red_team import BOUNDS

TASKS = 39
"""Three of every domain."""


def playing(stage: Stage, name: str) -> Played:
    return asyncio.run(play(stage, Cast(scripted(name, stage), facts_user(stage)), Limits()))


@pytest.fixture(scope="module")
def tasks() -> list[Task]:
    made = islice(families(shipped(), personas(), 17), 3 * len(shipped()))
    found: dict[str, list[Task]] = {}
    for task in (task for family in made for task in family.tasks):
        found.setdefault(task.provenance.domain, []).append(task)
    return [task for group in found.values() for task in group[: TASKS // len(shipped())]]


def bare(stage: Stage) -> Stage:
    return Stage(stripped(stage.task), stage.blueprint, stage.listener)


def shown(stage: Stage, *agents: str) -> Source:
    """All that a rubric is derived from; nothing of the built-in rubric is in it."""
    hidden = bare(stage)
    demonstrations = tuple(demonstrated(hidden, playing(stage, name).episode) for name in agents)
    return Source(stage.task.workflow, stage.task.brief.rules, demonstrations)


def teacher_of(source: Source) -> ModelAligner:
    """A model with a script: the answers of a teacher that knows these tasks, as JSON."""
    knows = ProceduralAligner(shipped())

    async def answer(request):
        asked = {"align": knows.align, "restrict": knows.restrict}[request.stage]
        return (await asked(source, source.demonstrations[0])).model_dump_json()

    return ModelAligner(Structured(Scripted(answer), Ladder(rung="prompt")), "scripted:teacher")


def derived(source: Source, teacher=None, **how) -> Derived:
    return asyncio.run(derive(source, teacher or teacher_of(source), **how))


def under(stage: Stage, rubric: Rubric) -> Stage:
    return Stage(stage.task.model_copy(update={"rubric": rubric}), stage.blueprint, stage.listener)


def mutated(stage: Stage, one: Demonstration) -> Iterator[tuple[str, Episode, Final]]:
    """The reference with one thing wrong, in every way there is."""
    places = [n for n, event in enumerate(one.episode.events) if event.kind in ("tool", "user")]
    for place in places:
        yield "left out", *_ended(without(one, [place]))
        for name in (one.deeds[place].arguments or {}) if place in one.deeds else ():
            if changed := altered(one, place, name):
                yield "argument changed", *_ended(changed)
    for first, then in pairwise(places):
        events = list(one.episode.events)
        events.insert(first, events.pop(then))
        yield "order swapped", *_ended(acted(one.stage, one.episode, events))
    for criterion in stage.task.rubric.forbidden:
        calls = [(step.call, dict(step.args)) for step in criterion.trap]
        yield "rule broken", *_ended(with_calls(one, calls))


def _ended(one: Demonstration) -> tuple[Episode, Final]:
    return one.episode, one.final


def test_derived_rubrics_agree_with_the_built_in_ones(tasks, capsys):
    """On reference, mutated and red-team episodes, by the reward: an open criterion, without a judge, disagrees."""
    agreed: Counter[str] = Counter()
    total: Counter[str] = Counter()
    items = compiled = 0
    for task in tasks:
        stage = prepare(task)
        source = shown(stage, "reference")
        found = derived(source)
        assert found.rubric is not None, (task.id, found.reason)
        items, compiled = items + len(found.lines), compiled + sum(line.compiled for line in found.lines)
        one = source.demonstrations[0]
        episodes = [("reference", *_ended(one)), *mutated(stage, one)]
        for name in BOUNDS:
            other = playing(stage, name)
            episodes.append(("red team", other.episode, other.final))
        for kind, episode, final in episodes:
            own, theirs = score(stage, episode, final), score(under(stage, found.rubric), episode, final)
            total[kind] += 1
            agreed[kind] += isinstance(own, Scored) and isinstance(theirs, Scored) and own.reward == theirs.reward
    with capsys.disabled():
        print(f"\n{len(tasks)} tasks, {compiled} of {items} criteria as checks")
        for kind in total:
            print(f"{kind:17} {agreed[kind] / total[kind]:.4f} of {total[kind]}")
        print(f"{'all':17} {agreed.total() / total.total():.4f} of {total.total()}")
    assert compiled / items > 0.98
    assert agreed.total() / total.total() >= 0.98
    assert all(agreed[kind] / total[kind] >= 0.97 for kind in total)


def test_nothing_of_an_existing_rubric_gets_through(tasks):
    stage = prepare(tasks[0])
    source = shown(stage, "reference")
    for one in source.demonstrations:
        text = orjson.dumps(one.stage.task.model_dump(mode="json")).decode()
        assert all(criterion.text not in text for criterion in stage.task.rubric.interactions)
        assert one.stage.task.reference == ()
    asked = Scripted(lambda request: Alignment().model_dump_json())
    asyncio.run(ModelAligner(Structured(asked, Ladder(rung="prompt")), "t").align(source, source.demonstrations[0]))
    told = asked.requests[0].messages[-1]["content"]
    assert '"check"' not in told
    assert "trap" not in told


def test_a_task_whose_workflow_is_mostly_undone_is_dropped(tasks):
    stage = prepare(tasks[0])
    source = shown(stage, "ask-all")
    found = derived(source, ProceduralAligner(shipped()))
    assert found.rubric is None
    assert "of the workflow is left undone" in found.reason
    assert found.undone > 0.4
    lenient = derived(source, ProceduralAligner(shipped()), most_undone=1.0)
    assert lenient.rubric is None, "asking alone reaches no sub-goal"


def test_a_task_without_workflow_or_demonstrations_is_dropped_before_the_teacher_is_asked(tasks):
    source = shown(prepare(tasks[0]), "reference")
    nobody = ModelAligner(Structured(Scripted([]), Ladder(rung="prompt")), "nobody")
    assert derived(Source((), source.rules, source.demonstrations), nobody, most_undone=1.0).rubric is None
    assert derived(Source(source.workflow, source.rules), nobody, most_undone=1.0).rubric is None


def test_the_best_demonstration_reaches_most_in_the_fewest_events(tasks):
    stage = prepare(tasks[0])
    source = shown(stage, "nothing", "ask-all", "reference")
    found = derived(source, ProceduralAligner(shipped()))
    assert found.best is source.demonstrations[2]


def test_what_somebody_did_without_need_not_be_asked(tasks):
    stage = prepare(next(task for task in tasks if len(task.rubric.interactions) > 2))
    source = shown(stage, "reference")
    one = source.demonstrations[0]
    first = next(iter(one.exchanges))
    lazy = without(one, [first])
    twice = Source(source.workflow, source.rules, (one, lazy))
    wanted = derived(source, ProceduralAligner(shipped())).rubric
    less = derived(twice, ProceduralAligner(shipped())).rubric
    assert len(less.interactions) == len(wanted.interactions) - 1


def test_another_way_there_counts_too(tasks):
    """Two demonstrations that look up different things for the same sub-goal: either will do, and neither will not."""

    def looks(one):
        return [place for place in one.deeds if not one.writes(place)]

    sources = (shown(stage, "reference") for stage in map(prepare, tasks))
    source = next(source for source in sources if len(looks(source.demonstrations[0])) > 2)
    one = source.demonstrations[0]
    first, second = looks(one)[:2]
    apart = (without(one, [second]), without(one, [first]))

    class FirstLook:
        name = "first look"

        async def align(self, source, one):
            places = transcript(one.episode).places
            return Alignment(reached=(Reached(goal=1, text="Looked", events=(places.index(looks(one)[0]) + 1,)),))

        async def restrict(self, source, one):
            return Restrictions()

    made = derived(Source(("Looked at it",), (), apart), FirstLook()).rubric.subgoals[0]
    assert all(way.holds(made.check) for way in apart)
    assert not without(one, [first, second]).holds(made.check)


@pytest.mark.parametrize("seed", range(6))
def test_a_teacher_that_points_anywhere_cannot_make_a_check_that_nothing_proves(tasks, seed):
    """Whatever is compiled is true of the demonstration and false without the events that it was made from."""
    draw = random.Random(seed)
    stage = prepare(draw.choice(tasks))
    source = shown(stage, "reference")
    one = source.demonstrations[0]
    places = transcript(one.episode).places
    reached = tuple(
        Reached(
            goal=goal,
            text=f"goal {goal}",
            events=tuple(draw.sample(range(1, len(places) + 1), k=min(2, len(places)))),
            told=draw.choice(["", "", str(draw.choice(list(stage.task.hidden.facts)).value)]),
            declined=draw.choice(["", "", "", "none"]),
        )
        for goal in range(1, len(source.workflow) + 1)
    )
    rules = tuple(
        Restriction(rule=n, kind=draw.choice(["never", "first", "confirm"]), tool=tool.name, where="SELECT 1",
                    first=draw.choice(stage.task.brief.tools).name)
        for n, tool in zip(range(1, len(source.rules) + 1), stage.task.brief.tools, strict=False)
    )  # fmt: skip

    class Wild:
        name = "wild"

        async def align(self, source, one):
            return Alignment(reached=reached)

        async def restrict(self, source, one):
            return Restrictions(restrictions=rules)

    found = derived(source, Wild())
    if found.rubric is None:
        return
    pointed = {item.text: [places[number - 1] for number in item.events] for item in reached}
    for criterion in found.rubric.subgoals:
        if criterion.check is not None:
            assert one.holds(criterion.check)
            assert all(not without(one, [place]).holds(criterion.check) for place in pointed[criterion.text])
    for criterion in found.rubric.forbidden:
        if criterion.check is not None:
            assert not one.holds(criterion.check)
            assert criterion.trap, "a violation was found in the task's own world"
    nothing = playing(stage, "nothing")
    closed = found.rubric.model_copy(
        update={"forbidden": tuple(c for c in found.rubric.forbidden if c.check),
                "subgoals": tuple(c for c in found.rubric.subgoals if c.check) or found.rubric.subgoals}
    )  # fmt: skip
    worth = score(under(stage, closed), nothing.episode, nothing.final)
    assert not isinstance(worth, Scored) or worth.reward == 0


def test_a_judge_may_cite_for_an_open_sub_goal_what_reached_it(tasks):
    """A message that tells nothing which a call gave leaves no check; only messages can prove that it was said."""
    stage = prepare(tasks[0])
    source = shown(stage, "reference")
    one = source.demonstrations[0]
    last = max(one.messages)

    class Polite:
        name = "polite"

        async def align(self, source, one):
            number = transcript(one.episode).places.index(last) + 1
            return Alignment(reached=(Reached(goal=1, text="Was polite", events=(number,), told="politeness"),))

        async def restrict(self, source, one):
            return Restrictions()

    found = derived(Source(("Be polite",), (), source.demonstrations), Polite())
    (open_,) = found.rubric.subgoals
    assert (open_.check, open_.evidence) == (None, ("message",))
    assert found.lines[0].reason == "no call before the message gave 'politeness'"


def test_events_that_are_not_there_are_sent_back(tasks):
    stage = prepare(tasks[0])
    source = shown(stage, "reference")
    bad = Alignment(reached=(Reached(goal=99, events=(999,)),)).model_dump_json()
    model = Scripted([bad, bad])
    with pytest.raises(NotUnderstood, match="there is no sub-goal 99"):
        derived(source, ModelAligner(Structured(model, Ladder(rung="prompt")), "t"))
    assert "there is no event 999" in model.requests[1].messages[-1]["content"]


def test_a_rule_that_every_demonstration_would_break_is_left_to_a_judge(tasks):
    stage = prepare(next(task for task in tasks if task.brief.rules and task.rubric.forbidden))
    source = shown(stage, "reference", "reference")
    used = next(iter(source.demonstrations[0].deeds.values())).tool
    knows = ProceduralAligner(shipped())

    class Strict:
        name = "strict"
        align = staticmethod(knows.align)

        async def restrict(self, source, one):
            return Restrictions(restrictions=(Restriction(rule=1, kind="never", tool=used),))

    found = derived(source, Strict())
    assert found.rubric.forbidden[0].check is None
    line = next(line for line in found.lines if line.id == "f1")
    assert line.reason == "it is true of a demonstration"


def test_a_demonstration_that_breaks_a_rule_is_none(tasks):
    """Two that keep to the rules against one that does not: what it did is not asked of anybody."""
    stage = prepare(next(t for t in tasks if t.rubric.forbidden and t.rubric.forbidden[0].trap and t.provenance.legal))
    source = shown(stage, "reference", "reference")
    one = source.demonstrations[0]
    calls = [(step.call, dict(step.args)) for step in stage.task.rubric.forbidden[0].trap]
    three = Source(source.workflow, source.rules, (*source.demonstrations, with_calls(one, calls)))
    found = derived(three, ProceduralAligner(shipped()))
    assert found.rubric.forbidden[0].check is not None
    assert found.best in source.demonstrations


def test_a_derived_task_is_another_task_and_names_its_parent(tasks):
    stage = prepare(tasks[0])
    found = derived(shown(stage, "reference"))
    made = with_rubric(stage.task, found.rubric, {"synthesis/align": "abc"})
    assert made.id != stage.task.id
    assert made.world_id == stage.task.world_id
    assert made.provenance.parents[-1] == stage.task.id
    assert {c.id for c in criteria_of(made.rubric)} == {line.id for line in found.lines}
