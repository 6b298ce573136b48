"""A run folder survives being killed, filled up and opened twice, and knows what is left to do."""

import os
import signal

import orjson
import pytest

from synthagent.errors import Blame, InputError, RunFolderError
from synthagent.schema.episodes import Limits
from synthagent.storage.index import Index
from synthagent.storage.manifest import read_manifest
from synthagent.storage.run_folder import RunFolder

WRITER = """
import sys
from pathlib import Path
from synthagent.schema.episodes import AgentEvent, Episode, Stop
from synthagent.schema.scores import Scored, Verdict
from synthagent.storage.run_folder import RunFolder
folder = RunFolder.open(Path(sys.argv[1]), write=True)
done = folder.done()
print("open", flush=True)
for k in range(int(sys.argv[2])):
    if ("small", f"t{k}", 0) in done:
        continue
    events = (AgentEvent(text="x" * (k % 97) * 50),)
    episode = Episode(task_id=f"t{k}", agent="small", events=events, stop=Stop.USER_DONE)
    score = Scored(task_id=f"t{k}", sample=0, rubric_id="r", reward=1, gate=1, n=1, i=None,
                   subgoals=(Verdict(id="s", holds=True),))
    folder.add(episode, score)
    print(k, flush=True)
folder.close()
"""


def test_a_run_is_written_closed_and_read_by_a_stranger(tmp_path, make):
    task = make.task()
    with RunFolder.create(tmp_path / "deep" / "run", make.manifest(settings={"workers": 3}), [task]) as folder:
        folder.add(make.episode(task.id), make.scored(task.id, reward=0.5))
        folder.add(make.episode(task.id, sample=1), make.unscored(task.id, sample=1))
    with RunFolder.open(tmp_path / "deep" / "run") as folder:
        assert folder.manifest == make.manifest(settings={"workers": 3})
        assert list(folder.tasks()) == [task]
        assert list(folder.episodes()) == [make.episode(task.id), make.episode(task.id, sample=1)]
        assert [found.score for found in folder.scores()] == [
            make.scored(task.id, reward=0.5),
            make.unscored(task.id, sample=1),
        ]
        assert folder.load_episode("small", task.id, 1) == make.episode(task.id, sample=1)
        assert folder.done() == {("small", task.id, 0), ("small", task.id, 1)}
        with pytest.raises(InputError, match="no episode of large"):
            folder.load_episode("large", task.id, 1)
        with pytest.raises(RunFolderError, match="opened for reading"):
            folder.add(make.episode(task.id, sample=2))


def test_the_journals_are_plain_lines_that_name_agent_and_kind(tmp_path, make):
    with RunFolder.create(tmp_path / "run", make.manifest(), []) as folder:
        folder.add(make.episode(), make.scored())
    episode = orjson.loads((tmp_path / "run" / "episodes.jsonl").read_bytes())
    assert [event["kind"] for event in episode["events"]] == ["agent", "tool", "form"]
    score = orjson.loads((tmp_path / "run" / "scores.jsonl").read_bytes())
    assert score["agent"] == "small"
    assert score["score"]["kind"] == "scored"


def test_creating_over_a_run_or_over_other_files_is_refused_with_the_way_out(tmp_path, make):
    RunFolder.create(tmp_path / "run", make.manifest(), []).close()
    with pytest.raises(RunFolderError, match=r"--resume, or use another --out"):
        RunFolder.create(tmp_path / "run", make.manifest(), [])
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letters.txt").touch()
    with pytest.raises(RunFolderError, match=r"letters\.txt"):
        RunFolder.create(tmp_path / "home", make.manifest(), [])
    assert [entry.name for entry in (tmp_path / "home").iterdir()] == ["letters.txt"]
    with pytest.raises(RunFolderError, match="another --out"):
        RunFolder.create(tmp_path / "home" / "letters.txt", make.manifest(), [])
    with pytest.raises(RunFolderError, match="not a run folder"):
        RunFolder.open(tmp_path / "home")


