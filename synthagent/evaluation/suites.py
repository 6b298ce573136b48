"""The suites there are: what each holds, where its data comes from, and what is known of its scores."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from synthagent import plugins
from synthagent.errors import InputError
from synthagent.evaluation.items import Harness
from synthagent.reasoning.problems import Problem
from synthagent.schema.record import Record
from synthagent.schema.tasks import Task

GROUP = "synthagent.benchmarks"
"""Entry points of packages that bring suites of their own: name -> a callable without arguments -> `Benchmark`."""
Kind = Literal["math", "search", "harness", "tasks"]
"""`math`, `search`: problems, played as reasoning tasks. `harness`: a benchmark's own code. `tasks`: a task file."""


class Source(Record):
    """A file of a data set on the Hugging Face hub."""

    repo: str
    revision: str
    """A commit, or a branch where no commit was at hand."""
    path: str
    sha256: str = ""
    """Of the file; empty: not pinned by us. Then the first download pins it on this machine."""


class Null(Record):
    """What an agent that does nothing earns, and how that is known."""

    value: float | None
    """From 0 to 1; None: not measured yet."""
    command: str = ""
    """What measured it."""
    tricks: dict[str, float] = {}
    """Other agents that do not try -> what they earn."""


class Suite(Record):
    """One benchmark."""

    name: str
    title: str
    kind: Kind
    sizes: tuple[int, ...]
    """Entries it may have, the usual count first: a file with any other count is another data set."""
    licence: str
    """Of the data, as its publisher names it."""
    metric: str
    trials: int
    """The paper's number of tries."""
    tools: tuple[str, ...] = ()
    """What the agent gets, besides what a harness brings."""
    source: Source | None = None
    harness: Literal["", "bfcl", "tau2"] = ""
    null: Null = Null(value=None)

    @property
    def size(self) -> int:
        """Entries it usually has."""
        return self.sizes[0]


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What a plugin brings: a suite, and the one of these that suits its kind."""

    suite: Suite
    problems: Callable[[], Sequence[Problem]] | None = None
    tasks: Callable[[], Sequence[Task]] | None = None
    harness: Harness | None = None


_TAU2_DOMAINS = {"airline": (50, 0.38), "retail": (114, 0.061), "telecom": (114, 0.0)}
_BFCL = {
    "base": "base", "miss_func": "missing functions", "miss_param": "missing parameters",
    "long_context": "long context",
}  # fmt: skip
HELDOUT = "synthagent:heldout"


def _tau2() -> list[Suite]:
    return [
        Suite(
            name=f"tau2_{domain}", title=f"TAU-2 {domain}", kind="harness", sizes=(size,), licence="MIT",
            metric="Avg@4", trials=4, harness="tau2",
            null=Null(value=null, command=_null_command(f"tau2_{domain}")),
        )
        for domain, (size, null) in _TAU2_DOMAINS.items()
    ]  # fmt: skip


def _bfcl() -> list[Suite]:
    return [
        Suite(
            name=f"bfcl_{part}", title=f"BFCL-V4 multi-turn, {title}", kind="harness", sizes=(200,),
            licence="Apache-2.0", metric="accuracy", trials=1, harness="bfcl",
            null=Null(value=0.0, command=_null_command(f"bfcl_{part}")),
        )
        for part, title in _BFCL.items()
    ]  # fmt: skip


def _null_command(suite: str) -> str:
    return f"synthagent eval run --suite {suite} --agent scripted:nothing --trials 1 --out evals/null"


def _math(name: str, title: str, sizes: tuple[int, ...], licence: str, trials: int, source: Source) -> Suite:
    metric = f"Avg@{trials}" if trials > 1 else "accuracy"
    return Suite(
        name=name, title=title, kind="math", sizes=sizes, licence=licence, metric=metric, trials=trials,
        tools=("python",), source=source, null=Null(value=0.0, command=_null_command(name)),
    )  # fmt: skip


def _search(name: str, title: str, size: int, licence: str, source: Source) -> Suite:
    return Suite(
        name=name, title=title, kind="search", sizes=(size,), licence=licence, metric="judged accuracy", trials=1,
        tools=("search",), source=source, null=Null(value=0.0, command=_null_command(name)),
    )  # fmt: skip


# Revisions and hashes: of AIME24, AIME25 and FRAMES, as several public projects that do not know each other pin them;
# of HMMT25 and OlympiadBench, the commit alone; of the other two no commit was at hand.
_MATH = (
    _math(
        "aime24", "AIME 2024", (30,), "not stated", 6,
        Source(
            repo="HuggingFaceH4/aime_2024", revision="2fe88a2f1091d5048c0f36abc874fb997b3dd99a",
            path="data/train-00000-of-00001.parquet",
            sha256="26139847601a5037c237d5928b195e7260ca8074cf4f264b794af42847f79ccf",
        ),
    ),
    _math(
        "aime25", "AIME 2025", (30,), "not stated", 6,
        Source(
            repo="math-ai/aime25", revision="563bb8404243c5f09de6ec262f2db674fe5bce9b", path="test.jsonl",
            sha256="b4e273c02d3e7fe1b74b59eae768fc8230bfb0f79539890cb56f4361caac0331",
        ),
    ),
    _math(
        "hmmt25", "HMMT February 2025", (30,), "CC-BY-NC-SA-4.0", 6,
        Source(
            repo="MathArena/hmmt_feb_2025", revision="6fdc4277120810ff75aa22d2d5489b91f7a262a1",
            path="data/train-00000-of-00001.parquet",
        ),
    ),
    # 675 in the authors' first release; the hub's file has one problem less.
    _math(
        "olympiadbench", "OlympiadBench, text-only English mathematics", (675, 674), "Apache-2.0", 1,
        Source(
            repo="Hothan/OlympiadBench", revision="91184b52131e7fc9455fef848035173aea8cc01a",
            path="OlympiadBench/OE_TO_maths_en_COMP/OE_TO_maths_en_COMP.parquet",
        ),
    ),
)  # fmt: skip
_SEARCH = (
    _search(
        "frames", "FRAMES", 824, "Apache-2.0",
        Source(
            repo="google/frames-benchmark", revision="58d9fb6330f3ab1316d1eca12e5e8ef23dcc22ef", path="test.tsv",
            sha256="4255093c93b595b5b04c7c8dde290b48ec87d72ca0fb0b760d9dd02740d669ff",
        ),
    ),
    _search(
        "webwalkerqa", "WebWalkerQA", 680, "Apache-2.0",
        Source(repo="callanwu/WebWalkerQA", revision="main", path="data/main-00000-of-00001.jsonl"),
    ),
    _search(
        "xbench", "xBench-DeepSearch", 100, "MIT",
        Source(repo="xbench/DeepSearch", revision="main", path="DeepSearch.csv"),
    ),
)  # fmt: skip
_OWN = Suite(
    name=HELDOUT, title="SynthAgent held-out: three domains that no recipe trains on", kind="tasks", sizes=(192,),
    licence="Apache-2.0", metric="mean reward", trials=1,
    null=Null(value=0.0, command=_null_command(HELDOUT), tricks={"refuse": 0.0, "transfer": 0.0, "ask-all": 0.462}),
)  # fmt: skip
OURS: Mapping[str, Suite] = {suite.name: suite for suite in (*_tau2(), *_bfcl(), *_MATH, *_SEARCH, _OWN)}
"""The fourteen data sets of the paper, and our own."""
GROUPS: Mapping[str, tuple[str, ...]] = {
    "tau2": tuple(suite.name for suite in _tau2()),
    "bfcl": tuple(suite.name for suite in _bfcl()),
    "math": tuple(suite.name for suite in _MATH),
    "search": tuple(suite.name for suite in _SEARCH),
    "all": tuple(name for name in OURS if name != HELDOUT),
}
"""Names for several suites; `all`: the paper's fourteen."""


@cache
def _plugin(name: str) -> Benchmark:
    made = plugins.load(GROUP, name)()
    if not isinstance(made, Benchmark) or made.suite.name != name:
        raise InputError(f"the plugin '{name}' of {GROUP} gives no Benchmark of that name")
    return made


def names() -> list[str]:
    """Every suite there is, plugins' last."""
    return [*OURS, *(name for name in plugins.names(GROUP) if name not in OURS)]


def benchmark(name: str) -> Benchmark:
    """The suite of this name, ours or a plugin's. Raises `InputError` with those there are."""
    if name in OURS:
        return Benchmark(OURS[name])
    if name in plugins.names(GROUP):
        return _plugin(name)
    raise InputError(f"no suite '{name}'", way_out=f"known: {', '.join([*names(), *GROUPS])}")


def chosen(text: str) -> list[Benchmark]:
    """The suites that `bfcl,aime24,...` names, groups spelt out, each once. Raises `InputError`."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise InputError("--suite: names no suite", way_out=f"known: {', '.join([*names(), *GROUPS])}")
    spelt = dict.fromkeys(name for word in words for name in GROUPS.get(word, (word,)))
    return [benchmark(name) for name in spelt]
