"""sft and train: a policy learns. Only this module and what it calls need torch."""

import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from synthagent import __version__
from synthagent.cli.casting import map_beside
from synthagent.cli.console import print_json, print_table, progress, say
from synthagent.cli.services import Serving, fitted
from synthagent.cli.trainers import NEEDS_TORCH, refuse_unknown, run_verl, trainer_of
from synthagent.cli.training_company import company
from synthagent.config import Settings
from synthagent.cores import usable_cores
from synthagent.errors import InputError
from synthagent.evaluation.heldout import refuse_heldout
from synthagent.rollouts.histories import refusal
from synthagent.schema.scores import Score
from synthagent.schema.tasks import Task
from synthagent.scoring.answers import MathAnswers
from synthagent.scoring.scorer import Scoring
from synthagent.simulation.agent import OPENING, ToolForm, opening_fingerprint
from synthagent.storage.digests import sha256, weights_sha256
from synthagent.storage.index import EPISODES, SCORES, TASKS
from synthagent.storage.run_folder import RunFolder
from synthagent.storage.task_file import read_tasks
from synthagent.synthesis.splits import refuse_overlap
from synthagent.training.examples import Example, tokens_of
from synthagent.training.job import Job
from synthagent.training.metrics import StepLine, mean
from synthagent.training.recipe import Recipe, read_recipe
from synthagent.training.syllabus import refuse_long, syllabus
from synthagent.training.train_folder import METRICS, POLICY, Interrupted, TrainFolder, TrainManifest, latest

if TYPE_CHECKING:
    from synthagent.training.hf_tokenizer import HFTokenizer
    from synthagent.training.loading import Weights


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
        raise KeyboardInterrupt from error  # said in one place, for all commands
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
            refuse_heldout(tasks.values(), str(path))
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


@dataclass(frozen=True, slots=True)
class TrainWords:
    """What `train` was told."""

    tasks: Path
    policy: str
    trainer: str
    config: Path
    out: Path
    heldout: Sequence[Path]
    settings: Settings
    reasoning: Path | None = None
    """A further file of tasks."""
    settings_file: Path | None = None
    report_to: tuple[str, ...] = ()
    resume: bool = False
    dry_run: bool = False
    json: bool = False


def run_train(words: TrainWords) -> None:
    """Trains a policy on tasks; leaves the model in OUT/policy."""
    recipe = read_recipe(words.config)
    if recipe.method == "sft":
        where = str(words.config)
        raise InputError("method: this recipe is a cold start", where=where, way_out="synthagent sft --config")
    files = [words.tasks, *([words.reasoning] if words.reasoning else [])]
    named = " and ".join(map(str, files))
    learnt = syllabus(chain.from_iterable(map(read_tasks, files)), recipe.data, named)
    refuse_heldout(learnt, named)
    sets = _heldout(words, learnt)
    refuse_unknown(words.trainer)
    if words.dry_run and words.trainer != "verl":
        raise InputError("--dry-run is for --trainer verl, which runs from files")
    path, tokenizer = _policy(words.policy)
    form = recipe.rollouts.tool_form or _form(tokenizer)
    for these in (learnt, *sets.values()):
        refuse_long(these, tokenizer, form, recipe.rollouts)
    asked = Serving(recipe.data.search, recipe.data.python)
    serving = fitted(asked, (task for these in (learnt, *sets.values()) for task in these))
    if words.trainer == "verl":
        run_verl(
            learnt, recipe, path, tokenizer, words.out, sets, words.settings_file, dry_run=words.dry_run,
            json=words.json,
        )  # fmt: skip
        return
    _run_here(words, recipe, learnt, sets, path, form, serving)
    figures = _figures(words.out)
    if words.json:
        print_json(figures)
    else:
        print_table([figures], tuple(figures))
        say(f"the policy is in {words.out / POLICY}; next: synthagent report {words.out}")


def _heldout(words: TrainWords, learnt: Sequence[Task]) -> dict[str, list[Task]]:
    """The held-out sets by name. Raises `InputError` for two of one name, and for one that is learnt from."""
    sets: dict[str, list[Task]] = {}
    for path in words.heldout:
        if path.stem in sets:
            raise InputError(f"--eval: two sets are called '{path.stem}'", way_out="rename one of the files")
        sets[path.stem] = list(read_tasks(path))
        refuse_overlap(learnt, sets[path.stem], (str(words.tasks), str(path)))
    return sets


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


