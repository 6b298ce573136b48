"""sft and train: a policy learns. Only this module and what it calls need torch."""

import hashlib
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from synthagent import __version__, plugins
from synthagent.cli.agents import Models, role
from synthagent.cli.casting import Others, troupe
from synthagent.cli.console import print_json, print_table, progress, say
from synthagent.config import Settings
from synthagent.errors import InputError
from synthagent.schema.scores import Score
from synthagent.schema.tasks import Task
from synthagent.simulation.agent import OPENING, Agent, ToolForm, opening_fingerprint
from synthagent.simulation.episode import Cast, Stage
from synthagent.storage.index import EPISODES, SCORES, TASKS
from synthagent.storage.run_folder import RunFolder
from synthagent.storage.task_file import read_tasks
from synthagent.synthesis.splits import refuse_overlap
from synthagent.training.collecting import Supporting
from synthagent.training.examples import Example, refusal, tokens_of
from synthagent.training.metrics import StepLine, mean
from synthagent.training.recipe import Recipe, read_recipe
from synthagent.training.syllabus import refuse_long, syllabus
from synthagent.training.train_folder import METRICS, POLICY, Interrupted, TrainFolder, TrainManifest, latest

if TYPE_CHECKING:
    from synthagent.training.loading import Weights

TRAINERS = ("native", "trl", "verl")
NEEDS_TORCH = "PyTorch, then pip install 'synthagent[train]': see README, PyTorch"


@contextmanager
def stopping() -> Iterator[Callable[[], None]]:
    """A callable that raises `Interrupted` once the process was told to end (SIGTERM, Ctrl-C).

    What gets out of the block is a `KeyboardInterrupt`, as `main` knows it.
    """
    asked: list[int] = []

    def stop() -> None:
        if asked:
            raise Interrupted

    before = {number: signal.signal(number, lambda n, _: asked.append(n)) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    except Interrupted as error:
        raise KeyboardInterrupt from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_sft(
    data: Sequence[Path], policy: str, out: Path, config: Path | None, threads: int | None, resume: bool, json: bool
) -> None:  # fmt: skip
    """Imitates the demonstrations of run folders, and leaves the model in OUT/policy."""
    recipe = read_recipe(config) if config else Recipe(method="sft")
    found, form = _weights(policy, recipe, threads)
    from synthagent.training.sft import Keeping, SftLine, imitate, save, updates_of

    examples, refused = _examples(data, found, recipe, form)
    say(f"{len(examples)} demonstrations to learn from; left out: {_told(refused)}")
    journals = [path / name for path in data for name in (TASKS, EPISODES, SCORES)]
    steps = len(updates_of(examples, recipe))
    manifest = _manifest("sft", policy, ", ".join(map(str, data)), journals, {}, form, recipe, steps)
    with TrainFolder.open(out, manifest, resume=resume) as folder, stopping() as stop:
        lines: list[SftLine] = []
        with progress("sft", steps) as tick:

            def sink(line: SftLine) -> None:
                lines.append(line)
                tick(f"(loss {line.loss:.4f})")

            imitate(found, examples, recipe, sink, stop, Keeping(folder, recipe))
        save(found, out / POLICY)
    figures = {
        "demonstrations": len(examples), "refused": dict(refused), "domains": len({e.domain for e in examples}),
        "updates": steps, "loss": lines[-1].loss if lines else None, "tokens": sum(line.learnt for line in lines),
        "seconds": round(sum(line.seconds for line in lines), 1),
    }  # fmt: skip
    if json:
        print_json(figures)
    else:
        print_table([figures | {"refused": _told(refused)}], tuple(figures))
        say(f"the policy is in {out / POLICY}; next: synthagent train TASKS --policy {out / POLICY}")


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in counts.most_common()) or "none"


