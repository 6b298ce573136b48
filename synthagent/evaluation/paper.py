"""The paper's own rows, as references beside ours. In per cent, as printed there.

Lyu et al., "Mock Worlds, Real Skills: Building Small Agentic Language Models with Synthetic Tasks, Simulated
Environments, and Rubric-Based Rewards", ACL 2026, arXiv 2601.22511. Two models: Qwen3-14B as it comes, and
SynthAgent-14B, which is the same after training. Of mathematics and search no figure is here:
the paper itself was not at hand, only its tables of tool use, and what others say of it is no source.
"""

from collections.abc import Mapping
from typing import NamedTuple

PAPER = "Lyu et al., ACL 2026, arXiv 2601.22511"


class PaperRow(NamedTuple):
    """One model in one of the paper's tables."""

    model: str
    source: str
    figures: Mapping[str, float]
    """Suite -> per cent."""


TABLES: Mapping[str, tuple[str, ...]] = {
    "tool use": (
        "tau2_airline", "tau2_retail", "tau2_telecom", "bfcl_base", "bfcl_miss_func", "bfcl_miss_param",
        "bfcl_long_context",
    ),
    "mathematics and search": (
        "aime24", "aime25", "hmmt25", "olympiadbench", "frames", "webwalkerqa", "xbench",
    ),
}  # fmt: skip
"""Table -> its columns."""
ROWS: tuple[PaperRow, ...] = (
    PaperRow(
        "Qwen3-14B", PAPER,
        {
            "tau2_airline": 22.0, "tau2_retail": 39.5, "tau2_telecom": 25.4, "bfcl_base": 40.0,
            "bfcl_miss_func": 34.5, "bfcl_miss_param": 26.5, "bfcl_long_context": 26.5,
        },
    ),
    PaperRow(
        "SynthAgent-14B", PAPER,
        {
            "tau2_airline": 40.0, "tau2_retail": 58.6, "tau2_telecom": 44.7, "bfcl_base": 57.0,
            "bfcl_miss_func": 46.5, "bfcl_miss_param": 31.0, "bfcl_long_context": 46.0,
        },
    ),
)  # fmt: skip


def rows_of(suites: tuple[str, ...]) -> list[PaperRow]:
    """The paper's rows that say anything of these suites."""
    return [row for row in ROWS if any(suite in row.figures for suite in suites)]
