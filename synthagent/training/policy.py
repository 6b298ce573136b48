"""The model in training as the agent of an episode: it keeps its own tokens. No torch here.

Every trainer plays through `PolicyAgent`; they differ only in the `Sampler` they bring. So ids, masks and rewards of
the same turns are the same under all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from synthagent.llm.model import ChatReply, ContextOverflow
from synthagent.schema.messages import AssistantTurn, Usage
from synthagent.simulation.agent import ToolForm, View, tools_for
from synthagent.simulation.model_agent import as_told, turn_of
from synthagent.training.sampling import Sampled, Sampler, Wish
from synthagent.training.tokens import Scroll, Tokenizer, Tokens


@dataclass(frozen=True, slots=True)
class Policy:
    """A model that writes, and the tokenizer that says what it wrote."""

    sampler: Sampler
    tokenizer: Tokenizer
    name: str = "policy"

    def written(self, ids: Sequence[int]) -> str:
        """The text of a turn, without its end."""
        kept = ids[:-1] if ids and ids[-1] in self.tokenizer.ends else ids
        return self.tokenizer.decode(kept)


class PolicyAgent:
    """The agent of one episode: `tokens` is what a trainer takes of it."""

    def __init__(self, policy: Policy, form: ToolForm, *, max_tokens: int, temperature: float, seed: int,
                 most: int | None = None, name: str | None = None):  # fmt: skip
        """`max_tokens`: of a turn; `most`: of the conversation after its opening, context included."""
        self.name = name or policy.name
        self._policy, self._form, self._most = policy, form, most
        self._max_tokens, self._temperature, self._seed = max_tokens, temperature, seed
        self._scroll: Scroll | None = None
        self._opening = 0
        self._key = object()

    @property
    def tokens(self) -> Tokens:
        """The episode so far. Raises `ValueError` before the first turn."""
        if self._scroll is None:
            raise ValueError("nothing was played yet")
        return self._scroll.tokens

    @property
    def wrote(self) -> bool:
        """Whether there is a turn of the policy's to learn from."""
        return self._scroll is not None and self._scroll.written > 0

    def close(self) -> None:
        """The conversation will not go on."""
        self._policy.sampler.release(self._key)

    async def act(self, view: View) -> AssistantTurn:
        """The model's turn. Raises `ContextOverflow` when the conversation outgrows the window or `most`."""
        scroll = self._caught_up(view)
        window = self._policy.sampler.length
        if self._most is not None:
            window = min(window, self._opening + self._most)
        room = window - len(scroll.ids)
        if room < 2:
            raise ContextOverflow(f"{len(scroll.ids)} tokens, and the window holds {window}")
        number = sum(message["role"] == "assistant" for message in view.messages)
        wish = Wish(min(self._max_tokens, room), self._temperature, (self._seed + number) % 2**31)
        read = len(scroll.ids)
        found: Sampled = await self._policy.sampler.sample(self._key, scroll.ids, wish)
        scroll.wrote(found.ids, found.logprobs)
        reply = ChatReply(
            content=self._policy.written(found.ids),
            finish_reason="stop" if found.ended else "length",
            usage=Usage(prompt=read, completion=len(found.ids)),
        )
        return turn_of(reply, self._form, number)

    def _caught_up(self, view: View) -> Scroll:
        """The tokens of everything that was said, with the head of the next turn."""
        if self._scroll is None:
            tools = tools_for(view.brief, view.protocol) if self._form == "native" else None
            self._scroll = Scroll(self._policy.tokenizer, as_told(view.messages, self._form), tools)
            self._opening = len(self._scroll.ids)
        else:
            last = max(n for n, message in enumerate(view.messages) if message["role"] == "assistant")
            turn, *answers = as_told(view.messages[last:], self._form)
            self._scroll.heard(turn, answers)
        return self._scroll
