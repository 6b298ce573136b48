"""Plays tasks of TAU-2 with TAU-2's own agent, user, orchestrator and scorer. Run by its own Python, in its own folder.

Reads `order.json`: base, domain, threads, temperature and `jobs` (task, trial, seed). Appends one line a job to
`simulations.jsonl`: either its reward and the whole simulation, or the error and which side it came from.
"""

import json
import os
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ORDER = Path(sys.argv[1])
MAX_STEPS, MAX_ERRORS, RETRIES = 200, 10, 3  # the harness's own defaults
OVERFLOW = "context_length_exceeded"


def model(base: str, role: str, temperature: float) -> dict[str, Any]:
    """Arguments for litellm. Whoever forwards the requests is patient; `num_retries` is for empty answers."""
    return {
        "api_base": f"{base}/{role}/v1",
        "api_key": "none",
        "temperature": temperature,
        "timeout": 86_400,
        "num_retries": RETRIES,
    }


def side(error: BaseException) -> str:
    """Whose turn it was when the simulation broke: agent, user, or harness if nobody's."""
    from tau2.orchestrator.orchestrator import Orchestrator, Role

    found = "harness"
    for frame, _ in traceback.walk_tb(error.__traceback__):
        held = frame.f_locals.get("self")
        if isinstance(held, Orchestrator) and held.to_role is not None and frame.f_code.co_name == "step":
            speaker = held.from_role if held.to_role == Role.ENV else held.to_role
            found = speaker.value
    return found


def cause(error: Exception) -> str:
    """What broke the simulation: overflow, endpoint, a reply that cannot be read, or other: nobody's reply.

    What TAU-2 cannot read of a reply (no JSON, no object, nothing at all) it raises as a `ValueError`. Whatever else
    there is, such as no memory, says nothing of who spoke.
    """
    from openai import OpenAIError

    if OVERFLOW in str(error):
        return "overflow"
    if isinstance(error, OpenAIError):
        return "endpoint"
    return "reply" if isinstance(error, ValueError) else "other"


def main() -> None:
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    order = json.loads(ORDER.read_text())
    from loguru import logger
    from tau2.run import get_tasks, run_task

    logger.remove()
    logger.add(sys.stderr, level="ERROR")
    tasks = {task.id: task for task in get_tasks(order["domain"], task_split_name="base")}
    arguments = {role: model(order["base"], role, order["temperature"]) for role in ("agent", "user")}
    lock, out = threading.Lock(), (ORDER.parent / "simulations.jsonl").open("a")

    def play(job: dict[str, Any]) -> None:
        line = dict(job)
        try:
            simulation = run_task(
                domain=order["domain"],
                task=tasks[job["task"]],
                agent="llm_agent",
                user="user_simulator",
                llm_agent="openai/agent",
                llm_args_agent=dict(arguments["agent"]),
                llm_user="openai/user",
                llm_args_user=dict(arguments["user"]),
                max_steps=MAX_STEPS,
                max_errors=MAX_ERRORS,
                seed=job["seed"],
            )
            simulation.trial = job["trial"]
            line["reward"] = simulation.reward_info.reward
            line["termination"] = simulation.termination_reason.value
            line["simulation"] = simulation.model_dump(mode="json")
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            line |= {"error": text[:2000], "cause": cause(error), "side": side(error)}
            line["traceback"] = traceback.format_exc(limit=-10)
        with lock:
            out.write(json.dumps(line) + "\n")
            out.flush()

    with out, ThreadPoolExecutor(max_workers=order["threads"]) as pool:
        list(pool.map(play, order["jobs"]))


if __name__ == "__main__":
    main()