def _examples(
    data: Sequence[Path], found: "Weights", recipe: Recipe, form: ToolForm
) -> tuple[list[Example], Counter[str]]:
    """The demonstrations that are good enough, and why the others are not."""
    examples: list[Example] = []
    refused: Counter[str] = Counter()
    longest = min(recipe.rollouts.response_tokens, found.window)
    for path in data:
        with RunFolder.open(path) as folder:
            tasks = {task.id: task for task in islice(folder.tasks(), recipe.data.tasks)}
            scores: dict[tuple[str, str, int], Score] = {
                (line.agent, line.score.task_id, line.score.sample): line.score for line in folder.scores()
            }
            for episode in folder.episodes():
                if episode.task_id not in tasks:
                    continue
                score = scores.get((episode.agent, episode.task_id, episode.sample))
                reason = refusal(episode, score, recipe.sft.threshold)
                if reason is None:
                    task = tasks[episode.task_id]
                    tokens = tokens_of(task, episode, found.tokenizer, form)
                    if len(tokens.ids) - tokens.prompt <= longest and tokens.prompt <= recipe.rollouts.prompt_tokens:
                        examples.append(Example(task, episode.sample, tokens))
                        continue
                    reason = "too long"
                refused[reason] += 1
    return examples, refused


def run_train(
    tasks: Path, policy: str, trainer: str, config: Path, out: Path, heldout: Sequence[Path], settings: Settings,
    resume: bool, json: bool,
) -> None:  # fmt: skip
    """Trains a policy on tasks; leaves the model in OUT/policy."""
    recipe = read_recipe(config)
    if recipe.method == "sft":
        raise InputError("method: this recipe is a cold start", where=str(config), way_out="synthagent sft --config")
    learnt = syllabus(read_tasks(tasks), recipe.data, str(tasks))
    sets: dict[str, list[Task]] = {}
    for path in heldout:
        if path.stem in sets:
            raise InputError(f"--eval: two sets are called '{path.stem}'", way_out="rename one of the files")
        sets[path.stem] = list(read_tasks(path))
        refuse_overlap(learnt, sets[path.stem], (str(tasks), str(path)))
    if trainer not in TRAINERS and trainer not in plugins.names("synthagent.trainers"):
        known = ", ".join((*TRAINERS, *plugins.names("synthagent.trainers")))
        raise InputError(f"--trainer: '{trainer}' is not one of {known}")
    found, form = _weights(policy, recipe, settings.threads)
    for these in (learnt, *sets.values()):
        refuse_long(these, found.tokenizer, form, recipe.rollouts)
    steps = recipe.steps_for(len(learnt))
    manifest = _manifest(trainer, policy, str(tasks), [tasks], {p.stem: p for p in heldout}, form, recipe, steps)
    with TrainFolder.open(out, manifest, resume=resume) as folder, stopping() as stop:
        anyio_run = _native(found, form, learnt, sets, recipe, steps, folder, settings, stop)
        anyio_run()
    figures = _figures(out)
    if json:
        print_json(figures)
    else:
        print_table([figures], tuple(figures))
        say(f"the policy is in {out / POLICY}; next: synthagent report {out}")


