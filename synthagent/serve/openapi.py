"""The OpenAPI document of `serve http`, from the table of its routes."""

from collections.abc import Sequence
from typing import Any

from synthagent import __version__
from synthagent.serve.http_api import Route

_TEXT: dict[str, Any] = {"type": "string"}
_FLAG: dict[str, Any] = {"type": "boolean"}
_OBJECTS: dict[str, Any] = {"type": "array", "items": {"type": "object"}}
_PART: dict[str, Any] = {"type": ["number", "null"], "minimum": 0, "maximum": 1}


def _object(**properties: Any) -> dict[str, Any]:
    """An object with all of these."""
    return {"type": "object", "properties": properties, "required": list(properties)}


_STATE = {"session": _TEXT, "task_id": _TEXT, "sample": {"type": "integer"}, "done": _FLAG}
_ANSWERS: dict[str, tuple[int, dict[str, Any]]] = {
    "_health": (200, _object(status=_TEXT, sessions={"type": "integer"}, tasks={"type": "integer"})),
    "_document": (200, {"type": "object"}),
    "_tasks": (200, _object(tasks={"type": "array", "items": _TEXT})),
    "_open": (201, _object(**_STATE, messages=_OBJECTS, tools=_OBJECTS)),
    "_state": (200, _object(**_STATE)),
    "_drop": (200, _object(dropped=_FLAG)),
    "_step": (200, _object(messages=_OBJECTS, done=_FLAG)),
    "_close": (200, _object(task_id=_TEXT, sample={"type": "integer"}, stop=_TEXT, reward=_PART, counts=_FLAG)),
}
_ERROR = _object(error=_object(message=_TEXT, type=_TEXT, code={"type": ["string", "null"]}))
_ALWAYS = {
    403: "The token is missing, or the request comes from a web page or under a strange name.",
    413: "The body is too large.",
    429: "Too many requests; see Retry-After.",
}
_REASONS = {
    400: "The body is not what is wanted; the message names the field.",
    404: "No such session or task.",
    409: "The episode has ended, another turn is being taken, or this try was begun already.",
    422: "The task is broken.",
    503: "No room for another session.",
}


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """OpenAPI 3.1."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "SynthAgent episodes", "version": __version__},
        "paths": paths,
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{}, {"token": []}],
    }


def _operation(route: Route) -> dict[str, Any]:
    status, schema = _ANSWERS[route.does]
    errors = {code: _REASONS[code] for code in route.errors} | _ALWAYS
    answers = {str(code): _content(reason, _ERROR) for code, reason in sorted(errors.items())}
    found: dict[str, Any] = {
        "operationId": route.does.strip("_"),
        "summary": route.summary,
        "responses": {str(status): _content("Done.", schema), **answers},
    }
    if "{session}" in route.path:
        found["parameters"] = [{"name": "session", "in": "path", "required": True, "schema": _TEXT}]
    if route.takes is not None:
        found["requestBody"] = {"content": {"application/json": {"schema": route.takes.model_json_schema()}}}
        found["requestBody"]["required"] = bool(route.takes.model_json_schema().get("required"))
    return found


def _content(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}
