"""A task whose reward hangs on one choice, and who plays it: small enough to be learnt in seconds."""

from collections.abc import Sequence

import anyio

from synthagent.rollouts.group import Outcome, roll
from synthagent.schema.checks import Called, CallPattern
from synthagent.schema.episodes import Limits
from synthagent.schema.messages import AssistantTurn
from synthagent.schema.tasks import Brief, CallStep, Criterion, Hidden, Provenance, Rubric, SayStep, Task, World
from synthagent.simulation.agent import Agent, View
from synthagent.simulation.episode import Cast, Stage, facts_user, prepare
from synthagent.simulation.reference_agent import call, speak
from synthagent.storage.task_file import identified
from synthagent.training.examples import Example, tokens_of
from synthagent.training.tokens import Tokenizer
from tests.builders import NOW, TEXT, give, tool

FORM = "compact"


def choice(word: str = "button", right: str = "b", domain: str = "buttons") -> Task:
    """There are two sides, and one of them is right; nobody says which."""
    task = Task(
        family=word,
        brief=Brief(instruction=f"Press a {word}.", tools=(tool("press", "read", {"type": "string"}, side=TEXT),)),
        hidden=Hidden(goal=f"I want a {word} pressed."),
        world=World(
            now=NOW,
            ddl="CREATE TABLE t(id TEXT PRIMARY KEY) STRICT;",
            rows={},
            programs={"press": (give("SELECT :side", "value"),)},
        ),
        rubric=Rubric(
            subgoals=(
                Criterion(
                    id="s1",
                    text="Pressed the right side",
                    check=Called(called=CallPattern(tool="press", args={"side": right})),
                ),
            )
        ),
        reference=(CallStep(call="press", args={"side": right}), SayStep(say="Done, it is pressed.")),
        provenance=Provenance(domain=domain),
    )
    return identified(task)


class Presses:
    """Presses one side, then says that it is done."""

    def __init__(self, side: str):
        self.name, self._side, self._turn = f"presses-{side}", side, 0

    async def act(self, view: View) -> AssistantTurn:
        self._turn += 1
        if self._turn == 1:
            return call("press", {"side": self._side}, 0)
        return speak("Done.", view.protocol, final=True)


def shown(task: Task, agent: Agent, sample: int = 0, turns: int = 40) -> Outcome:
    """An agent's episode of a task, scored."""

    def cast(stage: Stage, _: int) -> Cast:
        return Cast(agent, facts_user(stage), "text", FORM)

    return anyio.run(roll, prepare(task), cast, Limits(turns=turns), sample, 0)


def examples(tokenizer: Tokenizer, tasks: Sequence[Task], sides: str = "ab") -> list[Example]:
    """Every side of every task, as tokens to be imitated; of one turn each."""
    return [
        Example(task, n, tokens_of(task, shown(task, Presses(side), turns=1).episode, tokenizer, FORM))
        for task in tasks
        for n, side in enumerate(sides)
    ]