def _run_here(
    words: TrainWords, recipe: Recipe, tasks: Sequence[Task], sets: dict[str, list[Task]], policy: Path, form: ToolForm,
    serving: Serving,
) -> None:  # fmt: skip
    """Trains in this process."""
    train = trainer_of(words.trainer, recipe)
    _threads(words.settings.threads)
    steps = recipe.steps_for(len(tasks))
    manifest = _manifest(
        words.trainer, words.policy, str(words.tasks), [words.tasks, *([words.reasoning] if words.reasoning else [])],
        {p.stem: p for p in words.heldout}, form, recipe, steps,
    )  # fmt: skip
    with (
        TrainFolder.open(words.out, manifest, resume=words.resume) as folder, stopping() as stop,
        progress("train", steps) as tick,
    ):  # fmt: skip

        def tell(line: StepLine) -> None:
            reward = "-" if line.played.reward is None else f"{line.played.reward:.3f}"
            tick(f"(step {line.step}, reward {reward}, zero variance {line.zero_variance:.2f})")

        async def practise() -> None:
            mine, user, store = recipe.rollouts, recipe.data.user, str(map_beside(words.reasoning or words.tasks))
            async with AsyncExitStack() as stack:
                playing = company(mine.protocol, form, recipe.seed, user, words.settings, serving, store)
                supporting = await stack.enter_async_context(playing)
                answers = MathAnswers()
                stack.push_async_callback(answers.aclose)
                await train(
                    Job(
                        policy=policy, form=form, tasks=tasks, heldout=sets, recipe=recipe, steps=steps, folder=folder,
                        supporting=supporting, stop=stop, scoring=Scoring(answers=answers), tell=tell,
                        report_to=words.report_to,
                    )
                )  # fmt: skip

        anyio.run(practise)


def _folder(policy: str) -> Path:
    """The folder of a model to train. Raises `InputError`."""
    scheme, colon, argument = policy.partition(":")
    path = Path(argument if colon and scheme == "hf" else policy)
    if scheme == "local":
        raise InputError(
            f"--policy: {policy} is quantised and cannot be trained",
            way_out=f"synthagent models convert {argument} --out DIR, then --policy DIR",
        )
    if not path.is_dir():
        raise InputError(f"--policy: there is no folder '{path}'", way_out="give a folder in transformers' form")
    return path


def _policy(policy: str) -> tuple[Path, "HFTokenizer"]:
    """The folder of a model to train, and its tokenizer: all that is needed of it here. Raises `InputError`."""
    path = _folder(policy)
    try:
        from synthagent.training.hf_tokenizer import tokenizer_of

        return path, tokenizer_of(path)
    except ImportError as error:
        raise InputError(f"training needs torch and transformers ({error})", way_out=NEEDS_TORCH) from error


def _form(tokenizer: "HFTokenizer") -> ToolForm:
    from synthagent.training.hf_tokenizer import form_for

    return form_for(tokenizer)


def _threads(count: int | None) -> None:
    import torch

    torch.set_num_threads(count or usable_cores())


def _weights(policy: str, recipe: Recipe, threads: int | None) -> tuple["Weights", ToolForm]:
    """The model to train, and how it is told of tools."""
    path = _folder(policy)
    try:
        import torch

        from synthagent.training.hf_tokenizer import form_for
        from synthagent.training.loading import weights
        from synthagent.training.lora import adapted
    except ImportError as error:
        raise InputError(f"training needs torch and transformers ({error})", way_out=NEEDS_TORCH) from error
    _threads(threads)
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
        policy_sha256=weights_sha256(path),
        tasks_file=tasks_file,
        tasks_sha256=sha256(*files),
        heldout={name: sha256(file) for name, file in heldout.items()},
        tool_form=form,
        prompts={OPENING: opening_fingerprint()},
        steps=steps,
        seed=recipe.seed,
        recipe=recipe,
    )


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
