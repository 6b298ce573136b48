"""The process behind `synthagent.llm.embedded`: one model, one llama.cpp server, until standard input ends.

Run as a file with its settings as one JSON argument; imports nothing of ours, so that it starts fast. Prints one line:
`{"url": ...}` once the model answers, or `{"error": ...}`.
"""

import json
import os
import sys
from typing import Any


def serve(settings: dict[str, Any]) -> None:
    """Loads the model and serves it. Settings: `path`, `name`, `threads`, `parallel`, `context` (tokens a slot)."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = settings["path"]
    params.model_alias = {settings["name"]}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_parallel = settings["parallel"]
    params.n_ctx = settings["context"] * settings["parallel"]
    params.cpuparams.n_threads = settings["threads"]
    params.cpuparams_batch.n_threads = settings["threads"]
    # A connection that is kept alive holds one of these, though asleep: too few, and open connections starve new ones.
    params.n_threads_http = 2 * settings["parallel"] + 4
    params.use_jinja = True
    # Old conversations that may come back: llama.cpp would keep up to 8 GB of them.
    params.cache_ram_mib = 512
    # Errors only: they tell why a model could not be loaded.
    params.verbosity = 1
    # Any web page could read from a server that allows every origin, as llama.cpp's does by default.
    params.cors_origins = "null"
    params.ui = False
    params.endpoint_slots = False
    server = xllamacpp.Server(params)
    print(json.dumps({"url": f"{server.listening_address}/v1"}), flush=True)
    sys.stdin.read()
    # Not `del server`: with a call under way its destructor waits for ever (xllamacpp 2026.10).
    os._exit(0)


def main() -> None:
    """Serves, or says why not."""
    try:
        serve(json.loads(sys.argv[1]))
    except ImportError as error:
        print(json.dumps({"error": "missing", "detail": str(error)}), flush=True)
    except Exception as error:
        print(json.dumps({"error": "failed", "detail": str(error)}), flush=True)


if __name__ == "__main__":
    main()
