"""Finished episodes as tokens to be imitated: what the agent wrote is learnt, what it was told is context. No torch.

Rejection sampling (Yuan et al., arXiv 2308.01825): only episodes that earned enough are kept, and none in which the
agent was corrected. The ids are made here, from text: an agent that is imitated need not have been this model.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from synthagent.rollouts.histories import turns
from synthagent.schema.episodes import Episode
from synthagent.schema.messages import Message
from synthagent.schema.tasks import Task
from synthagent.simulation.agent import ToolForm, opening, tools_for
from synthagent.simulation.model_agent import as_told
from synthagent.training.syllabus import begun
from synthagent.training.tokens import TemplateError, Tokenizer, Tokens, Tools, rendered, turn_end


@dataclass(frozen=True, slots=True)
class Example:
    """A demonstration to be learnt from."""

    task: Task
    sample: int
    tokens: Tokens

    @property
    def domain(self) -> str:
        """What it is counted under when updates are mixed: the task's domain, else its family."""
        return self.task.provenance.domain or self.task.family


def tokens_of(task: Task, episode: Episode, tokenizer: Tokenizer, form: ToolForm) -> Tokens:
    """An episode as this model would have written it.

    Raises `TemplateError` for a template that writes a turn otherwise than it lets the model write it.
    """
    tools = tools_for(task.brief, episode.protocol) if form == "native" else None
    said = as_told(opening(task.brief, episode.protocol, task.world.now, form), form)
    scroll = begun(task, episode.protocol, tokenizer, form)
    for turn in turns(episode):
        message, *answers = as_told([turn.message, *turn.answers], form)
        scroll.wrote(_written(tokenizer, said, message, tools))
        scroll.heard(message, answers)
        said = [*said, message, *answers]
    return scroll.tokens


def _written(tokenizer: Tokenizer, said: Sequence[Message], message: Message, tools: Tools | None) -> list[int]:
    """The ids of a turn, its end included."""
    before = rendered(tokenizer, said, tools, generation_prompt=True)
    after = rendered(tokenizer, [*said, message], tools, generation_prompt=False)
    tail = turn_end(tokenizer, [*said, message], tools)
    if not after.startswith(before) or not after.endswith(tail):
        raise TemplateError("the chat template does not write an assistant's turn where it lets the model write it")
    ids = tokenizer.encode(after[len(before) : len(after) - len(tail)])
    end = next((token for token in tokenizer.encode(tail) if token in tokenizer.ends), None)
    if end is None:
        raise TemplateError("the chat template ends an assistant's turn with none of the model's end tokens")
    return [*ids, end]


def mixed(examples: Sequence[Example], size: int) -> Iterator[list[Example]]:
    """Updates of `size` examples, the last perhaps fewer, in which the domains take turns.

    With at least as many places as domains, every domain is in each update for as long as it lasts.
    """
    piles: dict[str, list[Example]] = {}
    for example in examples:
        piles.setdefault(example.domain, []).append(example)
    order = list(_in_turn(list(piles.values())))
    for start in range(0, len(order), size):
        yield order[start : start + size]


def _in_turn(piles: Iterable[list[Example]]) -> Iterator[Example]:
    """Spread evenly: the k-th of a pile of n stands at (k + 1/2) / n of the whole."""
    placed = [((k + 0.5) / len(pile), number, pile[k]) for number, pile in enumerate(piles) for k in range(len(pile))]
    return (example for _, _, example in sorted(placed, key=lambda at: at[:2]))
