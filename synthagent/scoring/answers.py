"""Whether a final answer is right: word for word at once, else as mathematics in a process of its own.

math-verify compares mathematics. It stops itself by signals, which only a main thread gets, and its parser can be made
to take any time and memory. So it runs in a few worker processes with limits. An answer that breaks a limit is wrong;
a worker that is lost in another way says nothing of the answer.
"""

import importlib.util
import re
import signal
import sys
import unicodedata
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Protocol

import anyio
import orjson
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from synthagent.errors import EpisodeFailure, InputError
from synthagent.schema.checks import All, Answered, AnswerKind, AnswerSpec, AnyOf, Before, Check, Not
from synthagent.schema.episodes import AgentEvent, Episode

LONGEST = 20_000
"""Characters of an answer that are looked at: its end, which is where answers stand."""
_SECONDS = 10
"""Processor time of one comparison."""
_MEMORY = 2 << 30
"""Bytes of address space of a worker."""
_PATIENCE = 180.0
"""Seconds by the clock after which a worker counts as lost: a busy machine may need many for a few of its own."""
_ANSWER = re.compile(r"^[ \t>*_#-]{0,40}(?:final\s{1,4})?answer[*_]{0,4}\s{0,4}:[*_]*", re.I | re.M)
_BOXED = "\\boxed{"
_NUMBER = re.compile(r"[+-]?(?:\d{1,3}(?:,\d{3})+|\d{1,40})(?:\.\d{1,40})?")
_BARE_POINT = re.compile(r"(?<!\w)\.(?=\d)")
_RAISED = re.compile("[\u2070\u00b9\u00b2\u00b3\u2074-\u2079]+")


class Comparer(Protocol):
    """Compares what is not equal word for word."""

    async def equal(self, gold: str, answer: str) -> bool:
        """Whether the answer's text comes to the gold answer. Raises `EpisodeFailure` where nobody can tell."""
        ...


def final_answer(episode: Episode) -> tuple[int, str] | None:
    """(index of the event, the agent's last word); None where it had none."""
    for index in range(len(episode.events) - 1, -1, -1):
        event = episode.events[index]
        if isinstance(event, AgentEvent) and event.answer is not None:
            return index, event.answer
    return None


def specs_in(check: Check | None) -> Iterator[AnswerSpec]:
    """The answers that a check asks for, wherever in it."""
    match check:
        case Answered(answer=spec):
            yield spec
        case Before(before=parts) | All(all=parts) | AnyOf(any=parts):
            for part in parts:
                yield from specs_in(part)
        case Not(negated=one):
            yield from specs_in(one)


def at_once(spec: AnswerSpec, text: str) -> bool | None:
    """Whether the text gives the right answer, as far as that shows without asking anybody; None: it does not."""
    if not text.strip():
        return False
    if spec.kind == "text":
        return True if same_text(spec.gold, after_mark(text)) else None
    boxes = boxed(text)
    if len(boxes) > 1:
        return None
    last = boxes[0] if boxes else text.strip().rpartition("\n")[2]
    gold, given = _bare(spec.gold), _bare(last)
    # Of a formula every mark counts: 5! is not 5, and .5 is not either.
    if gold.split() == given.removesuffix(".").split():
        return True
    numbers = (_number(gold), _number(given))
    if None not in numbers and numbers[0] == numbers[1]:
        return True
    if boxes and None not in numbers and all(number == int(number) for number in numbers if number is not None):
        return False
    return None


def given_answer(kind: AnswerKind, text: str) -> str | None:
    """The answer that a text gives, without the words around it; None where mathematics is not marked as the answer."""
    if kind == "text":
        return after_mark(text) or None
    boxes = boxed(text)
    return boxes[-1].strip() or None if boxes else None


def after_mark(text: str) -> str:
    """A free answer: what follows the last line's "Answer:", or else everything."""
    found = list(_ANSWER.finditer(text))
    return text[found[-1].end() :].strip() if found else text.strip()


def boxed(text: str) -> list[str]:
    r"""What the text puts in `\boxed{...}`, in order; what is never closed is left out."""
    found = []
    start = text.find(_BOXED)
    while start >= 0:
        depth, place = 1, start + len(_BOXED)
        while place < len(text) and depth:
            depth += {"{": 1, "}": -1}.get(text[place], 0) if text[place - 1] != "\\" else 0
            place += 1
        if depth:
            break
        found.append(text[start + len(_BOXED) : place - 1])
        start = text.find(_BOXED, place)
    return found


def same_text(one: str, two: str) -> bool:
    """Equal but for case, white space and the marks around it; or equal numbers."""
    if len(two) > 4 * len(one) + 1000:
        return False
    one, two = _folded(one), _folded(two)
    if one == two:
        return bool(one)
    numbers = _number(one), _number(two)
    return None not in numbers and numbers[0] == numbers[1]


