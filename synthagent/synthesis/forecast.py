"""What a course will cost before it is begun: calls and tokens a persona, at best and at worst."""

from collections.abc import Mapping
from dataclasses import dataclass

from synthagent import prompts
from synthagent.config import Price
from synthagent.schema.messages import Usage
from synthagent.synthesis.teaching import Plan

_STAGES: Mapping[str, tuple[int, int]] = {
    "scenario": (30, 250),
    "toolset": (120, 600),
    "review": (350, 250),
    "tables": (400, 600),
    "programs": (1_400, 700),
    "grounding": (400, 600),
    "fuzz": (200, 350),
    "reference": (900, 450),
    "rubric": (900, 200),
}
"""Stage -> (tokens that earlier stages put into its prompt, tokens of an answer) for a task of ordinary size."""
_REPAIRS: Mapping[str, tuple[int, int]] = {"programs": (1_600, 300), "reference": (2_500, 550), "rubric": (1_900, 200)}
"""Stage -> tokens read and written by one round of repair."""
_TOOLS = 5


@dataclass(frozen=True, slots=True)
class Forecast:
    """For one persona, from a run in which nothing is sent back to one in which everything is."""

    calls: tuple[int, int]
    usage: tuple[Usage, Usage]

    def usd(self, price: Price | None, personas: int) -> tuple[float, float] | None:
        """US dollars for so many personas; None if there is no price."""
        return None if price is None else (price.of(self.usage[0]) * personas, price.of(self.usage[1]) * personas)


def forecast(plan: Plan) -> Forecast:
    """What one persona takes under a plan."""
    left_out = (
        {"review"} & set(plan.skip) | ({"fuzz"} & set(plan.skip)) | ({"rubric"} if "rules" in plan.skip else set())
    )
    left_out |= {"tables", "programs", "rubric"} if plan.world == "none" else {"grounding"}
    stages = {name: sizes for name, sizes in _STAGES.items() if name not in left_out}
    read = sum(more + prompts.size(f"synthesis/{name}") for name, (more, _) in stages.items())
    written = sum(answer for _, answer in stages.values())
    calls = len(stages)
    # At worst every answer needs its second turn, which reads the first one too, and every round is used.
    worst = Usage(prompt=3 * read + written, completion=2 * written)
    most = 2 * calls
    for name, (more, answer) in _REPAIRS.items():
        if name in stages:
            times = plan.rounds * (_TOOLS if name == "programs" else 1)
            worst += Usage(prompt=2 * times * more, completion=2 * times * answer)
            most += 2 * times
    return Forecast((calls, most), (Usage(prompt=read, completion=written), worst))
