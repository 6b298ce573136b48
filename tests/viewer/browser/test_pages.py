"""Every page, driven as a person drives it, on runs made here. Screenshots are kept: see `make test-viewer`."""

import re
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from synthagent.storage.task_file import read_tasks
from tests.viewer import made_runs, strange_runs
from tests.viewer.browser.conftest import viewer
from tests.viewer.test_training import trained_run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def url(run: Path, tasks: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A viewer of everything."""
    home = tmp_path_factory.mktemp("made")
    strange_runs.hostile(home / "hostile")
    strange_runs.long(home / "long", 2_000)
    strange_runs.many(home / "many", 10_000)
    trained = trained_run(run, home / "trained")
    made_runs.course(made_runs.rejected(tasks, home).with_name("copy.jsonl.d"), strange_runs.MARK)
    others = (made_runs.worse(run, home / "worse"), made_runs.simulated(home), made_runs.taped(tasks, home / "taped"))
    paths = (run, tasks, home / "hostile", home / "long", home / "many", trained, *others, home / "copy.jsonl")
    with viewer(home / "cache", *paths) as found:
        yield found


def violations(page: Any) -> list[str]:
    """What axe calls serious or critical."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = axe.Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {node['target']}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def test_runs(page, url, picture):
    page.goto(url)
    page.get_by_role("link", name="played").wait_for()
    picture(page, "runs")
    assert violations(page) == []
    page.keyboard.press("?")
    page.get_by_role("dialog").wait_for()
    picture(page, "keys")


def test_a_run_is_filtered_by_its_address_and_walked_by_keys(page, url, picture):
    page.goto(f"{url}/#/run/played")
    page.get_by_text("24 found").wait_for()
    picture(page, "run")
    assert violations(page) == []
    page.get_by_label("agent", exact=True).select_option("scripted:refuse")
    page.get_by_text("12 found").wait_for()
    assert "agent=scripted%3Arefuse" in page.url
    page.reload()
    page.get_by_text("12 found").wait_for()
    page.locator("body").press("j")
    assert "at=1" in page.url
    page.locator("body").press("Enter")
    page.get_by_role("heading", name=re.compile("scripted:refuse on task")).wait_for()
    page.locator("body").press("u")
    page.get_by_text("24 found").wait_for()


def test_an_episode_shows_events_proof_and_what_a_write_changed(page, url, picture):
    page.goto(f"{url}/#/run/played?agent=scripted%3Areference&sort=-reward")
    page.get_by_text("12 found").wait_for()
    page.locator("body").press("Enter")
    page.get_by_role("heading", name="Rubric").wait_for()
    proof = page.get_by_role("button", name=re.compile("proof: event")).first
    number = proof.inner_text()
    proof.click()
    page.get_by_role("heading", name=re.compile(f"^Event {number},")).wait_for()
    assert f"event={number}" in page.url
    assert violations(page) == []
    page.get_by_text("✎").first.click()
    page.get_by_role("heading", name="what it changed").wait_for()
    picture(page, "episode")
    page.locator("body").press("d")
    picture(page, "episode-dark")
    assert violations(page) == []
    shown = page.locator(".timeline .row:not(.head)").count()
    page.get_by_role("button", name=re.compile("user")).click()
    assert page.locator(".timeline .row:not(.head)").count() < shown
    assert page.locator(".timeline .lane-user").count() == 0


def test_an_episode_is_saved_as_one_file(page, url, picture, tmp_path):
    page.goto(f"{url}/#/run/played?agent=scripted%3Areference&sort=-reward")
    page.get_by_text("12 found").wait_for()
    page.locator("body").press("Enter")
    with page.expect_download() as waiting:
        page.get_by_role("link", name="save as one file").click()
    path = tmp_path / "episode.html"
    waiting.value.save_as(path)
    assert "<script" not in path.read_text()
    page.goto(path.as_uri())
    page.get_by_role("heading", name="Rubric").wait_for()
    picture(page, "saved-episode")


def test_two_episodes_are_compared(page, url, picture):
    page.goto(f"{url}/#/run/played?sort=task")
    page.get_by_text("24 found").wait_for()
    page.locator("body").press("x")
    page.get_by_role("button", name="Compare with the marked one").wait_for()
    for _ in range(2):
        page.locator("body").press("j")
    page.locator("body").press("x")
    page.get_by_text(re.compile(r"\d+ of \d+ rows differ")).wait_for()
    picture(page, "compare")
    assert violations(page) == []


def test_tasks_and_one_of_them(page, url, picture, tasks):
    task = next(iter(read_tasks(tasks)))
    page.goto(f"{url}/#/tasks/tasks.jsonl")
    page.get_by_text("6 found").wait_for()
    picture(page, "tasks")
    assert violations(page) == []
    page.get_by_label("domain", exact=True).select_option(task.provenance.domain)
    page.get_by_role("link", name=task.id).click()
    page.get_by_role("heading", name=f"Task {task.id}").wait_for()
    page.get_by_text(task.hidden.goal).wait_for()
    for summary in page.locator("summary").all()[:2]:
        summary.click()
    picture(page, "task")
    assert violations(page) == []


def test_a_person_plays(page, url, picture, tasks):
    task = next(iter(read_tasks(tasks)))
    page.goto(f"{url}/#/play/tasks.jsonl/{task.id}")
    page.get_by_text(task.brief.instruction).wait_for()
    page.get_by_label("tool", exact=True).select_option("ask_user")
    page.get_by_label(re.compile("^question")).fill(f"What is your {task.hidden.facts[0].topic}?")
    page.get_by_role("button", name="Call ask_user").click()
    page.locator(".talk article.tool").wait_for()
    picture(page, "play")
    assert violations(page) == []
    page.get_by_label("last word").fill("I am sorry, I cannot do that.")
    page.get_by_role("button", name="Say it and end").click()
    page.get_by_text("The episode is over.").wait_for()
    page.get_by_role("heading", name="Rubric").wait_for()
    picture(page, "play-over")
    page.get_by_role("button", name=re.compile("^Keep it in")).click()
    page.get_by_role("link", name="try 0 in person").click()
    page.get_by_role("heading", name=f"person on task {task.id}, try 0").wait_for()
    assert violations(page) == []


def test_two_runs_are_compared(page, url, picture):
    page.goto(url)
    page.get_by_role("button", name="mark played").click()
    page.get_by_role("button", name="compare played with worse").click()
    page.get_by_role("heading", name="Two runs").wait_for()
    page.get_by_role("heading", name="Tasks on which they differ most").wait_for()
    picture(page, "versus")
    assert violations(page) == []
    page.locator("body").press("d")
    picture(page, "versus-dark")
    assert violations(page) == []
    page.get_by_role("link", name=re.compile("^compare episodes of task")).first.click()
    page.get_by_text(re.compile(r"\d+ of \d+ rows differ")).wait_for()


def test_a_comparison_is_saved_as_one_file(page, url, picture, tmp_path):
    page.goto(f"{url}/#/versus?left=played&right=worse")
    with page.expect_download() as waiting:
        page.get_by_role("link", name="save as one file").click()
    waiting.value.save_as(tmp_path / "report.html")
    page.goto((tmp_path / "report.html").as_uri())
    page.get_by_role("heading", name="Compared with played").wait_for()
    picture(page, "saved-report")


def test_what_was_rejected(page, url, picture):
    page.goto(f"{url}/#/tasks/copy.jsonl")
    page.get_by_text("6 found").wait_for()
    page.get_by_label("show", exact=True).select_option("no")
    page.get_by_text("4 found").wait_for()
    assert "kept=no" in page.url
    picture(page, "rejected")
    assert violations(page) == []
    page.get_by_label("stage", exact=True).select_option("review")
    page.get_by_text("1 found", exact=True).wait_for()
    page.locator("body").press("Enter")
    page.get_by_role("heading", name="review: not understood").wait_for()
    page.locator("summary", has_text="scenario").last.click()
    page.get_by_text("Think of one everyday errand.").first.wait_for()
    picture(page, "rejected-one")
    assert page.evaluate("window.hacked") is None
    assert violations(page) == []


def test_the_entry_behind_a_simulated_answer(page, url, picture):
    page.goto(f"{url}/#/run/made")
    page.get_by_text("2 found").wait_for()
    page.locator("body").press("Enter")
    page.locator(".timeline .lane-tool").first.click()
    page.get_by_text("written by").first.wait_for()
    assert page.get_by_text("model scripted:random").count() > 0
    picture(page, "entry")
    assert violations(page) == []


def test_the_exchange_behind_a_turn_and_a_fold_that_is_remembered(page, url, picture):
    page.goto(f"{url}/#/run/taped?agent=&sort=-turns")
    page.get_by_text("8 found").wait_for()
    page.locator("body").press("Enter")
    page.locator(".timeline .lane-agent").nth(2).click()
    page.get_by_role("heading", name="exchange with the model").wait_for()
    page.locator("summary", has_text="tokens read").click()
    page.get_by_role("heading", name=re.compile("^what the model answered")).wait_for()
    page.locator("summary", has_text="Turns (3)").click()
    page.locator("table.turns").wait_for()
    picture(page, "exchange")
    assert violations(page) == []
    page.reload()
    page.locator("table.turns").wait_for()
    page.get_by_role("heading", name=re.compile("^what the model answered")).wait_for()
    page.locator("summary", has_text="Turns (3)").click()
    page.reload()
    page.locator("summary", has_text="Turns (3)").wait_for()
    assert not page.locator("table.turns").is_visible()


def test_training(page, url, picture):
    page.goto(f"{url}/#/training/trained")
    page.locator("canvas").first.wait_for()
    page.get_by_label("episodes of step").select_option("1")
    page.get_by_role("heading", name="Episodes of step 1").wait_for()
    picture(page, "training")
    assert violations(page) == []
    page.locator("td a").first.click()
    page.get_by_role("heading", name="Rubric").wait_for()


def test_hostile_text_is_text(page, url, picture):
    page.goto(f"{url}/#/run/hostile")
    page.get_by_text("1 found").wait_for()
    picture(page, "hostile-run")
    page.locator("body").press("Enter")
    page.get_by_role("heading", name="Rubric").wait_for()
    for _ in range(4):
        assert page.get_by_text("window.hacked = 1").count() > 0
        page.locator("body").press("j")
    page.locator("body").press("k")
    page.locator("body").press("k")
    page.locator("body").press("k")
    picture(page, "hostile-episode")
    said = page.locator(".pane .said").first.inner_text()
    assert "⟨U+202E⟩" in said
    assert "⟨U+001B⟩" in said
    assert said.count("x") >= 100_000
    assert page.evaluate("window.hacked") is None
    assert page.locator("#app script, #app img").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_two_thousand_events_are_a_bounded_number_of_rows(page, url, picture):
    page.goto(f"{url}/#/run/long")
    page.get_by_text("1 found").wait_for()
    page.locator("body").press("Enter")
    page.get_by_text("2000 of 2000 events").wait_for()
    rows = page.locator(".timeline .row:not(.head)")
    most = rows.count()
    for key in ("End", "PageUp", "Home", "PageDown"):
        page.locator("body").press(key)
        most = max(most, rows.count())
    assert most < 80
    page.locator("body").press("End")
    page.get_by_role("heading", name="Event 1999, user").wait_for()
    picture(page, "long")


def test_ten_thousand_episodes(page, url, picture):
    page.goto(f"{url}/#/run/many")
    page.get_by_text("10,000 found").wait_for()
    # The first search builds the index; later ones only look.
    asked(url, "many", "q=needle")
    first, found = timed(url, "many", "limit=200")
    search, hits = timed(url, "many", "limit=200&q=needle")
    common, _ = timed(url, "many", "limit=200&q=hay")
    begun = time.perf_counter()
    with urllib.request.urlopen(f"{url}/api/runs/many") as response:
        assert orjson.loads(response.read())["agents"][0]["episodes"] == 10_000
    print(f"10,000 episodes: figures {time.perf_counter() - begun:.3f} s")
    print(f"10,000 episodes: first page {first:.3f} s, search {search:.3f} s, of a word in all {common:.3f} s")
    assert (found["total"], hits["total"]) == (10_000, 1)
    assert first < 1.0
    assert search < 0.3
    page.get_by_label("search").fill("needle")
    page.get_by_text("1 found", exact=True).wait_for()
    picture(page, "many")
    page.get_by_label("search").fill("")
    page.get_by_text("10,000 found").wait_for()
    page.locator("body").click()
    page.locator("body").press("End")
    page.locator(".row.chosen >> text=9999").wait_for()
    assert page.locator(".rows .row").count() < 80


def asked(url: str, run: str, query: str) -> Any:
    with urllib.request.urlopen(f"{url}/api/runs/{run}/episodes?{query}") as response:
        return orjson.loads(response.read())


def timed(url: str, run: str, query: str) -> tuple[float, Any]:
    """The least of three: the machine may be busy with something else."""
    times, found = [], None
    for _ in range(3):
        begun = time.perf_counter()
        found = asked(url, run, query)
        times.append(time.perf_counter() - begun)
    return min(times), found
