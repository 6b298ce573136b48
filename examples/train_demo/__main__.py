"""The proof: a small model gets measurably better on two cores, in stages that can be resumed.

    python -m examples.train_demo --out runs/train-demo [--stage sft --stage grpo ...]

Every stage is commands of `synthagent`, which are printed as they are run; a stage that is done is not done again.
The test sets are read by the stages `zero`, `eval` and `ablation` only, once for each model.
"""

import argparse
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import orjson

from examples.train_demo.results import evaluated, results
from examples.train_demo.tables import tables
from examples.train_demo.tasks import make

HERE = Path(__file__).parent
RECIPES = Path("recipes/train-demo")
KNOBS = ("--goals", "1", "--depth", "1", "--facts", "1-2", "--distractors", "0-1", "--traps", "1")
SEEN = "bike_workshop,city_permits,fitness,guesthouse,library,parcel_depot"
UNSEEN = "restaurant,theatre,vet"
SYNTH = {f"seen-{seed}": (SEEN, 2300, seed) for seed in (101, 102, 103, 104)} | {"unseen-202": (UNSEEN, 1800, 202)}
RED_TEAM = ("nothing", "refuse", "transfer", "spam", "confirm", "done", "ask-all")
SETS = ("test_seen", "test_unseen")
SEED = 7
"""Of the evaluations: every model meets the same users and the same randomness."""


@dataclass(frozen=True, slots=True)
class Demo:
    """Where everything is."""

    out: Path

    def synthagent(self, *words: object) -> None:
        """Runs a command of ours, and shows it."""
        told = [str(word) for word in words]
        print("$ synthagent", shlex.join(told), flush=True)
        binary = Path(sys.executable).with_name("synthagent")
        subprocess.run([str(binary), *told], check=True)

    def fresh(self, path: Path) -> tuple[str, ...]:
        """`--resume` where a run has begun."""
        return ("--resume",) if (path / "manifest.json").exists() or (path / "train.json").exists() else ()

    # ---- stages

    def tasks(self) -> None:
        """The model in the form of transformers, and the tasks in their parts."""
        self.synthagent("models", "fetch", "smollm2-135m")
        if not (self.out / "smollm2" / "config.json").exists():
            self.synthagent("models", "convert", "smollm2-135m", "--out", self.out / "smollm2")
        made = self.out / "synth"
        made.mkdir(exist_ok=True)
        for name, (domains, n, seed) in SYNTH.items():
            if not (made / f"{name}.jsonl").exists():
                self.synthagent(
                    "synth", "--out", made / f"{name}.jsonl", "-n", n, "--seed", seed, "--domains", domains, *KNOBS
                )
        seen = [made / f"{name}.jsonl" for name in SYNTH if name.startswith("seen")]
        print(make(seen, made / "unseen-202.jsonl", self.out / "smollm2", self.out), flush=True)

    def zero(self) -> None:
        """The model as it comes, and the red team."""
        self.evaluate("zero_shot", self.out / "smollm2")
        agents = [word for name in RED_TEAM for word in ("--agent", f"scripted:{name}")]
        for name in SETS:
            out = self.out / "evals" / f"redteam-{name}"
            tasks = self.out / f"{name}.jsonl"
            self.synthagent("rollout", tasks, *agents, "--seed", SEED, "--out", out, *self.fresh(out))

    def sft(self) -> None:
        """Demonstrations with a thought where a rule is decided, and the cold start on them."""
        self.cold_start("demos", "sft", self.out / "demos.jsonl")

    def grpo(self) -> None:
        """Practice."""
        self.practise("sft", "grpo", RECIPES / "grpo.toml")

    def eval(self) -> None:
        """Both on the test sets."""
        self.evaluate("cold_start", self.out / "sft" / "policy")
        self.evaluate("grpo", self.out / "grpo" / "policy")

    def ablation(self) -> None:
        """The same, with the facts in the instruction; evaluated on tasks in which they have to be asked for."""
        open_ = self.out / "demos-no-gap.jsonl"
        if not open_.exists():
            self.synthagent("perturb", self.out / "demos.jsonl", "--kinds", "no-gap", "--out", open_)
        self.cold_start("demos-no-gap", "sft-no-gap", open_)
        self.practise("sft-no-gap", "grpo-no-gap", RECIPES / "grpo-no-gap.toml")
        self.evaluate("no_gap", self.out / "grpo-no-gap" / "policy")

    def report(self) -> None:
        """`episodes.jsonl` (a line for each evaluated episode), `results.json` from it, its tables, and the curves."""
        seconds = orjson.loads((self.out / "seconds.json").read_bytes())
        lines = list(evaluated(self.out / "evals"))
        rows = b"".join(orjson.dumps(line._asdict(), option=orjson.OPT_APPEND_NEWLINE) for line in lines)
        (self.out / "episodes.jsonl").write_bytes(rows)
        found = results(lines, seconds["done"])
        text = orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        (self.out / "results.json").write_bytes(text)
        (self.out / "tables.md").write_text(tables(found), encoding="utf-8")
        self.synthagent("report", self.out / "grpo")
        print(text.decode())

    # ---- what stages are made of

    def cold_start(self, demos: str, out: str, tasks: Path) -> None:
        run, to = self.out / demos, self.out / out
        self.synthagent("demos", tasks, "--agent", "scripted:careful", "-k", 1, "--out", run, *self.fresh(run))
        config = RECIPES / "sft.toml"
        words = ("--data", run, "--policy", self.out / "smollm2", "--config", config, "--out", to)
        self.synthagent("sft", *words, *self.fresh(to))

    def practise(self, start: str, out: str, recipe: Path) -> None:
        run = self.out / out
        self.synthagent(
            "train", self.out / "train.jsonl", "--policy", self.out / start / "policy", "--config", recipe,
            "--eval", self.out / "dev.jsonl", "--out", run, *self.fresh(run),
        )  # fmt: skip

    def evaluate(self, model: str, policy: Path) -> None:
        for name in SETS:
            out = self.out / "evals" / f"{model}-{name}"
            self.synthagent(
                "rollout", self.out / f"{name}.jsonl", "--agent", f"hf:{policy}", "-n", 2, "--seed", SEED,
                "--config", HERE / "eval.toml", "--out", out, *self.fresh(out),
            )  # fmt: skip


STAGES: dict[str, Callable[[Demo], None]] = {
    "tasks": Demo.tasks, "zero": Demo.zero, "sft": Demo.sft, "grpo": Demo.grpo, "eval": Demo.eval,
    "ablation": Demo.ablation, "report": Demo.report,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/train-demo"))
    parser.add_argument("--stage", action="append", choices=list(STAGES), help="only these; default all")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    for name in asked.stage or STAGES:
        if name in _known(asked.out)["done"] and name != "report":
            print(f"{name}: done before", flush=True)
            continue
        begun, done = time.monotonic(), False
        try:
            STAGES[name](Demo(asked.out))
            done = True
        finally:  # what an interrupted stage took counts
            _note(asked.out, name, time.monotonic() - begun, done)


def _known(out: Path) -> dict[str, dict[str, float]]:
    kept = out / "seconds.json"
    return orjson.loads(kept.read_bytes()) if kept.exists() else {"done": {}, "begun": {}}


def _note(out: Path, name: str, seconds: float, done: bool) -> None:
    known = _known(out)  # anew: another stage may have ended meanwhile
    known["begun"][name] = round(known["begun"].get(name, 0.0) + seconds, 1)
    if done:
        known["done"][name] = known["begun"][name]
    (out / "seconds.json").write_bytes(orjson.dumps(known))


if __name__ == "__main__":
    main()
