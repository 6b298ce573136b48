"""Sampling many conversations from one transformers model at once, on whatever torch runs on.

Made for rollouts in which conversations stop and go on: keys and values of a conversation are kept across its turns, a
prompt that several conversations share is read once, and a conversation joins or leaves the batch at any step
(continuous batching: Yu et al., *Orca*, OSDI 2022). Torch is imported here and in the trainers only.
"""

import inspect
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import anyio
import anyio.lowlevel
import torch
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, CacheLayerMixin

from synthagent.training.sampling import Sampled, Wish

SHARED = 16
"""Tokens from which on a prefix that another conversation has is copied and not computed."""


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
    active: _Request | None = None
    used: int = 0


class _Places:
    """Where the next forward pass writes, and how far it reads."""

    rows: slice | torch.Tensor
    positions: torch.Tensor
    upto: int


class _Layer(CacheLayerMixin):  # type: ignore[no-untyped-call]
    """Keys and values of one layer, for all slots: (slots, heads, length, size)."""

    def __init__(self, shape: tuple[int, int, int, int], dtype: torch.dtype, device: torch.device, places: _Places):
        super().__init__()  # type: ignore[no-untyped-call]
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)
        self.is_initialized = True
        self._places = places

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Nothing to do."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: object, **__: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Writes (rows, heads, new, size) at the places, and gives everything up to them."""
        at = self._places
        assert self.keys is not None and self.values is not None
        # Under autocast they come in half the precision that the weights have.
        key_states, value_states = key_states.to(self.keys.dtype), value_states.to(self.values.dtype)
        if key_states.shape[2] == 1:
            rows = torch.arange(self.keys.shape[0])[at.rows] if isinstance(at.rows, slice) else at.rows
            self.keys[rows, :, at.positions] = key_states[:, :, 0]
            self.values[rows, :, at.positions] = value_states[:, :, 0]
        else:  # one row that is read in
            first = int(at.positions[0])
            self.keys[at.rows, :, first : at.upto] = key_states
            self.values[at.rows, :, first : at.upto] = value_states
        return self.keys[at.rows, :, : at.upto], self.values[at.rows, :, : at.upto]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:  # noqa: ARG002 - the base class's name
        """(keys that are read, offset)."""
        return self._places.upto, 0

    def get_seq_length(self) -> int:
        """Keys that are read."""
        return self._places.upto

    def get_max_length(self) -> int:
        """Tokens a slot holds."""
        assert self.keys is not None
        return int(self.keys.shape[2])

    def get_max_cache_shape(self) -> int:
        """The same, as transformers before 5.2x calls it."""
        return self.get_max_length()