def _folded(text: str) -> str:
    # .5 is not 5 without its mark, and 10² is not 102.
    text = _RAISED.sub(r"^\g<0>", _BARE_POINT.sub("0.", text))
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).strip(" .,;:!?\"'`*_“”‘’")


def _bare(text: str) -> str:
    """Mathematics without the marks around it."""
    bare = text.strip()
    for before, after in (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("\\boxed{", "}")):
        if bare.startswith(before) and bare.endswith(after) and len(bare) > len(before) + len(after):
            inside = bare[len(before) : -len(after)]
            bare = bare if before in inside or (after != "}" and after in inside) else inside.strip()
    return bare


def _number(text: str) -> Decimal | None:
    if not _NUMBER.fullmatch(text):
        return None
    try:
        return Decimal(text.replace(",", ""))
    except InvalidOperation:
        return None


def check_installed() -> None:
    """Raises `InputError`, with the way out, where mathematics cannot be compared here."""
    if importlib.util.find_spec("math_verify") is None:
        way_out = f"{sys.executable} -m pip install 'synthagent[reasoning]'"
        raise InputError("answers are compared by math-verify, which is not installed", way_out=way_out)


class _Lost(Exception):
    """A worker is gone."""

    def __init__(self, code: int | None):
        super().__init__(f"exit code {code}")
        self.code = code


class _Worker:
    """One process that compares. Begun by `begin`; `end` lets go of it."""

    def __init__(self, process: Process):
        assert process.stdout is not None
        self._process, self._lines = process, BufferedByteReceiveStream(process.stdout)

    @classmethod
    async def begin(cls, seconds: int, memory: int) -> "_Worker":
        program = Path(__file__).with_name("answer_worker.py")
        # Isolated: nothing of this process's folder or environment changes how answers compare.
        command = [sys.executable, "-I", str(program), str(seconds), str(memory)]
        with anyio.CancelScope(shield=True):  # who is called off in between would leave a process behind
            worker = cls(await anyio.open_process(command, stderr=None))
        try:
            await worker._line()
        except BaseException:
            await worker.end()
            raise
        return worker

    async def ask(self, gold: str, answer: str) -> bool:
        assert self._process.stdin is not None
        try:
            await self._process.stdin.send(orjson.dumps({"gold": gold, "answer": answer}) + b"\n")
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
            raise _Lost(await self._process.wait()) from None
        return bool(orjson.loads(await self._line())["equal"])

    async def _line(self) -> bytes:
        try:
            return await self._lines.receive_until(b"\n", 1 << 16)
        except (anyio.IncompleteRead, anyio.EndOfStream, anyio.BrokenResourceError):
            raise _Lost(await self._process.wait()) from None

    async def end(self) -> None:
        with anyio.CancelScope(shield=True):
            if self._process.returncode is None:
                self._process.kill()
            await self._process.aclose()


class MathAnswers:
    """A `Comparer` by math-verify, in at most `most` processes, begun when they are needed.

    Belongs to the loop in which it is first used; `aclose` ends its processes. `seconds` of processor time, and
    `memory` in bytes, are what a comparison may take.
    """

    def __init__(self, most: int = 2, *, seconds: int = _SECONDS, memory: int = _MEMORY, patience: float = _PATIENCE):
        self._most, self._seconds, self._memory, self._patience = most, seconds, memory, patience
        self._free: list[_Worker] = []
        self._places: anyio.Semaphore | None = None

    async def equal(self, gold: str, answer: str) -> bool:
        """Whether the answer's text comes to the gold answer; False for one that cannot be compared within the limits.

        Raises `EpisodeFailure` (infrastructure: `answer_worker`) when a worker is lost or cannot be begun.
        """
        self._places = self._places or anyio.Semaphore(self._most)
        tail = answer[-LONGEST:].encode("utf-8", "replace").decode()
        async with self._places:
            try:
                with anyio.fail_after(self._patience):
                    return await self._compared(gold, tail)
            except TimeoutError as error:
                text = f"no word from a worker within {self._patience:g} s"
                raise EpisodeFailure(text, reason="answer_worker") from error
            except OSError as error:
                raise EpisodeFailure(f"a worker cannot be begun: {error}", reason="answer_worker") from error

    async def _compared(self, gold: str, answer: str) -> bool:
        worker: _Worker | None = None
        kept = False
        try:
            worker = self._free.pop() if self._free else await _Worker.begin(self._seconds, self._memory)
            equal = await worker.ask(gold, answer)
            kept = True
            return equal
        except _Lost as lost:
            if worker is not None and lost.code == -signal.SIGXCPU:
                return False  # it took more than its time, whatever else the machine was doing
            raise EpisodeFailure(f"a worker was lost: {lost}", reason="answer_worker") from lost
        finally:
            if worker is not None:
                if kept:
                    self._free.append(worker)
                else:
                    await worker.end()

    async def aclose(self) -> None:
        """Ends the workers. Harmless when repeated."""
        while self._free:
            await self._free.pop().end()
