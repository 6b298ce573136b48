"""`serve http`: episodes over plain HTTP, for any language that can send JSON. The document is `GET /openapi.json`."""

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from pydantic import Field, ValidationError

from synthagent.errors import InputError, TaskFault
from synthagent.rollouts.group import Outcome
from synthagent.schema.record import Record
from synthagent.schema.scores import Scored
from synthagent.serve.listening import Refused, answer, json_body
from synthagent.serve.pool import Full, Open, Pool, Taken, Unknown
from synthagent.serve.sessions import Over
from synthagent.storage.complaints import complaints

if TYPE_CHECKING:
    from aiohttp import web

Asked = TypeVar("Asked", bound=Record)
_NAME = r"^[^\x00-\x1f\x7f]*$"


class OpenRequest(Record):
    """`POST /sessions`."""

    task_id: str | None = Field(default=None, max_length=200, pattern=_NAME)
    """None: the next task in the order of the file."""
    sample: int | None = Field(default=None, ge=0, lt=2**31)
    """Which try at the task this is; None: they are counted."""


class StepRequest(Record):
    """`POST /sessions/ID/step`."""

    message: dict[str, Any]
    """An assistant message in OpenAI's form: `content`, `tool_calls`."""


class CloseRequest(Record):
    """`POST /sessions/ID/close`."""

    answer: str = Field(default="", max_length=100_000)
    """The agent's last word, if the episode has not ended."""


class Route(NamedTuple):
    """One thing that can be asked for. The table of them answers requests and is the OpenAPI document."""

    method: str
    path: str
    does: str
    """Name of the method of `HttpApi`: (session id or "", body) -> the answer."""
    summary: str
    takes: type[Record] | None = None
    errors: tuple[int, ...] = ()


ROUTES = (
    Route("GET", "/health", "_health", "Whether the server is there, and how much is open."),
    Route("GET", "/openapi.json", "_document", "This document."),
    Route("GET", "/tasks", "_tasks", "The ids of the tasks, in the order of the file."),
    Route("POST", "/sessions", "_open", "Open a session: the opening messages and the tools.", OpenRequest,
          (400, 404, 409, 422, 503)),
    Route("GET", "/sessions/{session}", "_state", "Whether the episode has ended.", None, (404,)),
    Route("DELETE", "/sessions/{session}", "_drop", "Drop a session without a score.", None, (404,)),
    Route("POST", "/sessions/{session}/step", "_step", "Take a turn: what is new in the history.", StepRequest,
          (400, 404, 409)),
    Route("POST", "/sessions/{session}/close", "_close", "End the episode and read its reward.", CloseRequest,
          (400, 404, 409)),
)  # fmt: skip


class HttpApi:
    """Answers requests from a pool. Give `handle` to `Listening`."""

    def __init__(self, pool: Pool, *, detail: bool = True):
        """`detail`: whether a score is told criterion by criterion, which shows the rubric to whoever asks."""
        self._pool, self._detail = pool, detail

    async def handle(self, request: "web.BaseRequest", body: bytes) -> "web.StreamResponse":
        """One request. Raises `Refused`."""
        known = [(route, id_) for route in ROUTES if (id_ := _matched(route.path, request.path)) is not None]
        if not known:
            raise Refused(404, "there is no such path; GET /openapi.json lists them", code="unknown_path")
        for route, id_ in known:
            if route.method == request.method:
                found: web.StreamResponse = await getattr(self, route.does)(id_, body)
                return found
        methods = ", ".join(route.method for route, _ in known)
        raise Refused(405, f"this path takes {methods}", code="method", headers={"Allow": methods})

    async def _health(self, _: str, __: bytes) -> "web.Response":
        return answer({"status": "ok", "sessions": len(self._pool), "tasks": len(self._pool.tasks)})

    async def _document(self, _: str, __: bytes) -> "web.Response":
        from synthagent.serve.openapi import document

        return answer(document(ROUTES))

    async def _tasks(self, _: str, __: bytes) -> "web.Response":
        return answer({"tasks": list(self._pool.tasks)})

    async def _open(self, _: str, body: bytes) -> "web.Response":
        asked = _read(OpenRequest, body)
        try:
            opened = self._pool.open(asked.task_id, asked.sample)
        except Full as error:
            raise Refused(503, str(error), code="full") from error
        except Unknown as error:
            raise Refused(404, str(error), code="unknown_task") from error
        except Taken as error:
            raise Refused(409, str(error), code="taken") from error
        except TaskFault as fault:
            raise Refused(422, f"the task is broken: {fault}", code="task") from fault
        async with opened.lock:
            messages = await opened.session.start()
        return answer({**self._told(opened), "messages": messages, "tools": opened.session.tools}, 201)

    async def _state(self, id_: str, _: bytes) -> "web.Response":
        return answer(self._told(self._found(id_)))

    async def _drop(self, id_: str, _: bytes) -> "web.Response":
        await self._pool.drop(self._found(id_))
        return answer({"dropped": True})

    async def _step(self, id_: str, body: bytes) -> "web.Response":
        opened, asked = self._found(id_), _read(StepRequest, body)
        if opened.lock.locked():
            raise _busy()
        async with opened.lock:
            try:
                step = await opened.session.step(opened.session.turn(asked.message))
            except Over as error:
                raise Refused(409, str(error), code="over") from error
            except InputError as error:
                raise Refused(400, f"message.{error}", code="message") from error
        return answer({"messages": step.messages, "done": step.done})

    async def _close(self, id_: str, body: bytes) -> "web.Response":
        opened, asked = self._found(id_), _read(CloseRequest, body)
        if opened.lock.locked():
            raise _busy()
        return answer(told(await self._pool.close(opened, asked.answer), detail=self._detail))

    def _told(self, opened: Open) -> dict[str, Any]:
        session = opened.session
        return {"session": opened.id, "task_id": session.task.id, "sample": session.sample, "done": session.done}

    def _found(self, id_: str) -> Open:
        try:
            return self._pool.find(id_)
        except Unknown as error:
            raise Refused(404, str(error), code="unknown_session") from error


def _matched(template: str, path: str) -> str | None:
    """The session's id in a path, or "" where the template has none; None if the path does not fit."""
    before, brace, after = template.partition("{session}")
    if not brace:
        return "" if path == template else None
    inside = path[len(before) : len(path) - len(after)] if path.startswith(before) and path.endswith(after) else ""
    return inside if inside and "/" not in inside else None


def told(outcome: Outcome, *, detail: bool) -> dict[str, Any]:
    """What an episode came to, for whoever drove it. An episode without a score has reward null and the reason."""
    score = outcome.score
    common = {"task_id": score.task_id, "sample": score.sample, "stop": outcome.episode.stop.value}
    if not isinstance(score, Scored):
        return {**common, "reward": None, "blame": score.blame.value, "reason": score.reason, "counts": False}
    found = {
        **common, "reward": score.reward, "counts": score.counts, "gate": score.gate, "subgoals": score.n,
        "interactions": score.i, "blame": score.blame.value if score.blame else None, "reason": score.reason,
    }  # fmt: skip
    if detail:
        parts = {"forbidden": score.forbidden, "subgoals": score.subgoals, "interactions": score.interactions}
        found["verdicts"] = {
            part: [verdict.model_dump(mode="json") for verdict in verdicts] for part, verdicts in parts.items()
        }
    return found


def _busy() -> Refused:
    return Refused(409, "the session is taking a turn; send the next when it is answered", code="busy")


def _read(kind: type[Asked], body: bytes) -> Asked:
    data = json_body(body)
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise Refused(400, complaints(error, data), code="request") from error
