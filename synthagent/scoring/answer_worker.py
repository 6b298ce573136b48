"""Compares answers to mathematics in a process of its own. Run as a file, not imported: see `answers.MathAnswers`.

The answer is hostile: `10^{10^{10}}` may take for ever, or all memory. The kernel bounds both, whatever the C code
underneath is doing: processor time, which unlike the clock does not depend on what else the machine does, and address
space. Reads a line `{"gold", "answer"}`, writes a line `{"equal"}`; the first line it writes says what it is.
"""

import contextlib
import json
import logging
import math
import os
import resource
import sys
import warnings


def main(seconds: int, memory: int) -> None:
    """Serves until its input ends. `seconds` of processor time a comparison, `memory` in bytes."""
    os.environ["SYMPY_GROUND_TYPES"] = "python"  # GMP would abort where Python raises
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    out, sys.stdout = sys.stdout, sys.stderr
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

    # What was boxed is the answer, whatever else the text calls one.
    wanted = (LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig())
    _bound(resource.RLIMIT_AS, memory)
    _bound(resource.RLIMIT_FSIZE, 0)
    _bound(resource.RLIMIT_CORE, 0)

    def equal(gold: str, answer: str) -> bool:
        # No error of a parser is one of ours: it works, as was seen below.
        with contextlib.suppress(Exception):
            wished = parse(_marked(gold), wanted, parsing_timeout=None)
            return bool(verify(wished, parse(answer, wanted, parsing_timeout=None), timeout_seconds=None))
        return False

    # A parser that is broken here says nothing and finds nothing: every answer would be wrong.
    if not equal("\\frac{1}{2}", "\\boxed{0.5}") or equal("\\frac{1}{2}", "\\boxed{0.6}"):
        sys.exit("answer_worker: math-verify does not compare here: is its installation whole?")
    print(json.dumps({"ready": True}), file=out, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        used = resource.getrusage(resource.RUSAGE_SELF)
        _bound(resource.RLIMIT_CPU, math.ceil(used.ru_utime + used.ru_stime) + seconds)
        print(json.dumps({"equal": equal(asked["gold"], asked["answer"])}), file=out, flush=True)


def _marked(gold: str) -> str:
    """The gold answer as LaTeX, which is only looked for between marks."""
    return gold if "$" in gold or "\\boxed" in gold or "\\(" in gold or "\\[" in gold else f"${gold}$"


def _bound(what: int, most: int) -> None:
    _, hard = resource.getrlimit(what)
    resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
