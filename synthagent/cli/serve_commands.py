"""The group `serve`, and `export`: what other processes and tools use. Only words and wiring here, as in `main`."""

from pathlib import Path
from typing import Annotated

import typer

from synthagent.cli.options import (
    Config,
    Json,
    JudgeRole,
    JudgeWay,
    Mode,
    Python,
    Search,
    Store,
    TaskFile,
    Tools,
    UnsafeLocal,
    User,
)

serve = typer.Typer(help="What other processes use over a wire.", no_args_is_help=True, rich_markup_mode=None)

Host = Annotated[str, typer.Option(help="Where to listen; beyond loopback SYNTHAGENT_TOKEN must be set.")]
Faults = Annotated[float, typer.Option(help="Share of tool calls that are made to fail.", min=0, max=1)]
Name = Annotated[str, typer.Option(help="Whose episodes the records say these are.")]
Seed = Annotated[int, typer.Option(help="Seeds the samples.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="The run folder; without one nothing is kept.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run folder.")]
Sessions = Annotated[int, typer.Option(help="Most sessions at once.", min=1)]
Idle = Annotated[float, typer.Option(help="Seconds until a session that nobody uses is given up.", min=1)]
Rate = Annotated[float | None, typer.Option(help="Most requests a second from one address.", min=0.1)]
Detail = Annotated[bool, typer.Option(help="Tell a score criterion by criterion, which shows the rubric.")]


@serve.command("map")
def serve_map(
    store: Annotated[Path, typer.Argument(help="The map's file.", show_default=False)],
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: any free one.", min=0, max=65535)] = 8710,
) -> None:
    """Own a response map and serve it to many workers."""
    from synthagent.cli.maps import run_serve

    run_serve(store, host, port)


@serve.command("agent")
def serve_agent(
    role: Annotated[str, typer.Argument(help="A model: hf:PATH, gguf:PATH, local:NAME, ...", show_default=False)],
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: any free one.", min=0, max=65535)] = 8711,
    name: Annotated[str | None, typer.Option(help="What the model is called there; default as in reports.")] = None,
    tool_form: Annotated[
        str | None, typer.Option(help="How it is told of tools: native, hermes, json or compact.")
    ] = None,
    config: Config = None,
    in_flight: Annotated[int | None, typer.Option(help="Requests answered at once.", min=1)] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Longest reply where a request does not say.", min=1)] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of a model in this process.", min=1)] = None,
    key_env: Annotated[str | None, typer.Option(help="Environment variable with the endpoint's key.")] = None,
    request_timeout: Annotated[float | None, typer.Option(help="Seconds a model call may take.", min=0)] = None,
) -> None:
    """Serve an agent's model as an OpenAI-compatible endpoint, tool calls included."""
    from synthagent.cli.serving import run_serve_agent

    options = {
        "tool_form": tool_form, "in_flight": in_flight, "max_tokens": max_tokens, "threads": threads,
        "key_env": key_env, "request_timeout": request_timeout,
    }  # fmt: skip
    run_serve_agent(role, host, port, name, config, options)


@serve.command("http")
def serve_http(
    tasks: TaskFile,
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: any free one.", min=0, max=65535)] = 8712,
    user: User = "facts",
    tools: Tools = None,
    map_: Mode = "state",
    map_store: Store = None,
    faults: Faults = 0.0,
    judge: JudgeRole = None,
    judge_mode: JudgeWay = "checks",
    search: Search = None,
    python: Python = "auto",
    unsafe_local: UnsafeLocal = False,
    name: Name = "served",
    seed: Seed = 0,
    out: Out = None,
    resume: Resume = False,
    sessions: Sessions = 4096,
    idle: Idle = 900.0,
    rate: Rate = None,
    detail: Detail = True,
    config: Config = None,
) -> None:
    """Serve episodes over plain HTTP, for any language that sends JSON."""
    from synthagent.cli.bench import bench
    from synthagent.cli.casting import others
    from synthagent.cli.services import serving
    from synthagent.cli.wires import Place, Served, run_http

    services = serving(search, python, unsafe_local=unsafe_local)
    with_ = others(user, tools, map_, map_store, tasks, faults, bench=bench(judge, judge_mode), serving=services)
    asked = Served(tasks, with_, name, seed, out, resume, sessions, idle)
    run_http(asked, config, Place(host, port, rate), detail=detail)


