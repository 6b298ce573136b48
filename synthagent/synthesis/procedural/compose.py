"""One family of tasks: a root composed of one to four goals, and its twin."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from random import Random
from typing import Any, TypeGuard

from synthagent.errors import InputError
from synthagent.schema.checks import (
    All,
    Asked,
    Before,
    Called,
    CallPattern,
    Check,
    Confirmed,
    ConfirmedSpec,
    Declined,
    DeclinedSpec,
    Not,
    Said,
    SaidSpec,
)
from synthagent.schema.tasks import (
    Brief,
    CallStep,
    Criterion,
    Disposition,
    Fact,
    Hidden,
    Provenance,
    ReferenceStep,
    Request,
    Rubric,
    Task,
    World,
    identified,
    world_id_of,
)
from synthagent.simulation.compiling import compile_world
from synthagent.simulation.world import Blueprint
from synthagent.synthesis.executing import Run, run
from synthagent.synthesis.outcomes import Outcomes
from synthagent.synthesis.procedural.domain import Domain, Goal, Identify, Restriction
from synthagent.synthesis.procedural.plan import Plan, steps_until, steps_without
from synthagent.synthesis.procedural.rows import ddl_of, fill, spoken
from synthagent.synthesis.procedural.scene import Flip, Names, Scene, crowd, row_twin, set_scene
from synthagent.synthesis.procedural.tools import TRANSFER, program_of, prose_of, toolset
from synthagent.synthesis.procedural.voice import FOLLOW_UPS, instruction, own_name


@dataclass(frozen=True)
class Design:
    """Everything that is decided about a family before a row is made."""

    domain: Domain
    persona: str
    disposition: Disposition
    now: datetime
    goals: tuple[str, ...]
    """In order; a flipped or tool-less goal comes last."""
    way: str
    """How the agent learns who the user is."""
    inlined: frozenset[str]
    restrictions: tuple[tuple[str, str], ...]
    """(goal, restriction) whose rules the brief holds."""
    distractors: int
    watched: str | None = None
    """A goal that nobody asks for; a rule of its is in the brief, and its tools are among the distractors."""
    flip: Flip | None = None
    missing: str | None = None
    """The tool that is left out."""
    transfer: bool = False
    """A missing tool is answered with a transfer."""
    confirm: frozenset[str] = frozenset()
    """Goals whose action needs a yes first."""
    revealed: bool = False
    """Goals after the first are asked for one after another."""
    long_goal: str | None = None
    """The goal whose tool result is made long."""
    difficulty: Mapping[str, int] = field(default_factory=dict)

    @property
    def staged(self) -> tuple[str, ...]:
        """Goals that need rows."""
        return self.goals if self.watched is None else (*self.goals, self.watched)

    @property
    def identify(self) -> Identify | None:
        """How the user is identified, if any goal has to know."""
        steps = [step for name in self.goals for step in self.steps_of(name, None)]
        return self.domain.identify[self.way] if knows_user(steps) else None

    def steps_of(self, name: str, flip: Flip | None) -> Sequence[Mapping[str, Any]]:
        """A goal's steps as far as a good agent gets."""
        goal = self.domain.goals[name]
        if flip and flip.goal == name:
            return steps_until(goal, flip.restriction)
        if self.missing and name == self.goals[-1]:
            return steps_without(goal, self.missing)
        return goal.plan


def knows_user(steps: Sequence[Mapping[str, Any]]) -> bool:
    """Whether these steps work with what identification gives."""
    return any("$me." in repr(step.get("args")) for step in steps)


def family(design: Design, name: str, seed: str) -> tuple[list[Task], dict[str, Blueprint]]:
    """The root, and its twin when the design has a flip; and their worlds, by id.

    Raises `TaskFault` or `InputError` for a design in vain.
    """
    random = Random(seed)
    scene = set_scene(design.domain, design.staged, random, design.now, own_name(design.persona))
    if design.long_goal:
        bulk = design.domain.goals[design.long_goal].bulk
        assert bulk is not None
        crowd(scene, bulk)
    tools = _tools(design, random)
    voice = Random(f"{seed}/voice").getrandbits(64)
    root = _Draft(design, scene, scene.legal, tools, name, None, voice)
    drafts = [root]
    if design.flip is not None and design.flip.kind == "row":
        changed = row_twin(scene, design.flip)
        drafts.append(_Draft(design, changed, changed.legal, tools, name, design.flip, voice))
    elif design.flip is not None:
        goal = design.flip.goal
        names = {**scene.legal, goal: scene.forbidden[goal, design.flip.restriction]}
        drafts.append(_Draft(design, scene, names, tools, name, design.flip, voice, root.blueprint))
    return [draft.task() for draft in drafts], {draft.blueprint.world_id: draft.blueprint for draft in drafts}