def test_a_run_that_failed_before_it_began_leaves_nothing_in_the_way(tmp_path, make):
    def torn():
        yield make.task()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        RunFolder.create(tmp_path / "run", make.manifest(), torn())
    RunFolder.create(tmp_path / "run", make.manifest(), [make.task()]).close()
    (tmp_path / "run" / "manifest.json").unlink()
    (tmp_path / "run" / "episodes.jsonl").write_text("{}\n")
    with pytest.raises(RunFolderError, match="holds a run already"):
        RunFolder.create(tmp_path / "run", make.manifest(), [])


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"tasks_sha256": "11"}, "tasks_sha256 was '00', now '11'"),
        ({"n": 5}, "n was 4, now 5"),
        ({"seed": 1}, "seed was 0, now 1"),
        ({"protocol": "tools"}, "protocol was 'text', now 'tools'"),
        ({"limits": Limits(turns=16)}, "limits was"),
        ({"user": "openai:x"}, "user was 'facts'"),
        ({"map_store": "redis://there"}, "map_store was '', now 'redis://there'"),
        ({"agents": ("large",)}, "agents lacks small"),
        ({"sampling": {"temperature": 0.2}}, r"temperature was 0\.7, now 0\.2"),
        ({"weights": {"hf:policy": "22"}}, "the weights of hf:policy have changed"),
    ],
)
def test_resuming_with_other_settings_names_the_field(tmp_path, make, changes, named):
    first = make.manifest(sampling={"temperature": 0.7}, weights={"hf:policy": "11"})
    RunFolder.create(tmp_path / "run", first, []).close()
    with pytest.raises(RunFolderError, match=named) as caught:
        RunFolder.resume(tmp_path / "run", make.manifest(**changes))
    assert "--out" in str(caught.value)
    RunFolder.resume(tmp_path / "run", make.manifest()).close()


def test_resuming_may_add_agents_and_remembers_them(tmp_path, make):
    RunFolder.create(tmp_path / "run", make.manifest(), []).close()
    asked = {"sampling": {"temperature": 0.7}, "weights": {"gguf:large": "11"}}
    more = make.manifest(agents=("large", "small"), settings={"workers": 9}, **asked)
    RunFolder.resume(tmp_path / "run", more).close()
    found = read_manifest(tmp_path / "run" / "manifest.json")
    assert (found.agents, found.sampling, found.weights) == (("small", "large"), *asked.values())


def test_a_broken_manifest_names_its_field_and_version(tmp_path, make):
    RunFolder.create(tmp_path / "run", make.manifest(), []).close()
    path = tmp_path / "run" / "manifest.json"
    data = orjson.loads(path.read_bytes())
    path.write_bytes(orjson.dumps({**data, "n": "many"}))
    with pytest.raises(InputError, match=r"manifest\.json: n: .*not 'many'"):
        RunFolder.open(tmp_path / "run")
    path.write_bytes(orjson.dumps({**data, "schema": "synthagent.run/9"}))
    with pytest.raises(InputError, match=r"schema: unknown version 'synthagent.run/9'"):
        RunFolder.open(tmp_path / "run")
    path.write_bytes(b"{")
    with pytest.raises(InputError, match="not JSON"):
        RunFolder.open(tmp_path / "run")


def test_an_episode_killed_before_its_score_is_the_callers_to_score(tmp_path, make):
    with RunFolder.create(tmp_path / "run", make.manifest(), []) as folder:
        folder.add(make.episode(sample=0), make.scored(sample=0))
        folder.add(make.episode(sample=1))
        assert folder.unscored_keys() == {("small", "t1", 1)}
    with RunFolder.resume(tmp_path / "run", make.manifest()) as folder:
        assert folder.done() == {("small", "t1", 0), ("small", "t1", 1)}
        for key in folder.unscored_keys():
            folder.add_score(key.agent, make.scored(key.task_id, key.sample))
        assert folder.unscored_keys() == set()


def test_scoring_again_only_adds_and_the_latest_score_of_a_rubric_counts(tmp_path, make):
    with RunFolder.create(tmp_path / "run", make.manifest(), []) as folder:
        folder.add(make.episode(), make.scored(reward=0.0))
        before = (tmp_path / "run" / "scores.jsonl").read_bytes()
        for _ in folder.episodes():  # adding while iterating is what scoring again does
            folder.add_score("small", make.scored(reward=1.0))
            folder.add_score("small", make.scored(reward=0.25, rubric_id="r2"))
        assert [(found.score.rubric_id, found.score.reward) for found in folder.scores()] == [("r1", 1.0), ("r2", 0.25)]
        assert [(row.rubric_id, row.reward) for row in folder.index.rows()] == [("r2", 0.25)]
        assert (tmp_path / "run" / "scores.jsonl").read_bytes().startswith(before)