class HFModel:
    """A model that many conversations sample from. Use within one thread.

    Whoever waits for a turn drives the batch: each step of the model serves all turns that are under way.
    """

    def __init__(self, model: PreTrainedModel, ends: frozenset[int], *, slots: int = 32, length: int = 2048):
        """`slots`: conversations in the batch; `length`: tokens of the longest one; `ends`: ids that end a turn."""
        self.model, self.ends, self.length = model, ends, length
        config = model.config
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        self._places = _Places()
        shape = (slots, heads, length, size)
        self._layers = [_Layer(shape, model.dtype, model.device, self._places) for _ in range(config.num_hidden_layers)]
        self._cache = Cache(layers=list(self._layers))
        # Renamed in transformers 5.2x; trainers pin both sides of that.
        known = inspect.signature(model.forward).parameters
        self._argument = "cache" if "cache" in known else "past_key_values"
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
        random = torch.Generator().manual_seed(wish.seed)
        request = _Request(key, list(ids), wish, random)
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
        """Reads in those that wait, as far as there is room, then one token for each that is under way."""
        while self._waiting and (place := self._room(self._waiting[0])) is not None:
            self._read_in(self._waiting.pop(0), place)
        rows = [n for n, slot in enumerate(self._slots) if slot.active is not None]
        if rows:
            self._take(rows, self._decoded(rows))

    def _room(self, request: _Request) -> int | None:
        """The conversation's own slot, else the one longest idle; None if all are busy."""
        own = next((n for n, slot in enumerate(self._slots) if slot.key == request.key and slot.active is None), None)
        if own is not None:
            return own
        free = [n for n, slot in enumerate(self._slots) if slot.active is None]
        return min(free, key=lambda n: (self._slots[n].key is not None, self._slots[n].used), default=None)

    def _read_in(self, request: _Request, place: int) -> None:
        """Brings a slot to the request's tokens but the last, which the next step computes."""
        slot = self._slots[place]
        known = _shared(slot.ids, request.ids)
        best = max(range(len(self._slots)), key=lambda n: _shared(self._slots[n].ids, request.ids))
        longest = _shared(self._slots[best].ids, request.ids)
        if longest >= known + SHARED:
            for layer in self._layers:
                assert layer.keys is not None and layer.values is not None
                layer.keys[place, :, :longest] = layer.keys[best, :, :longest]
                layer.values[place, :, :longest] = layer.values[best, :, :longest]
            known = longest
        known = min(known, len(request.ids) - 1)
        new = request.ids[known:-1]
        if len(new) == 1:
            self._forward(torch.tensor([[new[0]]]), torch.tensor([place]), torch.tensor([known]), known + 1)
        elif new:
            positions = torch.arange(known, known + len(new))
            self._forward(torch.tensor([new]), slice(place, place + 1), positions, known + len(new))
        self.read += len(new)
        slot.key, slot.ids, slot.active = request.key, request.ids[:-1], request
        request.slot = place

    def _decoded(self, rows: list[int]) -> torch.Tensor:
        """Logits of the next token of these slots: (rows, words)."""
        pending = [self._pending(self._slots[n]) for n in rows]
        positions = torch.tensor([len(self._slots[n].ids) for n in rows])
        everything = len(rows) == len(self._slots)
        at: slice | torch.Tensor = slice(0, len(rows)) if everything else torch.tensor(rows)
        return self._forward(torch.tensor(pending)[:, None], at, positions, int(positions.max()) + 1)[:, -1].float()

    @staticmethod
    def _pending(slot: _Slot) -> int:
        """The token that is written down and not yet computed."""
        request = slot.active
        assert request is not None
        return request.written[-1] if request.written else request.ids[-1]

    def _forward(
        self, ids: torch.Tensor, rows: slice | torch.Tensor, positions: torch.Tensor, upto: int
    ) -> torch.Tensor:
        """One pass. `positions`: of one row's tokens, or of each row's one token."""
        device = self.model.device
        self._places.rows, self._places.positions, self._places.upto = rows, positions.to(device), upto
        one_each = ids.shape[1] == 1
        position_ids = positions[:, None] if one_each else positions[None]
        mask = (torch.arange(upto)[None, None] <= position_ids[:, :, None])[:, None]
        output = self.model(
            input_ids=ids.to(device),
            position_ids=position_ids.to(device),
            attention_mask=mask.to(device),
            use_cache=True,
            logits_to_keep=1,
            **{self._argument: self._cache},
        )
        logits: torch.Tensor = output.logits
        return logits

    def _take(self, rows: list[int], logits: torch.Tensor) -> None:
        """Draws a token for each row, and ends the turns that are over."""
        for row, line in zip(rows, logits.cpu(), strict=True):
            slot = self._slots[row]
            request = slot.active
            assert request is not None
            slot.ids.append(self._pending(slot))
            token, logprob = _drawn(line, request.wish.temperature, request.random)
            request.written.append(token)
            request.logprobs.append(logprob)
            self.sampled += 1
            ended = token in self.ends
            if ended or len(request.written) >= request.wish.max_tokens or len(slot.ids) + 1 >= self.length:
                request.result = Sampled(tuple(request.written), tuple(request.logprobs), ended)
                self._clock += 1
                slot.active, slot.used = None, self._clock


def _drawn(logits: torch.Tensor, temperature: float, random: torch.Generator) -> tuple[int, float]:
    """A token and its log-probability under the distribution it was drawn from."""
    scaled = torch.log_softmax(logits / temperature if temperature else logits, dim=-1)
    if temperature:
        noise = torch.empty_like(scaled).exponential_(generator=random)
        token = int((scaled.exp() / noise).argmax())
    else:
        token = int(scaled.argmax())
    return token, float(scaled[token])


def _shared(one: Sequence[int], two: Sequence[int]) -> int:
    """How many tokens two conversations begin with alike."""
    for number, (a, b) in enumerate(zip(one, two, strict=False)):
        if a != b:
            return number
    return min(len(one), len(two))
