"""A problem in a persona's own words: the same numbers, the same answer (Lyu et al., section 3.1, reasoning data)."""

import re
from collections.abc import Sequence

from synthagent import prompts
from synthagent.llm.structured import Structured
from synthagent.reasoning.problems import Problem
from synthagent.schema.record import Record
from synthagent.scoring.answers import same_text

REWRITE = "reasoning/rewrite"
_NUMBER = re.compile(r"(?<![\w.])\d+(?:[.,]\d+)*")
_LONGEST = 8000
"""Characters of a question."""


class Rewritten(Record):
    """What a teacher makes of a problem."""

    question: str


def fingerprints() -> dict[str, str]:
    """The prompts of this module -> fingerprints."""
    return {REWRITE: prompts.fingerprint(REWRITE)}


async def rewrite(teacher: Structured, problem: Problem, persona: str, sample: int = 0) -> Problem:
    """The problem as this persona asks it. Raises `NotUnderstood`, where code finds it no longer the same too."""
    text = prompts.render(REWRITE, persona=persona, question=problem.question.strip(), kind=problem.answer)
    asked = await teacher.ask(
        [{"role": "user", "content": text}], Rewritten, stage="rewrite", sample=sample,
        check=lambda found: complaints(problem, found.question),
    )  # fmt: skip
    return problem.model_copy(update={"question": asked.value.question.strip()})


def complaints(problem: Problem, question: str) -> Sequence[str]:
    """What shows, without solving it, that a question is not the problem in other words."""
    if not question.strip():
        return ["question: it is empty"]
    if len(question) > _LONGEST:
        return [f"question: at most {_LONGEST} characters"]
    if same_text(problem.question, question):
        return ["question: it is word for word the problem as it was given"]
    before, after = _numbers(problem.question), _numbers(question)
    found = []
    if problem.answer == "math" and (missing := sorted(before - after)):
        found.append(f"question: these numbers of the problem are missing: {', '.join(missing)}")
    gold = (problem.gold or "").strip()
    if gold and _says(question, gold) and not _says(problem.question, gold):
        found.append("question: it says the answer")
    return found


def _numbers(text: str) -> set[str]:
    return {number.replace(",", "") for number in _NUMBER.findall(text)}


def _says(text: str, gold: str) -> bool:
    return re.search(rf"(?<![\w.]){re.escape(gold.casefold())}(?![\w]|\.\d)", text.casefold()) is not None