def test_what_infrastructure_spoiled_may_be_played_again_but_a_reward_stays(tmp_path, make):
    with RunFolder.create(tmp_path / "run", make.manifest(), []) as folder:
        folder.add(make.episode(sample=0), make.scored(sample=0, reward=0.0))
        folder.add(make.episode(sample=1), make.unscored(sample=1))
        folder.add(make.episode(sample=2), make.unscored(sample=2, blame=Blame.TASK))
        assert folder.done(retry=[Blame.INFRASTRUCTURE]) == {("small", "t1", 0), ("small", "t1", 2)}
        folder.add(make.episode(sample=1, turns=7), make.scored(sample=1))
        assert [(episode.sample, episode.turns) for episode in folder.episodes()] == [(0, 1), (2, 1), (1, 7)]
        assert folder.done(retry=[Blame.INFRASTRUCTURE]) == folder.done()
        with pytest.raises(RunFolderError, match="played and scored already"):
            folder.add(make.episode(sample=0), make.scored(sample=0))


def test_records_that_would_spoil_the_journal_are_refused(tmp_path, make):
    deep: list[object] = []
    for _ in range(300):
        deep = [deep]
    with RunFolder.create(tmp_path / "run", make.manifest(), []) as folder:
        with pytest.raises(ValueError, match="for an episode of"):
            folder.add(make.episode(), make.scored(sample=3))
        with pytest.raises(ValueError, match="not a number"):
            folder.add_score("small", make.scored(reward=float("nan")))
        event = make.episode().events[1].model_copy(update={"arguments": {"q": deep}})
        with pytest.raises(InputError, match="cannot be written as JSON"):
            folder.add(make.episode(events=(event,)))
        folder.add(make.episode(), make.scored())
        assert folder.done() == {("small", "t1", 0)}


def test_a_second_process_is_turned_away_with_the_writers_pid(tmp_path, make, start):
    path = tmp_path / "run"
    script = """
import sys
from pathlib import Path
from synthagent.errors import RunFolderError
from synthagent.storage.run_folder import RunFolder
try:
    RunFolder.open(Path(sys.argv[1]), write=True)
except RunFolderError as error:
    print(error)
print(len(RunFolder.open(Path(sys.argv[1])).done()))
"""
    with RunFolder.create(path, make.manifest(), []) as folder:
        folder.add(make.episode(), make.scored())
        folder.index.flush()
        with start(script, path) as process:
            message, count = process.communicate()[0].splitlines()
    assert f"process {os.getpid()} is writing" in message
    assert "--out" in message
    assert count == "1"  # reading is allowed beside the writer


def test_the_lock_of_a_killed_process_is_free_at_once(tmp_path, make, start):
    RunFolder.create(tmp_path / "run", make.manifest(), []).close()
    with start(WRITER, tmp_path / "run", 10**9) as process:
        assert process.stdout
        assert process.stdout.readline() == "open\n"
        with pytest.raises(RunFolderError, match=f"process {process.pid}"):
            RunFolder.open(tmp_path / "run", write=True)
        process.send_signal(signal.SIGKILL)
    RunFolder.open(tmp_path / "run", write=True).close()


def test_killed_again_and_again_a_run_comes_to_its_end_without_repeating_work(tmp_path, make, start, table_rows):
    path = tmp_path / "run"
    RunFolder.create(path, make.manifest(), []).close()
    for _ in range(5):
        with start(WRITER, path, 10**9) as process:
            assert process.stdout
            assert process.stdout.readline() == "open\n"
            for _ in range(50):
                reported = int(process.stdout.readline())
            process.send_signal(signal.SIGKILL)
        with RunFolder.open(path, write=True) as folder:
            played = [episode.task_id for episode in folder.episodes()]
            assert played == [f"t{k}" for k in range(len(played))]
            assert reported < len(played)
            assert len(folder.unscored_keys()) <= 1
            for key in folder.unscored_keys():
                folder.add_score(key.agent, make.scored(key.task_id, key.sample))
            live = table_rows(folder.index)
        with Index.rebuild(path) as rebuilt:
            assert table_rows(rebuilt) == live
    with start(WRITER, path, len(played) + 10) as process:
        assert process.communicate()[0].splitlines() == ["open", *(str(len(played) + k) for k in range(10))]
    with path.joinpath("episodes.jsonl").open() as stream:
        assert sum(1 for _ in stream) == len(played) + 10


