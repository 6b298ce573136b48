"""Episodes over plain HTTP: any client that sends JSON plays the same episode and reads the same reward."""

import asyncio
from contextlib import asynccontextmanager

import aiohttp
import pytest

from synthagent.errors import InputError
from synthagent.rollouts.group import roll
from synthagent.schema.episodes import Limits
from synthagent.scoring.reward import reward_hash
from synthagent.serve.http_api import ROUTES, HttpApi
from synthagent.serve.listening import Listening, Rate
from synthagent.serve.pool import Pool
from synthagent.serve.sessions import PROTOCOL, Company
from synthagent.simulation.episode import Cast, facts_user, prepare
from synthagent.simulation.scripted_agents import scripted
from tests.builders import give, library
from tests.serve.driving import SCRIPTED, drive

TASK = library()
SAYS = {"message": {"role": "assistant", "content": "Goodbye."}}
ASKS = {
    "message": {
        "tool_calls": [
            {"id": "a", "function": {"name": "ask_user", "arguments": '{"question": "Which book is it about?"}'}}
        ]
    }
}


class Client:
    """A stranger with an HTTP library."""

    def __init__(self, http, url):
        self._http, self._url = http, url

    async def __call__(self, method, path, body=None, **headers):
        async with self._http.request(method, self._url + path, json=body, headers=headers) as response:
            return response.status, await response.json()

    async def opened(self, **asked):
        status, told = await self("POST", "/sessions", asked)
        assert status == 201, told
        return told


@asynccontextmanager
async def served(tasks=(TASK,), *, token=None, host="127.0.0.1", rate=None, largest=1 << 20, detail=True, **limits):
    outcomes = []
    pool = Pool(tasks, lambda stage, _: Company(facts_user(stage), Limits()), outcomes.append, **limits)
    api = HttpApi(pool, detail=detail)
    async with (
        Listening(api.handle, host, 0, token, rate=rate, largest=largest) as url,
        aiohttp.ClientSession() as http,
    ):
        yield Client(http, url), pool, outcomes
    await pool.aclose()


@pytest.mark.parametrize("name", SCRIPTED)
async def test_over_http_an_agent_earns_what_it_earns_in_a_rollout(name):
    stage = prepare(TASK)
    async with served(agent="me") as (client, pool, outcomes):
        opened = await client.opened(task_id=TASK.id, sample=1)

        async def turn(message):
            status, told = await client("POST", f"/sessions/{opened['session']}/step", {"message": message})
            assert status == 200, told
            return told["messages"], told["done"]

        await drive(TASK, opened["messages"], scripted(name, stage), turn)
        status, told = await client("POST", f"/sessions/{opened['session']}/close")
        assert status == 200
        assert len(pool) == 0
    ours = await roll(stage, lambda *_: Cast(scripted(name, stage), facts_user(stage), PROTOCOL), Limits(), 1, 0)
    assert told["reward"] == ours.score.reward
    assert reward_hash([outcome.score for outcome in outcomes]) == reward_hash([ours.score])
    assert [outcome.episode.agent for outcome in outcomes] == ["me"]


async def test_an_opening_holds_the_history_and_the_tools_and_nothing_hidden():
    async with served() as (client, _, _):
        told = await client.opened()
        assert set(told) == {"session", "task_id", "sample", "done", "messages", "tools"}
        assert [message["role"] for message in told["messages"]] == ["system", "user"]
        for fact in TASK.hidden.facts:
            assert str(fact.value) not in str(told)


async def test_tasks_come_in_turn_and_their_tries_are_counted():
    tasks = [library(), library(workflow=("Another",))]
    async with served(tasks) as (client, _, _):
        opened = [await client.opened() for _ in range(4)]
        assert [told["task_id"] for told in opened] == [tasks[0].id, tasks[1].id] * 2
        assert [told["sample"] for told in opened] == [0, 0, 1, 1]
        assert (await client("GET", "/tasks"))[1] == {"tasks": [task.id for task in tasks]}


async def test_the_score_is_told_with_its_proof_or_without_as_the_server_likes():
    for detail in (True, False):
        async with served(detail=detail) as (client, _, _):
            id_ = (await client.opened())["session"]
            assert (await client("POST", f"/sessions/{id_}/step", SAYS))[1]["done"]
            told = (await client("POST", f"/sessions/{id_}/close"))[1]
            assert (told["reward"], told["blame"], told["counts"]) == (0.0, "agent", True)
            assert ("verdicts" in told) is detail


async def test_a_turn_after_the_end_is_a_conflict_and_a_closed_session_is_gone():
    async with served() as (client, _, _):
        id_ = (await client.opened())["session"]
        await client("POST", f"/sessions/{id_}/step", SAYS)
        status, told = await client("POST", f"/sessions/{id_}/step", SAYS)
        assert (status, told["error"]["code"]) == (409, "over")
        await client("POST", f"/sessions/{id_}/close")
        for method, path in (("GET", ""), ("POST", "/step"), ("POST", "/close"), ("DELETE", "")):
            status, told = await client(method, f"/sessions/{id_}{path}", SAYS if path == "/step" else None)
            assert (status, told["error"]["code"]) == (404, "unknown_session")


async def test_a_dropped_session_has_no_score_and_its_try_is_free_again():
    async with served() as (client, pool, outcomes):
        id_ = (await client.opened())["session"]
        assert (await client("DELETE", f"/sessions/{id_}"))[0] == 200
        assert (len(pool), outcomes) == (0, [])
        assert (await client.opened())["sample"] == 0


