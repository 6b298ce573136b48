"""Who judges, and how episodes are scored."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

from synthagent import prompts
from synthagent.cli.agents import Models, Role, role
from synthagent.cli.console import say
from synthagent.config import Settings
from synthagent.errors import InputError
from synthagent.schema.scores import JudgeMode
from synthagent.scoring.judge import PROMPTS, Judge
from synthagent.scoring.reward import formula_of
from synthagent.scoring.scorer import Scoring
from synthagent.storage.run_folder import UNJUDGED

WARM = 0.7
"""Least temperature of further votes: a judge that is cold says the same again."""


@dataclass(frozen=True, slots=True)
class Bench:
    """Who judges."""

    judge: Role | None = None
    """None: nobody; what code cannot see stays unscored."""
    mode: JudgeMode = "checks"

    @property
    def prompts(self) -> dict[str, str]:
        """Prompt -> fingerprint, of those that are used."""
        return {name: prompts.fingerprint(name) for name in PROMPTS} if self.judge else {}


NOBODY = Bench()


def bench(judge: str | None, mode: str) -> Bench:
    """What the options say. Raises `InputError`."""
    if mode not in get_args(JudgeMode):
        raise InputError(f"--judge-mode: '{mode}' is not one of {', '.join(get_args(JudgeMode))}")
    if judge is None and mode == "paper":
        raise InputError("--judge-mode paper: there is no judge", way_out="give --judge MODEL")
    return Bench(None if judge is None else role(judge, "--judge"), cast(JudgeMode, mode))


def waiting(run: Path, count: int, reasons: Mapping[str, int]) -> None:
    """Says how many episodes of a run nobody has decided, why if a judge has tried, and how to ask one."""
    told = ", ".join(f"{reason} {number}" for reason, number in reasons.items())
    tried = f"{count} episodes that the judge did not decide ({told}), see {run / UNJUDGED}; to ask again"
    what = tried if told else f"{count} episodes wait for a judge"
    say(f"{what}: synthagent score {run} --judge MODEL --retry-unscored")


async def scoring_of(who: Bench, chosen: Settings, models: Models, draw: int = 0) -> Scoring:
    """How episodes are scored. Raises `InputError` for weights that weigh nothing."""
    try:
        formula_of(chosen.reward, chosen.reward_weights)
    except ValueError as error:
        raise InputError(str(error)) from error
    if who.judge is None:
        return Scoring(None, chosen.reward, chosen.reward_weights, models.answers)
    asked = await models.structured(who.judge, "judge", chosen.judge_temperature, chosen.judge_tokens)
    warm = max(chosen.judge_temperature, WARM)
    voting = await models.structured(who.judge, "judge", warm, chosen.judge_tokens)
    judge = Judge(asked, who.judge.name, who.mode, voting=voting, votes=chosen.judge_votes, draw=draw)
    return Scoring(judge, chosen.reward, chosen.reward_weights, models.answers)