def test_a_torn_line_is_cut_off_and_told(tmp_path, make):
    path = tmp_path / "run"
    with RunFolder.create(path, make.manifest(), []) as folder:
        folder.add(make.episode(), make.scored())
        folder.add(make.episode(sample=1), make.scored(sample=1))
    os.truncate(path / "episodes.jsonl", (path / "episodes.jsonl").stat().st_size - 20)
    assert len(list(RunFolder.open(path).episodes())) == 1
    with RunFolder.resume(path, make.manifest()) as folder:
        assert folder.done() == {("small", "t1", 0)}
        assert len(folder.mended) == 1
        assert "episodes.jsonl: a torn last line" in folder.mended[0]
        folder.add(make.episode(sample=2), make.scored(sample=2))
    with RunFolder.open(path) as folder:
        assert folder.done() == {("small", "t1", 0), ("small", "t1", 2)}


def test_a_full_disk_stops_the_run_and_loses_nothing(tmp_path, make):
    path = tmp_path / "run"
    with RunFolder.create(path, make.manifest(), []) as folder:
        folder.add(make.episode(), make.scored())
    kept = (path / "scores.jsonl").read_bytes()
    (path / "scores.jsonl").rename(path / "kept.jsonl")
    (path / "scores.jsonl").symlink_to("/dev/full")
    with (
        RunFolder.resume(path, make.manifest()) as folder,
        pytest.raises(RunFolderError, match=r"scores\.jsonl.*No space left.*--resume"),
    ):
        folder.add(make.episode(sample=1), make.scored(sample=1))
    (path / "kept.jsonl").replace(path / "scores.jsonl")
    with RunFolder.resume(path, make.manifest()) as folder:
        assert (path / "scores.jsonl").read_bytes() == kept
        assert folder.done() == {("small", "t1", 0), ("small", "t1", 1)}
        assert folder.unscored_keys() == {("small", "t1", 1)}


def test_files_that_may_not_grow_stop_the_run_and_a_resume_ends_it(tmp_path, make, start):
    path = tmp_path / "run"
    RunFolder.create(path, make.manifest(), []).close()
    limited = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
from synthagent.errors import RunFolderError
try:
    exec({WRITER!r})
except RunFolderError as error:
    print(error)
"""
    with start(limited, path, 1000) as process:
        said = process.communicate()[0].splitlines()
    assert process.returncode == 0
    assert str(path) in said[-1]
    assert "--resume" in said[-1]
    reported = [int(word) for word in said[1:-1]]
    with RunFolder.open(path) as folder:
        assert {("small", f"t{k}", 0) for k in reported} <= folder.done()
    with start(WRITER, path, 200) as process:
        process.communicate()
    assert process.returncode == 0
    with RunFolder.open(path) as folder:
        assert folder.done() == {("small", f"t{k}", 0) for k in range(200)}


def test_an_index_that_ran_out_of_space_catches_up_when_there_is_space_again(tmp_path, make, start, table_rows):
    path = tmp_path / "run"
    RunFolder.create(path, make.manifest(), []).close()
    script = """
import resource, sys
from pathlib import Path
from synthagent.errors import RunFolderError
from synthagent.schema.episodes import Episode, Stop
from synthagent.storage.run_folder import RunFolder
folder = RunFolder.open(Path(sys.argv[1]), write=True)
folder.done()
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
failures = 0
for k in range(1000):
    try:
        folder.add(Episode(task_id=f"t{k}", agent="small", stop=Stop.FAILED))
    except RunFolderError as error:
        failures += 1
        first = str(error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
folder.close()
print(failures, first)
"""
    with start(script, path) as process:
        said = process.communicate()[0]
    assert said.startswith("1 ")
    assert "index.sqlite: " in said
    with RunFolder.open(path) as folder:
        caught_up = table_rows(folder.index)
        assert len(folder.done()) == 1000
    with Index.rebuild(path) as rebuilt:
        assert table_rows(rebuilt) == caught_up
