"""Runs BFCL's own generation and scoring for the entries of one order. Run by BFCL's own Python, in its own folder.

Reads `order.json`: base, mode, temperature, threads, `entries` (category -> ids to be scored) and `missing` (category
-> ids without a result yet). Leaves BFCL's own `result` and `score` folders beside it.
"""

import json
import os
import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ORDER = Path(sys.argv[1])
CATALOGUE = "bfcl_eval.constants.model_config"
# No `_` in it: the scorer takes that for a `/`. "FC" in it decides the mode.
NAMES = {"fc": "synthagent-FC", "prompt": "synthagent-PROMPT"}


@dataclass
class ModelConfig:
    """What BFCL knows of a model."""

    model_name: str
    display_name: str
    url: str
    org: str
    license: str
    model_handler: Any
    input_price: float | None = None
    output_price: float | None = None
    is_fc_model: bool = True
    underscore_to_dot: bool = False


def with_one_model(mode: str) -> str:
    """Puts our endpoint where BFCL's catalogue of models is; the real one imports the kits of twenty vendors."""
    catalogue: Any = types.ModuleType(CATALOGUE)
    catalogue.MODEL_CONFIG_MAPPING = {}
    catalogue.ModelConfig = ModelConfig
    sys.modules[CATALOGUE] = catalogue
    from bfcl_eval.model_handler.api_inference.openai_completion import OpenAICompletionsHandler

    class Handler(OpenAICompletionsHandler):
        """Patience is the business of whoever forwards the requests."""

        def _build_client_kwargs(self) -> dict[str, Any]:
            return {**super()._build_client_kwargs(), "timeout": 86_400, "max_retries": 0}

    native = mode == "fc"
    catalogue.MODEL_CONFIG_MAPPING[NAMES[mode]] = ModelConfig(
        "agent", "agent", "", "", "", Handler, is_fc_model=native, underscore_to_dot=native
    )
    return NAMES[mode]


def main() -> None:
    order = json.loads(ORDER.read_text())
    root = ORDER.parent
    os.environ["BFCL_PROJECT_ROOT"] = str(root)
    os.environ["OPENAI_BASE_URL"] = f"{order['base']}/agent/v1"
    os.environ["OPENAI_API_KEY"] = "none"
    name = with_one_model(order["mode"])
    from bfcl_eval._llm_response_generation import main as generate
    from bfcl_eval.eval_checker.eval_runner import main as score

    missing = {category: ids for category, ids in order["missing"].items() if ids}
    if missing:
        (root / "test_case_ids_to_generate.json").write_text(json.dumps(missing))
        generate(
            types.SimpleNamespace(
                model=[name],
                test_category=sorted(missing),
                temperature=order["temperature"],
                include_input_log=False,
                exclude_state_log=True,
                num_gpus=1,
                num_threads=order["threads"],
                gpu_memory_utilization=0.9,
                backend="vllm",
                skip_server_setup=True,
                local_model_path=None,
                result_dir="result",
                allow_overwrite=True,
                run_ids=True,
                enable_lora=False,
                max_lora_rank=None,
                lora_modules=None,
            )
        )
    (root / "generated").touch()
    score([name], sorted(order["entries"]), "result", "score", partial_eval=True)


if __name__ == "__main__":
    main()