def _tools(design: Design, random: Random) -> tuple[str, ...]:
    """Tools that the goals need, distractors, and the transfer, in random order."""
    plans = [design.domain.goals[name].plan for name in design.staged]
    if any(knows_user(plan) for plan in plans):
        plans.append(design.domain.identify[design.way].plan)
    needed = {step["call"] for plan in plans for step in plan if "call" in step} - {design.missing}
    # A distractor must not be able to stand in for the missing tool, nor can a goal's own tool be one.
    spare = sorted(set(design.domain.tools) - needed - {design.missing})
    random.shuffle(spare)
    chosen = [*sorted(needed), *spare[: design.distractors]]
    random.shuffle(chosen)
    return (*chosen, TRANSFER)


class _Draft:
    """One task while it is put together."""

    def __init__(self, design: Design, scene: Scene, names: dict[str, Names], tools: tuple[str, ...], family_name: str,
                 flip: Flip | None, voice: int, blueprint: Blueprint | None = None):  # fmt: skip
        self.design, self.scene, self.names, self.flip = design, scene, names, flip
        self.domain, self.family_name = design.domain, family_name
        self.random = Random(voice)
        self.tool_names = tools
        self.tools = toolset(self.domain, tools)
        self.world = World(
            now=design.now.isoformat(),
            ddl=ddl_of(self.domain),
            rows=scene.table_rows(),
            programs={tool: program_of(self.domain, tool) for tool in tools},
            ends_episode=(TRANSFER,),
        )
        self.blueprint = blueprint or compile_world(self.tools, self.world, world_id_of(self.tools, self.world))
        self.facts = self._facts()

    def task(self) -> Task:
        plan, ends = self._plan()
        ran = run(self.blueprint, plan.steps, self._values())
        plan = replace(plan, steps=self._with_results(plan, ran, ends))
        prose = {n: prose_of(self.domain.tools[s.call]) for n, s in enumerate(plan.steps) if self._is_own(s)}
        done = Outcomes(plan.steps, ran, self.blueprint.tables, prose)
        rubric = Rubric(
            forbidden=self._forbidden(),
            subgoals=self._subgoals(plan, done),
            interactions=self._interactions(plan, done),
        )
        hidden = self._hidden(plan)
        brief = self._brief()
        task = Task(
            family=self.family_name,
            brief=brief,
            hidden=hidden,
            world=self.world,
            workflow=tuple(self._workflow(plan, rubric)),
            rubric=rubric,
            reference=tuple(plan.steps),
            provenance=self._provenance(plan),
        )
        return identified(task)

    def _is_own(self, step: ReferenceStep) -> TypeGuard[CallStep]:
        return isinstance(step, CallStep) and step.call in self.domain.tools

    # ---- what the user knows

    def _facts(self) -> dict[str, Fact]:
        """Every fact of the task, told in this persona's way."""
        found: dict[str, Any] = {}
        identify = self.design.identify
        if identify:
            who = self.names[self.design.goals[-1]] if self.flip and self.flip.kind == "fact" else {"me": self.scene.me}
            found |= {fact: fill(value, {"me": who["me"]}) for fact, value in identify.facts.items()}
        for goal in self.design.goals:
            for fact, use in self.domain.goals[goal].uses().items():
                found.setdefault(fact, fill(use.value, self.names[goal]))
        told = Random(self.random.getrandbits(64))
        facts = {}
        for fact, value in found.items():
            spec = self.domain.facts[fact]
            ways = spec.say[-1:] if self.design.disposition == "terse" else spec.say
            text = told.choice(ways).replace("{v}", spoken(value))
            facts[fact] = Fact(id=fact, topic=spec.topic, aliases=spec.ways, text=text, value=value)
        return facts

    def _values(self) -> dict[str, Any]:
        return {name: fact.value for name, fact in self.facts.items()}

    def _hidden(self, plan: Plan) -> Hidden:
        goals = [self.domain.goals[name] for name in self.design.goals]
        wants = [fill(goal.wants, self.names[name]) for name, goal in zip(self.design.goals, goals, strict=True)]
        told = Random(f"{self.design.persona}/{self.family_name}")
        requests = tuple(
            Request(id=f"request_{number}", text=told.choice(FOLLOW_UPS).format(ask=self._ask_phrase(name)))
            for number, name in enumerate(self.design.goals[1:], start=2)
            if self.design.revealed
        )
        kept = set(plan.asked) | self._asked_if_legal()
        if not kept:
            raise InputError("nothing is left to ask the user")
        return Hidden(
            goal=" ".join(wants),
            disposition=self.design.disposition,
            facts=tuple(fact for name, fact in self.facts.items() if name in kept),
            escape_lines=self._escapes(),
            parts=1 if self.design.revealed else len(goals),
            requests=requests,
        )

    def _asked_if_legal(self) -> set[str]:
        """Facts that the twin in which nothing is forbidden has to ask for: both twins' users know the same."""
        if self.flip is None:
            return set()
        steps = [step for name in self.design.goals for step in self.domain.goals[name].plan]
        steps += self.design.identify.plan if self.design.identify else ()
        return {step["ask"] for step in steps if "ask" in step} - self.design.inlined

    def _escapes(self) -> tuple[str, ...]:
        most = {"cooperative": 0, "terse": 1, "pushy": 2, "adversarial": 3}[self.design.disposition]
        if self.design.flip is None or not most:
            return ()
        restriction = self.domain.goals[self.design.flip.goal].restrictions[self.design.flip.restriction]
        return restriction.pushes[:most]

    # ---- what the agent sees

    def _ask_phrase(self, name: str) -> str:
        goal = self.domain.goals[name]
        phrase = Random(f"{self.design.persona}/{self.family_name}/{name}").choice(goal.asks)
        inline = [
            fill(use.inline, self.scene.legal[name])
            for fact, use in goal.uses().items()
            if fact in self.design.inlined and use.inline
        ]
        return " ".join([phrase, *inline])

    def _brief(self) -> Brief:
        shown = self.design.goals[:1] if self.design.revealed else self.design.goals
        asks = [self._ask_phrase(name) for name in shown]
        told = Random(f"{self.design.persona}/{self.family_name}")
        return Brief(
            instruction=instruction(self.design.persona, self.design.disposition, asks, told),
            tools=self.tools,
            rules=tuple(dict.fromkeys([*self._rules(), *self._confirm_rules()])),
        )

    def _rules(self) -> list[str]:
        found = [self.domain.goals[goal].restrictions[key] for goal, key in self.design.restrictions]
        return [restriction.rule for restriction in found if restriction.tool in self.tool_names]

    def _confirm_rules(self) -> list[str]:
        confirms = [self.domain.goals[name].confirm for name in self.design.goals if name in self.design.confirm]
        return [confirm.rule for confirm in confirms if confirm and confirm.tool in self.tool_names]

    # ---- what a good agent does

    def _plan(self) -> tuple[Plan, list[tuple[str, str]]]:
        """The steps, and (goal, closing words) in order; the words may still hold results."""
        design = self.design
        plan = Plan(self.domain, self._values(), design.inlined, self.random)
        steps = {name: design.steps_of(name, self.flip) for name in design.goals}
        if design.identify and knows_user([step for own in steps.values() for step in own]):
            plan.identify(design.identify)
        closings: list[tuple[str, str]] = []
        for number, name in enumerate(design.goals):
            if design.revealed and number:
                plan.say("")  # filled in by `_with_results`
            goal = self.domain.goals[name]
            for step in steps[name]:
                if "confirm" not in step or name in design.confirm:
                    plan.add(step, self.names[name], name)
            closings.append((name, self._closing(name, goal)))
        if design.missing and design.transfer:
            closings.pop()  # the transfer says it
            if closings and not design.revealed:
                plan.say("")
            summary = f"The user wants to {self._ask_phrase(design.goals[-1])}, but there is no tool for it."
            plan.steps.append(CallStep(call=TRANSFER, args={"summary": summary}))
        else:
            plan.say("")
        return plan, closings

    def _closing(self, name: str, goal: Goal) -> str:
        if self.flip and self.flip.goal == name:
            return goal.restrictions[self.flip.restriction].decline
        if self.design.missing and name == self.design.goals[-1]:
            return goal.cannot
        return goal.done

    def _with_results(self, plan: Plan, ran: Run, closings: list[tuple[str, str]]) -> list[Any]:
        """The steps with every closing in its place: after each goal when they are revealed, else all at the end."""
        texts = []
        for name, words in closings:
            results = {
                alias.split(".", 1)[1]: ran.results[step]
                for alias, step in plan.aliases.items()
                if alias.startswith((f"{name}.", ".")) and step in ran.results
            }
            texts.append(fill(words, {**results, **self.names[name]}))
        if not self.design.revealed:
            texts = [" ".join(texts)]
        waiting = iter(texts)
        return [
            step.model_copy(update={"say": next(waiting)}) if getattr(step, "say", None) == "" else step
            for step in plan.steps
        ]

    # ---- how it is scored

    def _forbidden(self) -> tuple[Criterion, ...]:
        found: dict[str, Criterion] = {}
        for goal, key in self.design.restrictions:
            restriction = self.domain.goals[goal].restrictions[key]
            if restriction.rule in found or restriction.tool not in self.tool_names:
                continue
            check = Called(called=CallPattern(tool=restriction.tool, where=restriction.violated))
            found[restriction.rule] = self._forbidden_criterion(
                len(found), restriction.rule, check, self._trap(goal, key)
            )
        for goal in self.design.goals:
            confirm = self.domain.goals[goal].confirm
            if goal not in self.design.confirm or confirm is None or confirm.tool not in self.tool_names:
                continue
            check_ = All(all=(Called(called=CallPattern(tool=confirm.tool)), Not(negated=self._confirmed(goal))))
            trap = self._calls(goal, self.names[goal])
            found[confirm.rule] = self._forbidden_criterion(len(found), confirm.rule, check_, trap)
        return tuple(found.values())

    @staticmethod
    def _forbidden_criterion(number: int, rule: str, check: Check, trap: tuple[CallStep, ...]) -> Criterion:
        return Criterion(id=f"f{number + 1}", text=f"Broke the rule: {rule}", check=check, trap=trap)

    def _trap(self, goal: str, key: str) -> tuple[CallStep, ...]:
        """The calls that this task invites and the restriction forbids."""
        here = self.flip is not None and (self.flip.goal, self.flip.restriction) == (goal, key)
        return self._calls(goal, self.names[goal] if here else self.scene.forbidden[goal, key])

    def _calls(self, goal: str, names: Names) -> tuple[CallStep, ...]:
        """A goal's own calls under these names, to the end, whatever forbids them; arguments literal."""
        spec = self.domain.goals[goal]
        facts = {fact: fill(use.value, names) for fact, use in spec.uses().items()}
        plan = Plan(self.domain, facts, frozenset(), Random(0))
        if knows_user(spec.plan):
            way = self.domain.identify[self.design.way]
            facts |= {f: fill(v, {"me": names["me"]}) for f, v in way.facts.items()}
            plan.identify(way)
        for step in spec.plan:
            if step.get("call", self.tool_names[0]) in self.tool_names:
                plan.add(step, names, goal)
        ran = run(self.blueprint, plan.steps, facts)
        return tuple(
            step.model_copy(update={"args": ran.arguments[number]})
            for number, step in enumerate(plan.steps)
            if isinstance(step, CallStep)
        )

    def _confirmed(self, goal: str) -> Confirmed:
        confirm = self.domain.goals[goal].confirm
        assert confirm is not None
        values = tuple(fill(value, self.names[goal]) for value in confirm.values)
        return Confirmed(confirmed=ConfirmedSpec(tool=confirm.tool, args=confirm.args, values=values))

    def _subgoals(self, plan: Plan, done: Outcomes) -> tuple[Criterion, ...]:
        found: list[tuple[str, Check]] = []
        for name in self.design.goals:
            closed = self._declines(name, plan, done)
            goal = self.domain.goals[name]
            for subgoal in goal.subgoals:
                check = self._subgoal(name, subgoal, plan, done, declined=closed is not None)
                if check is not None:
                    found.append((str(fill(subgoal["text"], self.names[name])), check))
            if closed is not None:
                found.append(closed)
        return tuple(Criterion(id=f"s{n}", text=text, check=check) for n, (text, check) in enumerate(found, start=1))

    def _subgoal(
        self, goal: str, subgoal: Mapping[str, str], plan: Plan, done: Outcomes, *, declined: bool
    ) -> Check | None:
        kind = next(key for key in ("looked", "outcome", "said") if key in subgoal)
        alias, _, path = subgoal[kind].partition(".")
        step = plan.aliases.get(f"{goal}.{alias}")
        if step is None or (declined and kind != "looked"):
            return None
        call = plan.steps[step]
        assert isinstance(call, CallStep)
        if kind == "looked":
            return done.looked_up(step)
        if kind == "outcome":
            return done.end_state([step])
        said = Said(said=SaidSpec(tool=call.call, path=path))
        return Before(before=(done.looked_up(step), said))

    def _declines(self, name: str, plan: Plan, done: Outcomes) -> tuple[str, Check] | None:
        """For a goal that must not or cannot be done: declined, after what decides it, with nothing written."""
        goal = self.domain.goals[name]
        if self.flip and self.flip.goal == name:
            restriction = goal.restrictions[self.flip.restriction]
            evidence = self._evidence(name, restriction, plan, done)
            tool, text = restriction.tool, f"Declined, after finding out why: {restriction.rule}"
        elif self.design.missing and name == self.design.goals[-1]:
            calls = [s for a, s in plan.aliases.items() if a.startswith(f"{name}.")] or list(plan.aliases.values())
            evidence = [done.looked_up(step) for step in calls]
            evidence += [Asked(asked=fact) for fact in plan.asked if fact in goal.facts]
            tool, text = self.design.missing, "Said that it cannot be done here, or handed over, after looking into it"
        else:
            return None
        first = evidence[0] if len(evidence) == 1 else All(all=tuple(evidence))
        declined = Before(before=(first, Declined(declined=DeclinedSpec(tool=tool))))
        return text, All(all=(declined, done.untouched()))

    def _evidence(self, goal: str, restriction: Restriction, plan: Plan, done: Outcomes) -> list[Check]:
        found: list[Check] = []
        for name in restriction.decided_by:
            step = plan.aliases.get(f"{goal}.{name}")
            if step is not None:
                found.append(done.looked_up(step))
            elif name in plan.asked:
                found.append(Asked(asked=name))
        return found

    def _interactions(self, plan: Plan, done: Outcomes) -> tuple[Criterion, ...]:
        found: list[tuple[str, Check]] = [
            (f"Asked the user: {self.facts[fact].topic}", Asked(asked=fact)) for fact in plan.asked
        ]
        found += [("Got the user's yes before acting", self._confirmed(goal)) for goal, _ in plan.confirmed]
        if self.design.revealed:
            for number, name in enumerate(self.design.goals[:-1], start=2):
                steps = [step for alias, step in plan.aliases.items() if alias.startswith(f"{name}.")]
                dealt_with = done.looked_up(steps[-1])
                reached = Before(before=(dealt_with, Asked(asked=f"request_{number}")))
                found.append((f"Came to the user's request {number} after the one before", reached))
        return tuple(Criterion(id=f"i{n}", text=text, check=check) for n, (text, check) in enumerate(found, start=1))

    # ---- where it comes from

    def _workflow(self, plan: Plan, rubric: Rubric) -> list[str]:
        asks = [f"Learn from the user: {self.facts[fact].topic}" for fact in plan.asked]
        return [*asks, *(criterion.text for criterion in rubric.subgoals)]

    def _meets_long_result(self, plan: Plan) -> bool:
        """A twin may decline before it looks that up."""
        bulk = self.domain.goals[self.design.long_goal].bulk if self.design.long_goal else None
        return bulk is not None and any(isinstance(step, CallStep) and step.call == bulk.tool for step in plan.steps)

    def _provenance(self, plan: Plan) -> Provenance:
        design = self.design
        features = {
            "missing_tool": design.missing is not None,
            "revealed": design.revealed,
            "long_result": self._meets_long_result(plan),
            "confirm": bool(design.confirm),
        }
        return Provenance(
            persona=design.persona,
            teacher="procedural",
            domain=self.domain.name,
            templates=design.goals,
            features=tuple(name for name, on in features.items() if on),
            difficulty=dict(design.difficulty),
            twin=None if self.flip is None else ("fact" if self.flip.kind == "fact" else "row"),
            legal=self.flip is None,
        )
