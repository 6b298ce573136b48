"""What the viewer answers about runs, episodes and tasks."""

from pathlib import Path

import orjson

from synthagent.schema.episodes import Episode
from synthagent.storage.run_folder import RunFolder
from synthagent.storage.task_file import read_tasks
from tests.viewer import strange_runs


def keys_of(page):
    return [(row["agent"], row["task_id"], row["sample"]) for row in page["rows"]]


async def test_everything_that_was_opened_is_listed_with_its_figures(viewing, run: Path, tasks: Path):
    async with viewing(run, tasks) as ask:
        found = await ask.get("/api/library")
    [row] = found["runs"]
    assert (row["name"], row["episodes"], row["wanted"], row["tasks"]) == ("played", 24, 24, 6)
    assert row["live"] is False
    assert 0 < row["reward"] < 1
    assert row["blame"]["agent"] > 0
    assert found["tasks"] == [{"name": "tasks.jsonl", "tasks": 6}]


async def test_a_folder_of_runs_is_opened_whole_and_names_do_not_clash(viewing, run: Path, tasks: Path):
    async with viewing(run.parent, tasks, tasks) as ask:
        found = await ask.get("/api/library")
    assert [row["name"] for row in found["runs"]] == [f"{run.parent.name}.played"]
    assert len(found["tasks"]) == 1


async def test_episodes_come_by_the_page_filtered_and_sorted(viewing, run: Path):
    async with viewing(run) as ask:
        first = await ask.get("/api/runs/played/episodes", limit=10)
        rest = await ask.get("/api/runs/played/episodes", limit=100, offset=10)
        one = await ask.get("/api/runs/played/episodes", agent="scripted:reference", sample=1)
        best = await ask.get("/api/runs/played/episodes", sort="-reward", limit=1)
        bad = await ask.get("/api/runs/played/episodes", max="0", blame="agent")
    assert (first["total"], len(first["rows"]), len(rest["rows"])) == (24, 10, 14)
    assert len({*keys_of(first), *keys_of(rest)}) == 24
    assert one["total"] == 6
    assert {row["agent"] for row in one["rows"]} == {"scripted:reference"}
    assert best["rows"][0]["reward"] == 1.0
    assert bad["total"] > 0
    assert {row["reward"] for row in bad["rows"]} == {0.0}


async def test_a_filter_that_means_nothing_is_named(viewing, run: Path):
    async with viewing(run) as ask:
        assert "sort: 'colour'" in (await ask.get("/api/runs/played/episodes", 400, sort="colour"))["error"]
        assert "limit" in (await ask.get("/api/runs/played/episodes", 400, limit="many"))["error"]
        assert "min" in (await ask.get("/api/runs/played/episodes", 400, min="much"))["error"]
        assert "no run 'other'" in (await ask.get("/api/runs/other/episodes", 404))["error"]


async def test_words_are_searched_in_all_that_was_said_and_done(viewing, run: Path):
    with RunFolder.open(run) as folder:
        episodes = list(folder.episodes())
    word = next(event.tool for episode in episodes for event in episode.events if event.kind == "tool")
    wanted = {(e.agent, e.task_id, e.sample) for e in episodes if word.casefold() in said(e).casefold()}
    async with viewing(run) as ask:
        found = await ask.get("/api/runs/played/episodes", q=word, limit=100)
        nothing = await ask.get("/api/runs/played/episodes", q="xyzzyx")
        odd = await ask.get("/api/runs/played/episodes", q='" OR * NEAR( -')
    assert 0 < found["total"] < 24
    assert set(keys_of(found)) == wanted
    assert nothing["total"] == 0
    assert odd["total"] == 0


def said(episode: Episode) -> str:
    return orjson.dumps([event.model_dump(mode="json") for event in episode.events]).decode()