async def test_a_try_is_played_once():
    async with served(done=[(TASK.id, 0), (TASK.id, 2)]) as (client, _, _):
        assert [(await client.opened())["sample"] for _ in range(3)] == [1, 3, 4]
        status, told = await client("POST", "/sessions", {"sample": 2})
        assert (status, told["error"]["code"]) == (409, "taken")
        assert (await client.opened(sample=9))["sample"] == 9


async def test_two_turns_at_once_are_one_agent_too_many():
    class Slow:
        name = "slow"

        async def reply(self, message):
            await asyncio.sleep(0.3)
            return await facts_user(prepare(TASK)).reply(message)

    pool = Pool([TASK], lambda *_: Company(Slow(), Limits()), lambda _: None)
    async with Listening(HttpApi(pool).handle) as url, aiohttp.ClientSession() as http:
        client = Client(http, url)
        id_ = (await client.opened())["session"]
        found = await asyncio.gather(*(client("POST", f"/sessions/{id_}/step", ASKS) for _ in range(2)))
        assert sorted(status for status, _ in found) == [200, 409]
        assert {told["error"]["code"] for status, told in found if status == 409} == {"busy"}
    await pool.aclose()


async def test_there_is_an_end_to_sessions_and_unused_ones_make_room():
    now = [0.0]
    async with served(most=2, idle=60.0, clock=lambda: now[0]) as (client, pool, _):
        first, second = [(await client.opened())["session"] for _ in range(2)]
        assert (await client("POST", "/sessions", {}))[0] == 503
        now[0] = 50.0
        await client("GET", f"/sessions/{second}")
        now[0] = 100.0
        assert await pool.sweep() == 1
        assert (await client("GET", f"/sessions/{first}"))[0] == 404
        await client.opened()


async def test_a_broken_task_is_no_session_but_it_is_on_record():
    name = "list_loans"
    world = TASK.world.model_copy(update={"programs": {**TASK.world.programs, name: (give("SELECT 1 FROM attic"),)}})
    async with served([library(world=world)]) as (client, _, outcomes):
        status, told = await client("POST", "/sessions", {})
        assert (status, told["error"]["code"]) == (422, "task")
        assert [outcome.score.blame for outcome in outcomes] == ["task"]


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/sessions", {"task": "x"}, "task"),
        ("/sessions", {"sample": -1}, "sample"),
        ("/sessions", {"task_id": "a\nb"}, "task_id"),
        ("/sessions", [], "no JSON object"),
        ("STEP", {}, "message"),
        ("STEP", {"message": {"role": "user", "content": "x"}}, "message.role"),
        ("STEP", {"message": {"tool_calls": [{}]}}, "message.tool_calls[0].function"),
    ],
)
async def test_what_is_no_request_is_refused_by_its_field_and_is_no_turn(path, body, said):
    async with served() as (client, _, _):
        id_ = (await client.opened())["session"]
        status, told = await client("POST", path.replace("STEP", f"/sessions/{id_}/step"), body)
        assert status == 400
        assert said in told["error"]["message"]
        outcome = (await client("POST", f"/sessions/{id_}/close"))[1]
        assert outcome["stop"] == "agent_final"


async def test_unknown_tasks_paths_and_methods_are_said_to_be_unknown():
    async with served() as (client, _, _):
        for path in ("/etc/passwd", "/sessions/a/b/c", "/tasks/..%2f..%2fsecrets", "//"):
            assert (await client("GET", path))[0] == 404
        assert (await client("POST", "/sessions", {"task_id": "../../etc/passwd"}))[0] == 404
        status, told = await client("PUT", "/sessions")
        assert (status, told["error"]["message"]) == (405, "this path takes POST")


async def test_size_and_rate_have_limits():
    async with served(largest=1000, rate=Rate(2.0, clock=lambda: 0.0)) as (client, _, _):
        assert (await client("POST", "/sessions", {"task_id": "x" * 2000}))[0] == 413
        statuses = [(await client("GET", "/health"))[0] for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429]


async def test_beyond_loopback_there_is_a_token_or_nothing():
    with pytest.raises(InputError, match="SYNTHAGENT_TOKEN"):
        Listening(HttpApi(Pool([TASK], lambda *_: None, lambda _: None)).handle, "0.0.0.0")
    async with served(token="secret") as (client, _, _):
        assert (await client("GET", "/health"))[0] == 403
        assert (await client("GET", "/health", Authorization="Bearer wrong"))[0] == 403
        assert (await client("GET", "/health", Authorization="Bearer secret"))[0] == 200


async def test_web_pages_and_strange_names_are_turned_away():
    async with served() as (client, _, _):
        assert (await client("GET", "/health", Origin="https://elsewhere.example"))[0] == 403
        assert (await client("GET", "/health", Host="rebound.example"))[0] == 403


async def test_the_document_names_every_route_and_what_it_takes():
    async with served() as (client, _, _):
        document = (await client("GET", "/openapi.json"))[1]
        told = {(method.upper(), path) for path, by in document["paths"].items() for method in by}
        assert told == {(route.method, route.path) for route in ROUTES}
        schema = document["paths"]["/sessions"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert set(schema["properties"]) == {"task_id", "sample"}
