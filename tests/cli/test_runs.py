"""rollout, score, report and show: what a run folder is made of and what can be asked of it."""

from pathlib import Path

import orjson
import pytest

REPORT = [
    "agent", "episodes", "reward_mean", "reward_low", "reward_high", "gate_violations", "subgoals_mean",
    "interactions_mean", "unscored", "blame", "tokens", "seconds",
]  # fmt: skip


def test_a_report_is_a_line_an_agent(cli, played: Path):
    reference, refuse = cli("report", played, "--json").json
    assert list(reference) == list(refuse) == REPORT
    assert (reference["agent"], reference["episodes"], reference["reward_mean"]) == ("scripted:reference", 16, 1.0)
    assert (reference["unscored"], reference["gate_violations"], reference["blame"]) == (0, 0, {})
    assert refuse["reward_low"] <= refuse["reward_mean"] <= refuse["reward_high"]
    assert refuse["reward_mean"] < 0.5
    assert refuse["blame"].get("agent", 0) > 0


def test_the_table_has_the_columns_of_the_json(cli, played: Path):
    table = " ".join(cli("report", played).out.split())
    assert all(word in table for column in REPORT for word in column.split("_"))
    assert "scripted:reference" in table


def test_rollout_prints_the_report_of_what_it_played(cli, tasks: Path, tmp_path: Path):
    run = tmp_path / "run"
    told = cli("rollout", tasks, "--agent", "scripted:reference", "--limit", 3, "--out", run, "--json")
    assert told.json == cli("report", run, "--json").json
    assert told.json[0]["episodes"] == 3


def test_a_comparison_is_paired_by_task(cli, tasks: Path, played: Path, tmp_path: Path):
    other = tmp_path / "other"
    cli("rollout", tasks, "--agent", "scripted:nothing", "--out", other)
    told = cli("report", played, "--compare", other, "--json").json
    assert list(told) == ["agents", "comparison", "changes"]
    assert [list(line) for line in told["comparison"]] == 2 * [
        ["agent", "tasks", "families", "difference", "low", "high", "detectable"]
    ]
    best = told["comparison"][0]
    assert (best["agent"], best["tasks"], best["difference"]) == ("scripted:reference", 8, 1.0)
    assert "paired by task" in " ".join(cli("report", played, "--compare", other).out.split())


def test_scoring_again_changes_nothing_and_the_hash_says_so(cli, played: Path):
    before = (played / "scores.jsonl").read_bytes()
    first, second = (cli("score", played, "--json").json for _ in range(2))
    assert list(first) == ["episodes", "changed", "unscored", "reward_hash"]
    assert first == second
    assert (first["episodes"], first["changed"], first["unscored"]) == (32, 0, 0)
    assert (played / "scores.jsonl").read_bytes() == before


def test_another_run_of_the_same_agents_has_the_same_reward_hash(cli, tasks: Path, played: Path, tmp_path: Path):
    agents = ("--agent", "scripted:reference", "--agent", "scripted:refuse")
    cli("rollout", tasks, *agents, "-n", 2, "--out", tmp_path / "run", "--in-flight", 1)
    one, two = (cli("score", run, "--json").json["reward_hash"] for run in (played, tmp_path / "run"))
    assert one == two


def test_an_altered_answer_of_a_tool_is_unscored_on_scoring_again_never_a_reward(cli, tasks: Path, tmp_path: Path):
    run = tmp_path / "run"
    cli("rollout", tasks, "--agent", "scripted:reference", "--limit", 2, "--out", run)
    journal = run / "episodes.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b'"response":"', b'"response":" ', 1))
    (run / "index.sqlite").unlink()
    told = cli("score", run, "--json").json
    assert (told["changed"], told["unscored"]) == (1, 1)
    assert cli("report", run, "--json").json[0]["blame"] == {"infrastructure": 1}


def test_show_lists_the_tasks_of_a_file(cli, tasks: Path):
    rows = cli("show", tasks, "--json").json
    assert len(rows) == 8
    assert list(rows[0]) == ["id", "domain", "goals", "twin", "legal", "features", "facts", "instruction"]
    assert rows[0]["instruction"].split()[0] in cli("show", tasks).out


def test_show_tells_one_task_whole_by_the_beginning_of_its_id(cli, tasks: Path):
    task = orjson.loads(tasks.read_bytes().splitlines()[0])
    text = " ".join(cli("show", tasks, task["id"][:8]).out.split())
    for part in ("What the agent sees", "What only the user knows", "The world", "The rubric", "A solution"):
        assert part in text
    assert " ".join(task["hidden"]["facts"][0]["text"].split()) in text
    whole = cli("show", tasks, task["id"], "--json").json
    assert (whole["id"], whole["brief"]) == (task["id"], task["brief"])


def test_show_lists_the_episodes_of_a_run(cli, played: Path):
    rows = cli("show", played, "--agent", "scripted:refuse", "--json").json
    assert len(rows) == 16
    assert list(rows[0]) == [
        "agent", "task_id", "sample", "stop", "reward", "gate", "n", "i", "turns", "malformed", "seconds",
    ]  # fmt: skip
    assert {row["agent"] for row in rows} == {"scripted:refuse"}


def test_show_tells_one_episode_with_the_proof_of_its_reward(cli, tasks: Path, played: Path):
    task = orjson.loads(tasks.read_bytes().splitlines()[0])
    words = ("show", played, task["id"], "--agent", "scripted:reference", "--sample", 1)
    text = cli(*words).out
    assert "reward 1.000 = gate 1" in text
    assert "done sub-goal" in text
    (found,) = cli(*words, "--json").json
    assert list(found) == ["episode", "score"]
    assert (found["episode"]["sample"], found["score"]["reward"]) == (1, 1.0)
    missing = cli("show", played, task["id"], "--sample", 7)
    assert (missing.code, "no episode" in missing.err) == (2, True)


