"""The report in Markdown."""

from synthagent.evaluation.items import Item
from synthagent.evaluation.metrics import figures
from synthagent.evaluation.results import SuiteResult, failure_of, result_of
from synthagent.evaluation.tables import Run, markdown, pairs


def items(*scores: float) -> list[Item]:
    return [Item(id=f"e{number}", trial=0, score=score) for number, score in enumerate(scores)]


def run(name: str, scores: list[float], **versions: str) -> Run:
    found = items(*scores)
    result = result_of(figures(found), versions, 0.0, metric="Avg@6", agent="openai:m", limit=4)
    return Run(name, "openai:m", {"aime24": result}, {"aime24": found})


ONE = run("evals/one", [0, 0, 1, 0], data="file", data_sha256="aa")
TWO = run("evals/two", [1, 0, 1, 1], data="hub", data_sha256="aa")


def lines(text: str, start: str) -> list[list[str]]:
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return [row for row in rows if row[0].strip() == start]


def test_the_papers_rows_stand_over_ours_with_their_source_and_the_null_baseline_below():
    text = markdown([ONE])
    assert text.index("SynthAgent-14B") < text.index("`openai:m`") < text.rindex("null baselines")
    assert "arXiv 2601.22511" in text
    [row] = lines(text, "`openai:m`")
    assert row[1] == "25.0 (first 4)"


def test_every_figure_stands_with_what_it_rests_on():
    [row] = lines(markdown([ONE]), "aime24")[:1]
    assert row[:5] == ["aime24", "evals/one", "4", "1", "0.250"]
    assert "data_sha256 aa" in markdown([ONE])


def test_a_failed_suite_has_a_reason_and_no_figure():
    failed: SuiteResult = failure_of("the endpoint | is gone", 6, {}, 0.0)
    text = markdown([Run("evals/x", "openai:m", {"aime24": failed}, {})])
    assert "| aime24 | evals/x | the endpoint / is gone |" in text
    assert lines(text, "`openai:m`")[0][1] == "failed"


def test_two_runs_are_compared_in_pairs_where_the_data_is_the_same():
    [pair] = pairs([ONE, TWO])
    assert (pair.suite, pair.before, pair.after) == ("aime24", "evals/one", "evals/two")
    assert (pair.n, pair.difference) == (4, 0.5)
    assert "## Differences" in markdown([ONE, TWO])


def test_a_difference_under_another_judge_says_so():
    assert pairs([ONE, TWO])[0].note == ""
    judged = TWO.results["aime24"].model_copy(update={"judge": "openai:b", "search": "serper"})
    [pair] = pairs([ONE, Run("evals/two", "openai:m", {"aime24": judged}, TWO.items)])
    assert pair.difference == 0.5
    assert pair.note == "other judge: nobody, then openai:b; other search: nobody, then serper"


def test_other_data_is_not_compared():
    [pair] = pairs([ONE, run("evals/three", [1, 1, 1, 1], data="file", data_sha256="bb")])
    assert (pair.n, pair.difference, pair.note) == (None, None, "other versions: not comparable")


def test_harnesses_of_two_versions_are_not_compared():
    old, new = (run(name, [1, 0], harness=f"bfcl-eval {name}", data_sha256="aa") for name in ("1", "2"))
    [pair] = pairs([old, new])
    assert pair.note == "other versions: not comparable"
