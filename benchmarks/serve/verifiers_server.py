"""verifiers' own environment server with the echo of `verifiers_echo`, one worker: `python -m ...`.

Run by the Python of an environment that has verifiers.
"""

import asyncio
import sys
from pathlib import Path

import verifiers.v1 as vf
from verifiers.v1.serve.server import EnvServer

NAME = "verifiers_echo"


def main() -> None:
    """Serves until it is stopped."""
    sys.path.append(str(Path(__file__).parent))
    agent = {"runtime": {"type": "subprocess"}, "harness": {"id": NAME}}
    config = vf.SingleAgentEnvConfig.model_validate({"taskset": {"id": NAME}, "agent": agent})
    server = EnvServer(config, "tcp://127.0.0.1:0")
    print(server.address, flush=True)
    asyncio.run(server.run())


if __name__ == "__main__":
    main()