async def test_what_is_added_to_a_run_is_seen_and_found(viewing, run: Path, tmp_path: Path):
    copy = tmp_path / "growing"
    with RunFolder.open(run) as source:
        episodes, tasks = list(source.episodes()), list(source.tasks())
        with RunFolder.create(copy, source.manifest, tasks) as target:
            target.add(episodes[0])
        async with viewing(copy) as ask:
            before = await ask.get("/api/runs/growing/episodes", q=episodes[1].agent)
            with RunFolder.open(copy, write=True) as target:
                target.add(episodes[1].model_copy(update={"agent": "newcomer"}))
            # The index is looked over again after half a second.
            for _ in range(100):
                after = await ask.get("/api/runs/growing/episodes", q="newcomer")
                if after["total"]:
                    break
            library = await ask.get("/api/library")
    assert before["total"] == 1
    assert after["total"] == 1
    assert library["runs"][0]["episodes"] == 2


async def test_an_episode_is_told_whole_with_proof_and_what_each_write_changed(viewing, run: Path, tasks: Path):
    async with viewing(run) as ask:
        page = await ask.get("/api/runs/played/episodes", agent="scripted:reference", sort="-reward")
        row = page["rows"][0]
        found = await ask.get("/api/runs/played/episode", agent=row["agent"], task=row["task_id"], sample=row["sample"])
    with RunFolder.open(run) as folder:
        stored = folder.load_episode(row["agent"], row["task_id"], row["sample"])
    assert found["episode"] == stored.model_dump(mode="json")
    assert found["replay_error"] is None
    task = next(task for task in read_tasks(tasks) if task.id == row["task_id"])
    rubric = task.rubric
    assert [one["id"] for one in found["criteria"]] == [
        c.id for c in (*rubric.forbidden, *rubric.subgoals, *rubric.interactions)
    ]
    assert all(one["good"] for one in found["criteria"])
    assert any(one["events"] for one in found["criteria"])
    writes = [str(place) for place, event in enumerate(stored.events) if event.kind == "tool" and event.changed]
    assert sorted(found["changes"], key=int) == writes
    mine, *others = sorted(
        found["group"], key=lambda one: (one["agent"], one["sample"]) != (row["agent"], row["sample"])
    )
    assert mine["verdicts"] == {one["id"]: True for one in found["criteria"]}
    assert len(others) == 3
    refused = next(one for one in others if one["agent"] == "scripted:refuse")
    assert not all(refused["verdicts"].values())


async def test_an_episode_whose_world_answers_otherwise_now_says_so_and_is_shown_all_the_same(
    viewing, run: Path, tmp_path: Path
):
    copy = tmp_path / "altered"
    with RunFolder.open(run) as source:
        first = next(e for e in source.episodes() if any(v.kind == "tool" for v in e.events))
        events = [
            event.model_copy(update={"response": "[]"}) if event.kind == "tool" else event for event in first.events
        ]
        altered = first.model_copy(update={"events": tuple(events)})
        with RunFolder.create(copy, source.manifest, list(source.tasks())) as target:
            target.add(altered)
    async with viewing(copy) as ask:
        query = {"agent": first.agent, "task": first.task_id, "sample": first.sample}
        found = await ask.get("/api/runs/altered/episode", **query)
    assert "answers differently now" in found["replay_error"]
    assert found["score"] is None
    assert {one["good"] for one in found["criteria"]} == {None}


async def test_two_episodes_are_put_side_by_side(viewing, run: Path):
    async with viewing(run) as ask:
        page = await ask.get("/api/runs/played/episodes", limit=100)
        task_id = page["rows"][0]["task_id"]
        left, right = (f"played|scripted:{agent}|{task_id}|0" for agent in ("reference", "refuse"))
        same = await ask.get("/api/compare", left=left, right=left)
        other = await ask.get("/api/compare", left=left, right=right)
        wrong = await ask.get("/api/compare", 400, left="played", right=right)
    count = len(same["left"]["episode"]["events"])
    assert same["rows"] == [{"left": place, "right": place, "same": True} for place in range(count)]
    assert any(not row["same"] for row in other["rows"])
    for side in ("left", "right"):
        places = [row[side] for row in other["rows"] if row[side] is not None]
        assert places == list(range(len(other[side]["episode"]["events"])))
    assert "left: RUN|AGENT|TASK|SAMPLE" in wrong["error"]


