"""Sampling many conversations from one transformers model at once, on whatever torch runs on.

Made for rollouts in which conversations stop and go on: keys and values of a conversation are kept across its turns, a
prompt that several conversations share is read once, and a conversation joins or leaves the batch at any step
(continuous batching: Yu et al., *Orca*, OSDI 2022). What is read in and what is written go through the model in one row
of tokens. Torch is imported here and in the trainers only.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import anyio
import anyio.lowlevel
import torch
from torch import Tensor
from transformers import PreTrainedModel

from synthagent.training.attention import ATTENTION, NO_MASK, grouped_attention
from synthagent.training.sampling import Sampled, Wish

SHARED = 16
"""Tokens from which on a prefix that another conversation has is copied and not computed."""
READ_AT_ONCE = 1024
"""Tokens read in with one step, unless a single prompt is longer: those who write wait for them."""
_GROWTH = 128
"""Tokens by which rows grow. Attention computes whole rows: what is left over in them costs as much as what is used."""


@dataclass
class _Request:
    key: Hashable
    ids: list[int]
    wish: Wish
    random: torch.Generator
    written: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    slot: int | None = None
    result: Sampled | None = None


@dataclass
class _Slot:
    """One row of the cache."""

    key: Hashable | None = None
    ids: list[int] = field(default_factory=list)
    """The tokens whose keys and values the row holds."""
    pending: list[int] = field(default_factory=list)
    """Tokens to be computed with the next step."""
    active: _Request | None = None
    used: int = 0
    asked: int = 0
    """How many of `ids` the last turn was asked for with."""


class _Step:
    """One pass of the model over what is pending: `attention.Parts` over the cache."""

    def __init__(self, keys: list[Tensor], values: list[Tensor], slots: Sequence[int], starts: Sequence[int],
                 counts: Sequence[int]):  # fmt: skip
        """`slots`, `starts`, `counts`: for each conversation its row, the tokens that are there, those that come."""
        self._keys, self._values = keys, values
        device = keys[0].device
        self.positions = torch.cat([torch.arange(s, s + n) for s, n in zip(starts, counts, strict=True)]).to(device)
        self.last = (torch.tensor(counts).cumsum(0) - 1).to(device)
        self._rows = torch.repeat_interleave(torch.tensor(slots), torch.tensor(counts)).to(device)
        ends = [0]
        for count in counts:
            ends.append(ends[-1] + count)
        self._reading = [
            (ends[n], ends[n + 1], slots[n], starts[n] + counts[n]) for n in range(len(slots)) if counts[n] > 1
        ]
        single = [n for n in range(len(slots)) if counts[n] == 1]
        self._writing = torch.tensor([ends[n] for n in single], dtype=torch.long, device=device)
        self._seats = torch.tensor([slots[n] for n in single], dtype=torch.long, device=device)
        places = torch.tensor([starts[n] for n in single], dtype=torch.long, device=device)
        # To pick rows of the cache copies them, to leave the others in computes them: the cheaper of the two.
        self._few = len(single) * 2 <= keys[0].shape[0]
        if not self._few:
            # Rows that are not asked look at their first place: nothing of theirs is used, and nothing may be NaN.
            everybody = torch.zeros(keys[0].shape[0], dtype=torch.long, device=device)
            everybody[self._seats] = places
            places = everybody
        # Whole rows are a matrix as it lies in memory; a part of each would be copied with every layer.
        self._upto = max((starts[n] + 1 for n in single), default=0) if self._few else keys[0].shape[2]
        self._unseen = (torch.arange(self._upto, device=device)[None] > places[:, None])[:, None, None]

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
        """As `attention.Parts` has it; keys and values go into the cache first."""
        keys, values = self._keys[layer], self._values[layer]
        # Autocast computes in another type than the weights, and so the cache, are kept in.
        keys[self._rows, :, self.positions] = key.transpose(0, 1).to(keys.dtype)
        values[self._rows, :, self.positions] = value.transpose(0, 1).to(keys.dtype)
        heads, tokens, size = query.shape
        out = torch.empty((tokens, heads, size), dtype=query.dtype, device=query.device)
        asked = query.to(keys.dtype)
        if len(self._writing):
            out[self._writing] = self._written(keys, values, asked, scale).to(out.dtype)
        for start, end, row, upto in self._reading:
            past = keys[row : row + 1, :, :upto], values[row : row + 1, :, :upto]
            mask = torch.ones((end - start, upto), dtype=torch.bool, device=query.device).tril(upto - end + start)
            out[start:end] = grouped_attention(asked[:, start:end], *past, mask, scale)
        return out

    def _written(self, keys: Tensor, values: Tensor, query: Tensor, scale: float | None) -> Tensor:
        """All rows that write one token: (rows, heads, size)."""
        heads, _, size = query.shape
        shared = keys.shape[1]
        asked = query[:, self._writing].transpose(0, 1)
        if self._few:
            keys, values = keys[self._seats, :, : self._upto], values[self._seats, :, : self._upto]
        else:
            everybody = torch.zeros((keys.shape[0], heads, size), dtype=query.dtype, device=query.device)
            everybody[self._seats] = asked
            asked = everybody
        # Heads that share keys are further questions to the same keys: nothing is repeated.
        grouped = asked.reshape(asked.shape[0], shared, heads // shared, size)
        # One question a row is too little for fused attention: on a processor it takes three times as long as this.
        likeness = torch.matmul(grouped, keys.transpose(2, 3)).float() * (size**-0.5 if scale is None else scale)
        weights = likeness.masked_fill_(self._unseen, -torch.inf).softmax(dim=-1).to(values.dtype)
        found = torch.matmul(weights, values).reshape(asked.shape[0], heads, size)
        return found if self._few else found[self._seats]


class HFModel:
    """A model that many conversations sample from. Use within one thread.

    Whoever waits for a turn drives the batch: each step of the model serves all turns that are under way. The model is
    given our attention, which is PyTorch's own for everybody else.
    """

    def __init__(self, model: PreTrainedModel, ends: frozenset[int], *, slots: int = 32, length: int = 2048,
                 room: int = 512):  # fmt: skip
        """`slots`: conversations in the batch; `length`: tokens of the longest one; `ends`: ids that end a turn.

        `room`: tokens of each that are made room for at first; there is more, by `_GROWTH`, when one of them needs it.
        """
        model.set_attn_implementation(ATTENTION)
        self.model, self.ends, self.length = model, ends, length
        config = model.config
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        shape = (slots, heads, min(length, room), size)
        layers = range(config.num_hidden_layers)
        self._keys = [torch.zeros(shape, dtype=model.dtype, device=model.device) for _ in layers]
        self._values = [torch.zeros(shape, dtype=model.dtype, device=model.device) for _ in layers]
        self._slots = [_Slot() for _ in range(slots)]
        self._waiting: list[_Request] = []
        self._lock = anyio.Lock()
        self._clock = 0
        self.read = 0
        """Tokens computed that were not sampled."""
        self.sampled = 0

    async def sample(self, key: Hashable, ids: Sequence[int], wish: Wish) -> Sampled:
        """The model's next turn of a conversation that stands at `ids`. Raises `ValueError` when it is too long.

        `key` names the conversation: what of it is in the cache is not read again.
        """
        if not ids or len(ids) + 1 > self.length:
            raise ValueError(f"{len(ids)} tokens: a conversation holds 1 to {self.length - 1}")
        request = _Request(key, list(ids), wish, torch.Generator().manual_seed(wish.seed))
        self._waiting.append(request)
        try:
            while request.result is None:
                async with self._lock:
                    if request.result is None:
                        self._step()
                await anyio.lowlevel.checkpoint()  # who is done goes on, and may join again before the next step
        finally:
            self._forget(request)
        return request.result

    def release(self, key: Hashable) -> None:
        """A conversation that will not go on."""
        for slot in self._slots:
            if slot.key == key and slot.active is None:
                slot.key = None

    def weights_changed(self) -> None:
        """What was computed is no longer what the model would compute: call it after every update of the policy.

        Everything is as on the first day, so that what is sampled next does not depend on what was played before.
        """
        self._clock = 0
        for slot in self._slots:
            slot.ids, slot.used = [], 0
            if slot.active is None:
                slot.key = None

    def _forget(self, request: _Request) -> None:
        """A turn that nobody waits for any more."""
        if request in self._waiting:
            self._waiting.remove(request)
        if request.slot is not None and self._slots[request.slot].active is request:
            self._slots[request.slot].active = None

    @torch.no_grad()
    def _step(self) -> None:
        """Takes in those that wait, as far as there is room, then one token for each that is under way."""
        self._take_in()
        rows = [n for n, slot in enumerate(self._slots) if slot.active is not None]
        if rows:
            self._draw(rows, self._forward(rows))

    def _take_in(self) -> None:
        """Gives places to those that wait, in order.

        Who shares a beginning with one that is being read in with this step waits for the next: then it is there.
        """
        reading = 0
        taken: list[_Request] = []
        left: list[_Request] = []
        for place, request in enumerate(self._waiting):
            seat = self._room(request) if reading < READ_AT_ONCE else None
            if seat is None:
                left += self._waiting[place:]
                break
            known, source = self._known(request, seat)
            if any(_shared(other.ids, request.ids) >= known + SHARED for other in taken):
                left.append(request)
                continue
            reading += self._seat(request, seat, known, source)
            taken.append(request)
        self._waiting = left

    def _room(self, request: _Request) -> int | None:
        """The conversation's own slot, else one it goes on from, else the one longest idle; None if all are busy."""
        own = next((n for n, slot in enumerate(self._slots) if slot.key == request.key and slot.active is None), None)
        if own is not None:
            return own
        free = [n for n, slot in enumerate(self._slots) if slot.active is None]
        # Who sends the whole conversation with every turn has no key to know it by. To take another slot would be to
        # write over a conversation that is going on, and to keep this one twice.
        return min(
            free, key=lambda n: (self._slots[n].key is not None, -self._gone_on(n, request), self._slots[n].used),
            default=None,
        )  # fmt: skip

    def _gone_on(self, seat: int, request: _Request) -> int:
        """Tokens of a slot's last question, if a request begins with all of them; else 0."""
        slot = self._slots[seat]
        asked = slot.ids[: slot.asked]
        return len(asked) if request.ids[: len(asked)] == asked else 0

    def _known(self, request: _Request, seat: int) -> tuple[int, int]:
        """How much of a conversation is in the cache, and in which row."""
        own = _shared(self._slots[seat].ids, request.ids)
        if own and own == len(self._slots[seat].ids):
            return own, seat
        best = max(range(len(self._slots)), key=lambda n: _shared(self._slots[n].ids, request.ids))
        longest = _shared(self._slots[best].ids, request.ids)
        return (longest, best) if longest >= own + SHARED else (own, seat)

    def _seat(self, request: _Request, seat: int, known: int, source: int) -> int:
        """Puts a request into a slot, what is known of it in the cache: the tokens to be read in."""
        slot = self._slots[seat]
        known = min(known, len(request.ids) - 1)  # the last one is computed anew: it foretells the first that comes
        if source != seat:
            for layer in (*self._keys, *self._values):
                layer[seat, :, :known] = layer[source, :, :known]
        slot.key, slot.active, slot.asked = request.key, request, len(request.ids)
        slot.ids, slot.pending = request.ids[:known], request.ids[known:]
        request.slot = seat
        self.read += len(slot.pending) - 1
        return len(slot.pending)

    def _forward(self, rows: list[int]) -> Tensor:
        """Logits of the next token of these slots: (rows, words)."""
        slots = [self._slots[n] for n in rows]
        counts = [len(slot.pending) for slot in slots]
        self._make_room(max(len(slot.ids) + count for slot, count in zip(slots, counts, strict=True)))
        step = _Step(self._keys, self._values, rows, [len(slot.ids) for slot in slots], counts)
        ids = torch.tensor([token for slot in slots for token in slot.pending], device=self.model.device)
        output = self.model(
            input_ids=ids[None], position_ids=step.positions[None], attention_mask=NO_MASK.to(ids.device),
            use_cache=False, logits_to_keep=step.last, parts=step,
        )  # fmt: skip
        for slot in slots:
            slot.ids += slot.pending
            slot.pending = []
        logits: Tensor = output.logits[0].float()
        return logits

    def _make_room(self, tokens: int) -> None:
        """Lets every row hold so many tokens."""
        room = self._keys[0].shape[2]
        if tokens > room:
            more = min(-(-tokens // _GROWTH) * _GROWTH, self.length) - room
            self._keys = [torch.nn.functional.pad(layer, (0, 0, 0, more)) for layer in self._keys]
            self._values = [torch.nn.functional.pad(layer, (0, 0, 0, more)) for layer in self._values]

    def _draw(self, rows: list[int], logits: Tensor) -> None:
        """Draws a token for each row, and ends the turns that are over."""
        requests = [request for n in rows if (request := self._slots[n].active) is not None]
        tokens, logprobs = _drawn(logits, requests)
        for row, request, token, logprob in zip(rows, requests, tokens, logprobs, strict=True):
            slot = self._slots[row]
            slot.pending = [token]
            request.written.append(token)
            request.logprobs.append(logprob)
            self.sampled += 1
            ended = token in self.ends
            if ended or len(request.written) >= request.wish.max_tokens or len(slot.ids) + 2 > self.length:
                request.result = Sampled(tuple(request.written), tuple(request.logprobs), ended)
                self._clock += 1
                slot.active, slot.used = None, self._clock


def _drawn(logits: Tensor, requests: Sequence[_Request]) -> tuple[list[int], list[float]]:
    """A token a row, and its log-probability under the distribution it was drawn from.

    Each row has its own source of randomness: what it draws does not hang on who else is in the batch.
    """
    heat = torch.tensor([request.wish.temperature or 1.0 for request in requests], device=logits.device)
    scaled = _nucleus(torch.log_softmax(logits / heat[:, None], dim=-1), [request.wish.top_p for request in requests])
    sums = scaled.exp().cumsum(dim=-1)
    points = torch.stack([torch.rand(1, generator=request.random) for request in requests]).to(logits.device)
    # Sums of so many floats do not end at 1 exactly: the point is taken of what they end at.
    found = torch.searchsorted(sums, points * sums[:, -1:]).clamp(max=logits.shape[-1] - 1)[:, 0]
    likeliest = torch.tensor([request.wish.temperature == 0 for request in requests], device=logits.device)
    # Rounding may point at what a nucleus leaves out, once in millions of tokens.
    likeliest |= scaled.gather(-1, found[:, None])[:, 0].isinf()
    tokens = torch.where(likeliest, scaled.argmax(dim=-1), found)
    logprobs = scaled.gather(-1, tokens[:, None])[:, 0]
    return tokens.tolist(), logprobs.tolist()


def _nucleus(scaled: Tensor, shares: Sequence[float]) -> Tensor:
    """Log-probabilities of what is left of each row without its unlikely end (Holtzman et al. 2020)."""
    if all(share >= 1.0 for share in shares):
        return scaled
    least = torch.tensor(shares, device=scaled.device)[:, None]
    likely, order = scaled.exp().sort(dim=-1, descending=True)
    # The token that reaches the share is the last one kept: there is always one.
    kept = torch.zeros_like(scaled, dtype=torch.bool).scatter(-1, order, likely.cumsum(dim=-1) - likely < least)
    return torch.where(least >= 1.0, scaled, torch.log_softmax(scaled.masked_fill(~kept, -torch.inf), dim=-1))


def _shared(one: Sequence[int], two: Sequence[int]) -> int:
    """How many tokens two conversations begin with alike."""
    for number, (a, b) in enumerate(zip(one, two, strict=False)):
        if a != b:
            return number
    return min(len(one), len(two))