def test_a_split_keeps_families_together_and_loses_nothing(cli, tasks: Path, tmp_path: Path):
    parts = cli("split", tasks, "--out", tmp_path / "parts", "--shares", "0.5/0.25/0.25", "--json").json
    assert list(parts) == ["train", "dev", "test"]
    families: list[set[str]] = []
    found = []
    for part, count in parts.items():
        rows = [orjson.loads(line) for line in (tmp_path / "parts" / f"{part}.jsonl").read_bytes().splitlines()]
        assert len(rows) == count
        families.append({row["family"] for row in rows})
        found += [row["id"] for row in rows]
    assert sorted(found) == sorted(orjson.loads(line)["id"] for line in tasks.read_bytes().splitlines())
    assert sum(map(len, families)) == len(set.union(*families))


def test_a_run_that_is_there_is_not_overwritten_and_resume_plays_nothing_twice(cli, tasks: Path, tmp_path: Path):
    words = ("rollout", tasks, "--agent", "scripted:reference", "--limit", 4, "--out", tmp_path / "run")
    assert cli(*words).code == 0
    before = (tmp_path / "run" / "episodes.jsonl").read_bytes()
    again = cli(*words)
    assert again.code == 3
    assert "--resume" in again.err
    resumed = cli(*words, "--resume")
    assert (resumed.code, (tmp_path / "run" / "episodes.jsonl").read_bytes()) == (0, before)
    other = cli(*words, "--resume", "-n", 2)
    assert (other.code, "n was 1, now 2" in other.err) == (3, True)
    joined = cli(*words, "--agent", "scripted:nothing", "--resume", "--json")
    assert [line["episodes"] for line in joined.json] == [4, 4]


@pytest.mark.parametrize("protocol", ["text", "tools", "tags"])
def test_the_reference_is_worth_one_under_every_protocol(cli, tasks: Path, tmp_path: Path, protocol: str):
    words = ("--agent", "scripted:reference", "--protocol", protocol, "--json")
    (line,) = cli("rollout", tasks, *words, "--out", tmp_path / "run").json
    assert (line["reward_mean"], line["unscored"]) == (1.0, 0)


def test_a_limit_cuts_the_episode_and_is_scored_as_it_stands(cli, tasks: Path, tmp_path: Path):
    words = ("--agent", "scripted:reference", "--turns", 2, "--out", tmp_path / "run")
    (line,) = cli("rollout", tasks, *words, "--json").json
    assert line["unscored"] == 0
    assert line["reward_mean"] < 1
    assert {row["stop"] for row in cli("show", tmp_path / "run", "--json").json} == {"turn_limit"}


def test_settings_come_from_the_file_here_and_options_win(cli, tasks: Path, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("synthagent.toml").write_text("in_flight = 3\ntemperature = 0.1\n[limits]\nturns = 9\nmalformed = 2\n")
    words = ("--agent", "scripted:done", "--limit", 1, "--turns", 4, "--out", "run")
    assert cli("rollout", tasks, *words).code == 0
    manifest = orjson.loads(Path("run/manifest.json").read_bytes())
    assert (manifest["limits"]["turns"], manifest["limits"]["malformed"]) == (4, 2)
    assert (manifest["settings"]["in_flight"], manifest["settings"]["temperature"]) == (3, 0.1)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("in_flight = 0\n", "own.toml: in_flight: "),
        ("in_fligth = 4\n", "own.toml: in_fligth: "),
        ("[limits]\nturns = 'many'\n", "own.toml: limits.turns: "),
        ("limits = 7\n", "own.toml: limits"),
        ("in_flight = = 4\n", "own.toml: cannot be read: "),
        (None, "own.toml: cannot be read: "),
    ],
)
def test_a_mistake_in_the_settings_is_named_with_file_and_field(
    cli, tasks: Path, tmp_path: Path, text: str | None, complaint: str
):
    config = tmp_path / "own.toml"
    if text is not None:
        config.write_text(text)
    words = ("--agent", "scripted:done", "--config", config, "--malformed", 3, "--out", tmp_path / "run")
    done = cli("rollout", tasks, *words)
    assert done.code == 2
    assert complaint in done.err
    assert not (tmp_path / "run").exists()


def test_quickstart_without_a_model_goes_from_personas_to_rewards(cli, tmp_path: Path):
    rows = cli("quickstart", "--out", tmp_path / "q", "-n", 6, "--no-model", "--json").json
    assert {row["agent"]: row["reward_mean"] for row in rows}["scripted:reference"] == 1.0
    assert cli("show", tmp_path / "q" / "run", "--json").code == 0


def test_quickstart_shows_the_trajectory_of_one_real_task(cli, tmp_path: Path):
    done = cli("quickstart", "--out", tmp_path / "q", "-n", 4, "--no-model")
    assert done.code == 0
    assert "reward 1.000" in done.out


def test_models_and_doctor_say_what_is_here(cli):
    models = cli("models", "list", "--json").json
    assert list(models[0]) == ["name", "title", "licence", "megabytes", "here"]
    rows = cli("doctor", "--json").json
    assert all(list(row) == ["what", "works", "necessary", "detail"] for row in rows)
    assert {row["what"]: row["works"] for row in rows}["sqlite"] is True