@serve.command("mcp")
def serve_mcp(
    tasks: TaskFile,
    task: Annotated[str | None, typer.Option(help="The task, by its id; over HTTP it may be left out.")] = None,
    http: Annotated[bool, typer.Option("--http", help="Listen, instead of speaking over stdin and stdout.")] = False,
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: any free one.", min=0, max=65535)] = 8713,
    user: User = "facts",
    tools: Tools = None,
    map_: Mode = "state",
    map_store: Store = None,
    faults: Faults = 0.0,
    judge: JudgeRole = None,
    judge_mode: JudgeWay = "checks",
    search: Search = None,
    python: Python = "auto",
    unsafe_local: UnsafeLocal = False,
    name: Name = "served",
    seed: Seed = 0,
    out: Out = None,
    resume: Resume = False,
    sessions: Sessions = 4096,
    idle: Idle = 900.0,
    rate: Rate = None,
    detail: Detail = True,
    config: Config = None,
) -> None:
    """Serve episodes to MCP clients: a task's tools, its user, and the reward."""
    from synthagent.cli.bench import bench
    from synthagent.cli.casting import others
    from synthagent.cli.services import serving
    from synthagent.cli.wires import Place, Served, run_mcp_http, run_mcp_stdio
    from synthagent.errors import InputError

    if not http and task is None:
        raise InputError("--task is missing", way_out="name a task's id, or serve all of them with --http")
    services = serving(search, python, unsafe_local=unsafe_local)
    with_ = others(user, tools, map_, map_store, tasks, faults, bench=bench(judge, judge_mode), serving=services)
    asked = Served(tasks, with_, name, seed, out, resume, sessions, idle, task, keep_late=True)
    if http:
        run_mcp_http(asked, config, Place(host, port, rate), detail=detail)
    else:
        run_mcp_stdio(asked, config, detail=detail)


@serve.command("openenv")
def serve_openenv(
    tasks: TaskFile,
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: any free one.", min=0, max=65535)] = 8714,
    user: User = "facts",
    tools: Tools = None,
    map_: Mode = "state",
    map_store: Store = None,
    faults: Faults = 0.0,
    judge: JudgeRole = None,
    judge_mode: JudgeWay = "checks",
    search: Search = None,
    python: Python = "auto",
    unsafe_local: UnsafeLocal = False,
    name: Name = "served",
    seed: Seed = 0,
    out: Out = None,
    resume: Resume = False,
    sessions: Sessions = 4096,
    idle: Idle = 900.0,
    rate: Rate = None,
    detail: Detail = True,
    config: Config = None,
) -> None:
    """Serve episodes as an OpenEnv environment."""
    from synthagent.cli.bench import bench
    from synthagent.cli.casting import others
    from synthagent.cli.services import serving
    from synthagent.cli.wires import Place, Served, run_openenv

    services = serving(search, python, unsafe_local=unsafe_local)
    with_ = others(user, tools, map_, map_store, tasks, faults, bench=bench(judge, judge_mode), serving=services)
    asked = Served(tasks, with_, name, seed, out, resume, sessions, idle)
    run_openenv(asked, config, Place(host, port, rate), detail=detail)


def export(
    source: Annotated[Path, typer.Argument(help="A task file, or a run folder.", show_default=False)],
    out: Annotated[Path, typer.Argument(help="The folder to write.", show_default=False)],
    to: Annotated[str, typer.Option(help="verifiers, nemo-gym, verl, sft, atif or hf.", show_default=False)],
    name: Annotated[str, typer.Option(help="What the package or the data set is called.")] = "synthagent_tasks",
    threshold: Annotated[float, typer.Option(help="sft: least reward of an episode.", min=0, max=1)] = 1.0,
    json: Json = False,
) -> None:
    """Write tasks or episodes in the form that another tool reads."""
    from synthagent.cli.export import run_export

    run_export(source, out, to, name, threshold, json)
