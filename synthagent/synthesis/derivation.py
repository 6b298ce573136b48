"""A rubric from workflow, rules and demonstrations (Lyu et al., section 3.3), most of it as checks that are proved.

Sub-goals are those of the workflow that real executions reach, interactions what had to be asked, forbidden behaviours
what the rules say. What no check can be proved for is left to a judge; a task whose workflow the demonstrations leave
mostly undone is dropped.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from synthagent.schema.checks import Asked, Before, Check, Confirmed
from synthagent.schema.record import Record
from synthagent.schema.tasks import Criterion, Rubric, Task, identified
from synthagent.scoring.citations import Evidence
from synthagent.scoring.transcript import transcript
from synthagent.synthesis.alignment import Aligner, Reached, Restriction
from synthagent.synthesis.compiling_goals import Aligned, compiled
from synthagent.synthesis.demonstrations import Demonstration, Source
from synthagent.synthesis.restricting import Forbidden, broken, forbidden

UNDONE = 0.4
"""Share of a workflow that demonstrations may leave undone."""


class Line(Record):
    """One criterion of a derived rubric, for the report."""

    id: str
    text: str
    compiled: bool
    reason: str = ""
    """Why a judge has to decide it."""


@dataclass(frozen=True, slots=True)
class Derived:
    """What came of a task."""

    rubric: Rubric | None
    """None: the task is dropped."""
    lines: tuple[Line, ...] = ()
    reason: str = ""
    """Why it is dropped."""
    undone: float = 0.0
    """Share of the workflow that no demonstration reaches."""
    best: Demonstration | None = None
    """The demonstration that reaches most, in the fewest events."""


@dataclass(frozen=True, slots=True)
class _Read:
    """A demonstration as its teacher reads it."""

    one: Demonstration
    reached: dict[int, Aligned]
    """Number of a sub-goal, from 0 -> how it is reached."""
    texts: dict[int, str] = field(default_factory=dict)


async def derive(source: Source, aligner: Aligner, most_undone: float = UNDONE) -> Derived:
    """A rubric. Raises what the aligner raises."""
    if not source.demonstrations:
        return Derived(None, reason="no demonstration came to an end")
    if not source.workflow:
        return Derived(None, reason="it has no workflow", undone=1.0)
    read = [await _aligned(source, one, aligner) for one in source.demonstrations]
    read.sort(key=lambda r: (-len(r.reached), len(r.one.episode.events)))
    rules = await aligner.restrict(source, read[0].one) if source.rules else None
    readings: dict[int, list[Restriction]] = defaultdict(list)
    for item in rules.restrictions if rules else ():
        if 1 <= item.rule <= len(source.rules):
            readings[item.rule].append(item)
    read, made = _lawful(read, readings)
    if not read:
        return Derived(None, reason="every demonstration breaks a rule")
    reached = {goal for one in read for goal in one.reached}
    undone = 1 - len(reached) / len(source.workflow)
    best = read[0].one
    if undone > most_undone:
        return Derived(None, reason=f"{undone:.0%} of the workflow is left undone", undone=undone, best=best)
    return _put_together(source, read, made, undone)


async def _aligned(source: Source, one: Demonstration, aligner: Aligner) -> _Read:
    told = transcript(one.episode)
    alignment = await aligner.align(source, one)
    reached: dict[int, Aligned] = {}
    texts: dict[int, str] = {}
    for item in alignment.reached:
        places = tuple(place for number in item.events if (place := told.place(number)) is not None)
        if places and 1 <= item.goal <= len(source.workflow):
            reached[item.goal - 1] = Aligned(one, tuple(sorted(set(places))), item.told, item.declined)
            texts[item.goal - 1] = _text(item)
    return _Read(one, reached, texts)


def _text(item: Reached) -> str:
    return " ".join(item.text.split())


def _lawful(
    read: Sequence[_Read], readings: Mapping[int, Sequence[Restriction]]
) -> tuple[list[_Read], dict[int, Forbidden]]:
    """(the demonstrations that keep to the rules, each rule as a check).

    A violation that fewer than half of the demonstrations show is believed, and those are no demonstrations; one that
    more of them show is a wrong reading of the rule, and stays unproved.
    """
    kept = list(read)
    for rule in readings.values():
        bad = [one for one in kept if broken(rule, one.one)]
        if len(bad) * 2 < len(kept):
            kept = [one for one in kept if one not in bad]
    shown = [one.one for one in kept]
    return kept, {number: forbidden(rule, shown) for number, rule in readings.items()} if shown else {}


def _put_together(source: Source, read: Sequence[_Read], rules: dict[int, Forbidden], undone: float) -> Derived:
    lines: list[Line] = []
    subgoals = _subgoals(source, read, lines)
    if not subgoals:
        return Derived(None, reason="nothing is left that could be a sub-goal", undone=undone, best=read[0].one)
    rubric = Rubric(
        forbidden=_forbidden(source, rules, lines),
        subgoals=tuple(subgoals),
        interactions=tuple(_interactions(read, rules, lines)),
    )
    return Derived(rubric, tuple(lines), undone=undone, best=read[0].one)


def _subgoals(source: Source, read: Sequence[_Read], lines: list[Line]) -> list[Criterion]:
    """The sub-goals that are reached, but those that only ask: these are interactions."""
    found: list[Criterion] = []
    for goal, words in enumerate(source.workflow):
        ways = [one.reached[goal] for one in read if goal in one.reached]
        if not ways or all(_only_asks(way) for way in ways):
            continue
        text = next((one.texts[goal] for one in read if one.texts.get(goal)), "") or words
        result = compiled(ways)
        id_ = f"s{len(found) + 1}"
        evidence = () if result.check is not None else _evidence(ways)
        found.append(Criterion(id=id_, text=text, check=result.check, evidence=evidence))
        lines.append(Line(id=id_, text=text, compiled=result.check is not None, reason=result.reason))
    return found


def _evidence(ways: Sequence[Aligned]) -> tuple[Evidence, ...]:
    """What a judge may cite for a sub-goal: the kinds of events that reached it. What was told is told by a message."""
    if any(way.told or way.declined for way in ways):
        return ("message",)
    kinds: dict[Evidence, bool] = {
        "call": any(place in way.one.deeds for way in ways for place in way.places),
        "message": any(place in way.one.messages for way in ways for place in way.places),
    }
    return tuple(kind for kind, there in kinds.items() if there)


def _only_asks(way: Aligned) -> bool:
    """Its events are questions to the user and their answers."""
    if way.told or way.declined:
        return False
    return all(place in way.one.exchanges and way.one.exchanges[place].asked for place in way.places)


def _forbidden(source: Source, rules: dict[int, Forbidden], lines: list[Line]) -> tuple[Criterion, ...]:
    found = []
    for number, rule in enumerate(source.rules, start=1):
        made = rules.get(number, Forbidden(reason="the teacher left it out"))
        id_, text = f"f{number}", f"Broke the rule: {rule}"
        found.append(Criterion(id=id_, text=text, check=made.check, trap=made.trap))
        lines.append(Line(id=id_, text=text, compiled=made.check is not None, reason=made.reason))
    return tuple(found)


def _interactions(read: Sequence[_Read], rules: dict[int, Forbidden], lines: list[Line]) -> list[Criterion]:
    """What every good demonstration asked, and the user's yes where a rule wants one."""
    demonstrations = [one.one for one in read]
    counted = Counter(id_ for one in demonstrations for id_ in one.asked)
    best = demonstrations[0]
    topics = {fact.id: fact.topic for fact in best.stage.task.hidden.facts}
    wanted: list[tuple[str, Check]] = []
    requests: list[tuple[str, Check]] = []
    for id_ in best.asked:
        if counted[id_] < len(demonstrations):
            continue  # somebody did without
        if id_ in topics:
            wanted.append((f"Asked the user: {topics[id_]}", Asked(asked=id_)))
        else:
            requests.append((f"Came to the user's next request: {id_}", _request(read[0], id_)))
    confirmed = [spec for rule in rules.values() for spec in rule.confirmed]
    wanted += [("Got the user's yes before acting", Confirmed(confirmed=spec)) for spec in confirmed]
    proved = [(text, check) for text, check in (*wanted, *requests) if all(one.holds(check) for one in demonstrations)]
    found = [Criterion(id=f"i{n}", text=text, check=check) for n, (text, check) in enumerate(proved, start=1)]
    lines += [Line(id=criterion.id, text=criterion.text, compiled=True) for criterion in found]
    return found


def _request(best: _Read, id_: str) -> Check:
    """A further request, come to after the last call before it that reaches a sub-goal, if there is one."""
    one = best.one
    place = next(n for n, event in one.exchanges.items() if id_ in event.asked)
    pointed = {n for way in best.reached.values() for n in way.places}
    earlier = [n for n in one.deeds if n < place]
    earlier = [n for n in earlier if n in pointed] or earlier
    asked = Asked(asked=id_)
    return Before(before=(one.outcomes.looked_up(earlier[-1]), asked)) if earlier else asked


def with_rubric(task: Task, rubric: Rubric, prompts: dict[str, str]) -> Task:
    """The task under a derived rubric: another task, whose parent it names."""
    origin = task.provenance
    update = {"parents": (*origin.parents, task.id), "prompts": {**origin.prompts, **prompts}, "passports": {}}
    return identified(task.model_copy(update={"rubric": rubric, "provenance": origin.model_copy(update=update)}))