def _figures(out: Path) -> dict[str, Any]:
    """What a run came to, the steps before it was resumed included."""
    lines: list[StepLine] = list(latest(out / METRICS, StepLine, "step"))
    tenth = max(1, len(lines) // 10)
    episodes = sum(line.played.episodes for line in lines)
    return {
        "steps": len(lines), "episodes": episodes,
        "unscored": round(sum(line.played.unscored * line.played.episodes for line in lines)),
        "reward_first": mean(line.played.reward for line in lines[:tenth] if line.played.reward is not None),
        "reward_last": mean(line.played.reward for line in lines[-tenth:] if line.played.reward is not None),
        "zero_variance": mean(line.zero_variance for line in lines),
        "generated": sum(line.generated for line in lines), "learnt": sum(line.learnt for line in lines),
        "seconds": round(sum(line.generating + line.learning for line in lines), 1),
    }  # fmt: skip


def _native(
    found: "Weights", form: ToolForm, tasks: Sequence[Task], sets: dict[str, list[Task]], recipe: Recipe, steps: int,
    folder: TrainFolder, settings: Settings, stop: Callable[[], None],
) -> Callable[[], None]:  # fmt: skip
    from synthagent.training.collecting import Curriculum, Playing
    from synthagent.training.grpo import Learner, Run, train
    from synthagent.training.policy import Policy
    from synthagent.training.sft import save

    mine = recipe.rollouts
    sampler = found.sampler(slots=mine.slots, length=mine.prompt_tokens + mine.response_tokens)
    policy = Policy(sampler, found.tokenizer, "policy")
    updates = steps * (1 if recipe.optimiser.minibatch is None else -(-mine.tasks // recipe.optimiser.minibatch))
    learner = Learner(found.model, recipe, updates, stop)

    curriculum = Curriculum(tasks, recipe.selection, recipe.seed, recipe.data.reasoning)

    async def whole(tell: Callable[[StepLine], None]) -> None:
        async with AsyncExitStack() as stack:  # whoever plays the user is there until the last step
            supporting = await supporting_of(stack, recipe, form, settings)
            playing = Playing(policy, form, supporting, recipe.rollouts)
            await train(Run(learner, sampler, playing, curriculum, recipe, steps, folder, sets, stop, tell))

    def run() -> None:
        with progress("train", steps) as tick:

            def tell(line: StepLine) -> None:
                reward = "-" if line.played.reward is None else f"{line.played.reward:.3f}"
                tick(f"(step {line.step}, reward {reward}, zero variance {line.zero_variance:.2f})")

            anyio.run(whole, tell)
        save(found, folder.path / POLICY)

    return run


async def supporting_of(stack: AsyncExitStack, recipe: Recipe, form: ToolForm, settings: Settings) -> Supporting:
    """Who plays besides the policy, for as long as the stack is open."""
    user = recipe.data.user
    others = Others(user=None if user == "facts" else role(user, "--user"))
    models = Models(stack, settings)
    all_ = await stack.enter_async_context(troupe(others, settings, recipe.seed, models))

    def cast(stage: Stage, sample: int, agent: Agent) -> Cast:
        return Cast(
            agent, all_.user(stage, sample), recipe.rollouts.protocol, form, all_.tools, all_.faults(stage, sample)
        )

    return cast


def _weights(policy: str, recipe: Recipe, threads: int | None) -> tuple["Weights", ToolForm]:
    """The model to train, and how it is told of tools."""
    scheme, colon, argument = policy.partition(":")
    path = Path(argument if colon and scheme == "hf" else policy)
    if scheme == "local":
        raise InputError(
            f"--policy: {policy} is quantised and cannot be trained",
            way_out=f"synthagent models convert {argument} --out DIR, then --policy DIR",
        )
    if not path.is_dir():
        raise InputError(f"--policy: there is no folder '{path}'", way_out="give a folder in transformers' form")
    try:
        import torch

        from synthagent.training.hf_tokenizer import form_for
        from synthagent.training.loading import weights
        from synthagent.training.lora import adapted
    except ImportError as error:
        raise InputError(f"training needs torch and transformers ({error})", way_out=NEEDS_TORCH) from error
    torch.set_num_threads(threads or os.cpu_count() or 1)
    found = weights(path, getattr(torch, recipe.dtype))
    if recipe.lora is not None:
        found = replace(found, adapters=adapted(found.model, recipe.lora, recipe.seed))
    return found, recipe.rollouts.tool_form or form_for(found.tokenizer)


def _manifest(
    trainer: str, policy: str, tasks_file: str, files: Sequence[Path], heldout: dict[str, Path], form: ToolForm,
    recipe: Recipe, steps: int,
) -> TrainManifest:  # fmt: skip
    """`files`: all that is learnt from, whose bytes must not change before the run is resumed."""
    path = Path(policy.removeprefix("hf:"))
    return TrainManifest(
        command=" ".join(["synthagent", *sys.argv[1:]]),
        version=__version__,
        trainer=trainer,
        policy=policy,
        policy_sha256=_sha256(*sorted(path.glob("*.safetensors"))),
        tasks_file=tasks_file,
        tasks_sha256=_sha256(*files),
        heldout={name: _sha256(file) for name, file in heldout.items()},
        tool_form=form,
        prompts={OPENING: opening_fingerprint()},
        steps=steps,
        seed=recipe.seed,
        recipe=recipe,
    )


def _sha256(*paths: Path) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def run_convert(name: str, out: Path) -> None:
    """A small model that was fetched, as a folder in the form of transformers: to be trained."""
    from synthagent.llm.local_models import cache_dir, find

    path = find(name, cache_dir())
    if path is None:
        raise InputError(f"{name} is not here yet", way_out=f"synthagent models fetch {name}")
    try:
        from synthagent.training.gguf import convert
    except ImportError as error:
        raise InputError(f"training needs torch and transformers ({error})", way_out=NEEDS_TORCH) from error
    convert(path, out)
    say(f"{name} is in {out}; use it as --policy {out} or --agent hf:{out}")
