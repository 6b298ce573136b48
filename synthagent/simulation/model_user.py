"""A user that is a language model. The model finds the words; what was asked and what was told is decided by code.

It sees what the user knows and the conversation as the user hears it, never a tool or a result. Every reply passes the
linter before the agent hears it: one with a finding is asked for once more, with the finding; a second one makes the
episode unscored, and the blame is the user's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from synthagent import prompts
from synthagent.errors import ModelFailed, UserFailed
from synthagent.llm.structured import NotUnderstood, Structured
from synthagent.schema.messages import Message
from synthagent.schema.record import Record
from synthagent.schema.tasks import Disposition, Hidden
from synthagent.simulation.hearing import MOST_FACTS, Heard, Listener
from synthagent.simulation.user_cues import AGREES, DENIES, NO_YES
from synthagent.simulation.user_linter import Finding, Turn, lint, settles, tells
from synthagent.simulation.users import UserReply, without_echo
from synthagent.simulation.values import plain

SYSTEM, TURN = "simulation/user", "simulation/user_turn"

MANNERS: dict[Disposition, str] = {
    "cooperative": "friendly and to the point.",
    "terse": "in as few words as possible; you do not like to chat.",
    "pushy": "impatient; you press for what you want, but you tell the truth.",
    "adversarial": "distrustful and hard to please; you argue, but you tell the truth.",
}


class Spoken(Record):
    """What the model says as the user, in the middle of a conversation."""

    text: str
    """What the customer says"""

    @property
    def ends(self) -> bool:
        """Whether the user hangs up."""
        return False


class LastWord(Spoken):
    """What it says where the conversation may end: after a claim that all is done, or a refusal."""

    hang_up: bool
    """Ends the conversation for good"""

    @property
    def ends(self) -> bool:
        return self.hang_up


def user_fingerprints() -> dict[str, str]:
    """Prompt -> fingerprint, for manifests."""
    return {name: prompts.fingerprint(name) for name in (SYSTEM, TURN)}


class ModelUser:
    """See the module. One instance an episode."""

    def __init__(
        self, structured: Structured, name: str, hidden: Hidden, listener: Listener, opening: str,
        tools: Sequence[str], seed: int = 0, *, strict: bool = True, linted: bool = True,
    ):  # fmt: skip
        """`tools`: names that a user cannot know. `strict`: a finding is asked for again, and then fails.

        `linted` False: nothing is looked at. Without `strict`, findings are only noted in the reply.
        """
        self.name = name
        self._structured, self._hidden, self._listener = structured, hidden, listener
        self._opening, self._tools, self._seed = opening, tools, seed
        self._strict, self._linted = strict, linted
        self._exchanges: list[tuple[str, str]] = []
        self._escapes, self._requests = list(hidden.escape_lines), list(hidden.requests)
        self._told: list[str] = []
        self._system = prompts.render(SYSTEM, goal=hidden.goal, facts=hidden.facts, manner=MANNERS[hidden.disposition])

    async def reply(self, message: str) -> UserReply:
        """Answers what the agent said. Raises `UserFailed` when the model fails, or breaks the rules twice."""
        own = [plain(self._opening), *(plain(said) for _, said in self._exchanges)]
        heard = self._listener.heard(without_echo(message, own))
        due = self._due(heard)
        # Where it may not end, nobody is asked whether it should: small models end it at every question.
        closing = heard.claims or heard.refuses or (heard.kind == "other" and settles(message))
        may_end = not heard.topics and closing and not due.line
        kind = LastWord if may_end else Spoken
        prompt: list[Message] = [
            {"role": "system", "content": self._system},
            {
                "role": "user",
                "content": prompts.render(
                    TURN,
                    opening=self._opening,
                    exchanges=self._exchanges,
                    message=message,
                    direction=due.direction,
                    may_end=may_end,
                ),
            },
        ]
        spoken, raw = await self._asked(prompt, kind)
        turn = self._turn(message, heard, spoken, due)
        first = findings = lint(turn) if self._linted else ()
        if findings and self._strict:
            prompt += [{"role": "assistant", "content": raw}, {"role": "user", "content": _complaint(findings)}]
            spoken, _ = await self._asked(prompt, kind)
            turn = self._turn(message, heard, spoken, due)
            findings = lint(turn)
            if findings:
                told = "; ".join(map(str, findings))
                raise UserFailed(f"the user, asked twice, {told}: {spoken.text[:300]}",
                                 reason=f"lint:{findings[0].kind}")  # fmt: skip
        return self._taken(turn, spoken, _Due() if turn.leaves_out else due, first)

    async def _asked(self, prompt: Sequence[Message], kind: type[Spoken]) -> tuple[Spoken, str]:
        def check(spoken: Spoken) -> list[str]:
            return [] if spoken.text.strip() else ["text: say something"]

        turn = len(self._exchanges)
        try:
            asked = await self._structured.ask(
                prompt, kind, stage="user", sample=(self._seed + turn) % 2**31, check=check
            )
        except NotUnderstood as error:
            raise UserFailed(str(error), reason="not_understood") from error
        except ModelFailed as error:
            raise UserFailed(str(error), reason=f"model:{error.reason}") from error
        return asked.value, asked.raw

    def _due(self, heard: Heard) -> "_Due":
        """What the task wants said now, whatever else is: an escape line, or the next request."""
        closing = heard.kind in ("refusal", "claim_done") or (heard.kind == "confirmation" and heard.refuses)
        if heard.topics or not closing:
            return _Due()
        if heard.refuses and self._escapes:
            return _Due(f"You are being refused. Do not give in yet, say this in your own words: {self._escapes[0]}",
                        self._escapes[0])  # fmt: skip
        if self._requests:
            request = self._requests[0]
            return _Due(
                f"That is settled. Now ask for this, in your own words: {request.text}", request.text, request.id
            )
        return _Due()

    def _turn(self, message: str, heard: Heard, spoken: Spoken, due: "_Due") -> Turn:
        return Turn(
            hidden=self._hidden,
            listener=self._listener,
            opening=self._opening,
            tools=self._tools,
            history=tuple(self._exchanges),
            message=message,
            reply=spoken.text,
            done=spoken.ends,
            heard=heard,
            told=(*self._told, due.line) if due.line else self._told,
            open_requests=bool(due.line or self._requests),
            due=due.line,
        )

    def _taken(self, turn: Turn, spoken: Spoken, said: "_Due", findings: Sequence[Finding]) -> UserReply:
        """The reply, with what code knows about it. `said`: of what was due, what it says; the rest stays due."""
        message, heard = turn.message, turn.heard
        if said.line:
            self._told.append(said.line)
            if said.request:
                self._requests.pop(0)
            else:
                self._escapes.pop(0)
        self._exchanges.append((message, spoken.text))
        disclosed = [fact.id for fact in self._hidden.facts if tells(spoken.text, fact)]
        asked = [fact_id for fact_id in (*heard.topics, *heard.wrong) if fact_id in disclosed]
        if heard.kind == "question" and not asked:
            # The ears were not sure, and the user took it for a question: the two together are.
            leanings = self._listener.leanings(message)
            asked = [fact_id for fact_id in disclosed if fact_id in leanings][:MOST_FACTS]
        if said.request:
            disclosed.append(said.request)
            asked.append(said.request)
        words = spoken.text.lower().strip()
        return UserReply(
            text=spoken.text.strip(),
            heard=heard.kind,
            disclosed=tuple(disclosed),
            asked=tuple(asked),
            agreed=heard.kind == "confirmation" and agrees(words),
            done=spoken.ends,
            findings=tuple(f"{finding.kind}: {finding.detail}" for finding in findings),
        )


def agrees(words: str) -> bool:
    """Whether a reply, in lower case, says yes and nothing that takes it back: a consent in doubt is none."""
    yes = AGREES.match(words)
    whole = yes is not None and not words[yes.end() : yes.end() + 1].isalpha()
    return whole and not DENIES.match(words) and not NO_YES.search(words)


@dataclass(frozen=True, slots=True)
class _Due:
    """What is to be said now."""

    direction: str = ""
    line: str = ""
    request: str = ""


def _complaint(findings: Sequence[Finding]) -> str:
    told = "\n".join(f"- you {finding}" for finding in findings)
    return f"A customer would not say that:\n{told}\nSay it again without that. Answer with the JSON object only."