async def test_tasks_have_facets_search_and_what_they_earned(viewing, run: Path, tasks: Path):
    listed = list(read_tasks(tasks))
    async with viewing(run, tasks) as ask:
        page = await ask.get("/api/tasks/tasks.jsonl")
        domain = listed[0].provenance.domain
        some = await ask.get("/api/tasks/tasks.jsonl", domain=domain)
        word = max(listed[0].brief.instruction.split(), key=len).strip(".,?!'")
        found = await ask.get("/api/tasks/tasks.jsonl", q=word)
    assert [row["id"] for row in page["rows"]] == [task.id for task in listed]
    assert sum(page["facets"]["domain"].values()) == 6
    assert some["total"] == sum(task.provenance.domain == domain for task in listed)
    assert some["facets"]["domain"] == page["facets"]["domain"]
    assert listed[0].id in [row["id"] for row in found["rows"]]
    assert all(row["episodes"] == 4 and row["reward"] is not None for row in page["rows"])


async def test_a_task_is_told_whole_with_its_family_and_its_players(viewing, run: Path, tasks: Path):
    task = next(iter(read_tasks(tasks)))
    async with viewing(run, tasks) as ask:
        found = await ask.get(f"/api/tasks/tasks.jsonl/{task.id}")
        missing = await ask.get("/api/tasks/tasks.jsonl/none", 400)
    assert found["task"]["brief"]["instruction"] == task.brief.instruction
    assert found["task"]["world"]["ddl"] == task.world.ddl
    assert task.id in [one["id"] for one in found["family"]]
    assert len(found["played"]) == 4
    assert "no task 'none'" in missing["error"]


async def test_paths_with_nothing_in_them_are_refused(cli_refusal, tmp_path: Path):
    assert "there is nothing here" in cli_refusal(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    assert "holds neither a run nor a training run" in cli_refusal(tmp_path / "empty")


async def test_a_run_that_grows_is_told_without_being_asked(viewing, run: Path, tmp_path: Path):
    copy = tmp_path / "live"
    with RunFolder.open(run) as source:
        episodes, tasks = list(source.episodes()), list(source.tasks())
        with RunFolder.create(copy, source.manifest, tasks) as target:
            target.add(episodes[0])
            async with viewing(copy) as ask, ask.stream("/api/live") as lines:
                assert await anext(lines) == ": here"
                library = await ask.get("/api/library")
                await ask.settled()
                target.add(episodes[1])
                told = [line async for line in until_data(lines)]
    assert library["runs"][0]["live"] is True
    found = orjson.loads(told[-1].removeprefix("data: "))
    assert found["name"] == "live"
    assert found["wanted"] == 24


async def until_data(lines):
    async for line in lines:
        yield line
        if line.startswith("data: "):
            return


async def test_an_episode_is_saved_without_scripts_and_hostile_text_stays_text(viewing, tmp_path: Path):
    task = strange_runs.hostile(tmp_path / "hostile")
    async with viewing(tmp_path / "hostile") as ask:
        [row] = (await ask.get("/api/runs/hostile/episodes"))["rows"]
        code, text, headers = await ask.raw(
            "/export/hostile/episode.html", params={"agent": row["agent"], "task": task.id}
        )
    assert code == 200
    assert headers["Content-Disposition"].startswith("attachment")
    assert "<script" not in text
    assert "<img" not in text
    assert "&lt;script&gt;window.hacked = 1" in text
    assert "\u202e" not in text
    assert "⟨U+202E⟩" in text
    assert strange_runs.UNBROKEN in text
