"""Who answers the calls of tools that are real services: the Python sandbox and the search backend.

What went wrong in the agent's own code is the result of the call. What went wrong on our side is no text for the agent:
the episode fails, and nobody's skill is measured by it.
"""

from synthagent.errors import Blame, EpisodeFailure, InputError, ToolFailed
from synthagent.reasoning.mapped_search import MappedSearch
from synthagent.reasoning.python_tool import PythonSandbox, told
from synthagent.reasoning.search import SearchFailed, render
from synthagent.simulation.map_store import id_of
from synthagent.simulation.response_map import Tools, key_of
from synthagent.simulation.simulated import Answer, SimulatedCall


class NoService(EpisodeFailure):
    """A tool's service is not there, or does not work: a matter of how the run was set up."""

    blame = Blame.INFRASTRUCTURE


class Services:
    """A `Tools` that lets services answer the tools that are theirs, and `simulated` all others.

    Each answer is stored with an id of its own, made of the call and the response, so that a replay takes it as stored;
    that of a search names the entry of the map that holds its hits.
    """

    def __init__(
        self, simulated: Tools | None = None, python: PythonSandbox | None = None, search: MappedSearch | None = None
    ):  # fmt: skip
        self.name = simulated.name if simulated else "services"
        self._simulated, self._python, self._search = simulated, python, search

    async def answer(self, call: SimulatedCall) -> Answer:
        """See `Tools.answer`. Raises `NoService` or `SearchFailed` (infrastructure) too."""
        match call.tool.service:
            case "python":
                return await self._run(call)
            case "search":
                return await self._look_up(call)
            case None:
                if self._simulated is None:
                    text = f"{call.tool.tool.name} has no program, and nobody simulates it"
                    raise ToolFailed(text, reason="no_simulator")
                return await self._simulated.answer(call)

    async def _run(self, call: SimulatedCall) -> Answer:
        if self._python is None:
            raise NoService(f"{call.tool.tool.name}: nothing runs Python in this run", reason="no_python")
        try:
            result = await self._python.run(str(call.arguments["code"]))
        except (ToolFailed, InputError) as error:
            raise NoService(str(error), reason="sandbox") from error
        return _answer(call, result.error is None, told(result))

    async def _look_up(self, call: SimulatedCall) -> Answer:
        if self._search is None:
            raise NoService(f"{call.tool.tool.name}: nothing searches in this run", reason="no_search")
        try:
            found = await self._search.found(str(call.arguments["query"]))
        except InputError as error:  # a key that the provider refuses
            raise SearchFailed(str(error), reason="refused") from error
        return _answer(call, True, render(found.hits), found.entry_id or None)


def _answer(call: SimulatedCall, ok: bool, text: str, entry: str | None = None) -> Answer:
    return Answer(ok, text, id_of(key_of(call), ok, text), entry)
