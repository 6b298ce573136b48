"""What is answered to the words themselves: help, typos, and who is told what with which exit code."""

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from rich.console import Console
from typer.main import get_command

from synthagent.cli.main import app

COMMANDS = {*get_command(app).commands} - {"models"} | {"models fetch", "models list", "models convert"}


def test_these_are_the_commands():
    assert {command.split()[0] for command in COMMANDS} == {
        "synth", "check", "show", "split", "rollout", "score", "report", "models", "quickstart", "doctor", "evolve",
        "import", "perturb", "audit", "simulate", "map", "serve", "select", "demos", "rubrics",
        "sft", "train", "corpus", "eval", "synth-reasoning", "export", "view",
    }  # fmt: skip


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_explains_itself_and_each_of_its_options(cli, command: str):
    done = cli(*command.split(), "--help")
    assert done.code == 0
    words = command.split()
    found = get_command(app).commands[words[0]]
    for word in words[1:]:
        found = found.commands[word]
    assert found.help.split(".")[0].split()[0] in done.out
    for option in found.params:
        assert option.help, f"{command} {option.name} says nothing of itself"
        if option.param_type_name == "option":
            assert option.opts[0] in done.out


def test_without_words_the_commands_are_listed_as_for_help(cli):
    listed = cli("--help")
    assert listed.code == 0
    assert all(f"  {command.split()[0]} " in listed.out for command in COMMANDS)
    bare = cli()
    assert (bare.code, bare.out + bare.err) == (2, listed.out)


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["sinth"], "'synth'"),
        (["repot"], "'report'"),
        (["models", "fecth"], "'fetch'"),
        (["rollout", "T", "--agnet", "scripted:done"], "--agent"),
        (["synth", "--sed", "1"], "--seed"),
    ],
)
def test_a_typo_is_answered_with_what_was_probably_meant(cli, words: list[str], meant: str):
    done = cli(*words)
    assert done.code == 2
    assert meant in done.err


@pytest.mark.parametrize(
    ("words", "known"),
    [
        (["synth", "--out", "T", "--domains", "libary"], "library"),
        (["synth", "--out", "T", "--teacher", "gpt"], "procedural"),
        (["synth", "--out", "T", "--difficulty", "extreme"], "easy, medium, hard, mixed"),
        (["synth", "--out", "T", "--goals", "many"], "2 or 1-3"),
        (["synth", "--out", "T", "--depth", "3-1"], "lower end first"),
        (["synth", "--out", "T", "--goals", "0"], "between 1 and 4"),
        (["rollout", "TASKS", "--out", "R", "--agent", "reference"], "scripted:NAME"),
        (["rollout", "TASKS", "--out", "R", "--agent", "scripted:referense"], "reference, careful, nothing, refuse"),
        (["rollout", "TASKS", "--out", "R", "--agent", "gpt:4"], "known: scripted, openai"),
        (["rollout", "TASKS", "--out", "R", "--agent", "openai:gpt"], "openai:MODEL@http://host:port/v1"),
        (["rollout", "TASKS", "--out", "R", "--agent", "openai:gpt@localhost:80"], "no http(s) URL"),
        # A key in an address would be kept in every record.
        (["rollout", "TASKS", "--out", "R", "--agent", "openai:gpt@http://h/v1?key=s3cret"], "ends with its path"),
        (["rollout", "TASKS", "--out", "R", "--agent", "gguf:nowhere.gguf"], "no file 'nowhere.gguf'"),
        (["rollout", "TASKS", "--out", "R", "--agent", "local:gpt-5"], "known: smollm2-135m"),
        (["rollout", "TASKS", "--out", "R", "--agent", "local:smollm2-135m"], "synthagent models fetch smollm2-135m"),
        (["rollout", "TASKS", "--out", "R", "--agent", "scripted:done", "--protocol", "xml"], "text, tools, tags"),
        (["rollout", "TASKS", "--out", "R", "--agent", "scripted:done", "--user", "gpt"], "forms: facts"),
        (["rollout", "nowhere.jsonl", "--out", "R", "--agent", "scripted:done"], "nowhere.jsonl: cannot be read"),
        (["split", "TASKS", "--out", "R", "--by", "persona"], "family, domain"),
        (["split", "TASKS", "--out", "R", "--shares", "0.8/0.1"], "0.8/0.1/0.1"),
        (["split", "TASKS", "--out", "R", "--shares", "0.8/0.3/0.1"], "add up to 1"),
        (["check", "nowhere.jsonl"], "nowhere.jsonl: cannot be read"),
        (["show", "TASKS", "ffffffff"], "no task 'ffffffff'"),
        (["models", "fetch", "gpt-5"], "smollm2-135m"),
        (["doctor", "--endpoint", "gpt"], "openai:MODEL@http://host:port/v1"),
    ],
)
def test_wrong_input_is_exit_code_2_and_the_message_names_the_way_out(
    cli, tasks: Path, tmp_path: Path, monkeypatch, words: list[str], known: str
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SYNTHAGENT_CACHE", str(tmp_path))  # no model has been fetched
    done = cli(*(str(tasks) if word == "TASKS" else word for word in words))
    assert done.code == 2
    assert known in " ".join((done.out + done.err).split())
    assert "Traceback" not in done.err
    assert not (tmp_path / "T").exists()
    assert not (tmp_path / "R" / "manifest.json").exists()


@pytest.mark.parametrize("command", [["report"], ["score"], ["show"]])
def test_what_is_no_run_folder_cannot_be_finished_exit_code_3(cli, tmp_path: Path, command: list[str]):
    done = cli(*command, tmp_path)
    assert done.code == 3
    assert f"{tmp_path}: not a run folder" in done.err


def test_a_file_is_no_run_folder_and_no_place_for_one(cli, tasks: Path):
    done = cli("score", tasks)
    assert (done.code, done.err) == (3, f"error: {tasks}: not a run folder, but a file\n")


@pytest.mark.parametrize(
    "words",
    [
        ["synth", "-n", "1", "--out"],
        ["perturb", "TASKS", "--out"],
        ["split", "TASKS", "--out"],
        ["rubrics", "TASKS", "--demos", "RUN", "--out"],
    ],
)
def test_a_folder_that_cannot_be_made_is_named(cli, tasks: Path, played: Path, tmp_path: Path, words: list[str]):
    (tmp_path / "letter").touch()
    known = {"TASKS": tasks, "RUN": played}
    done = cli(*(known.get(word, word) for word in words), tmp_path / "letter" / "out.jsonl")
    assert done.code == 3
    assert done.err.startswith(f"error: {tmp_path / 'letter' / 'out.jsonl'}")
    assert "use another --out" in done.err


def test_an_option_out_of_bounds_is_named_as_it_was_typed_and_not_as_the_files(cli, tasks, played, tmp_path: Path):
    config = tmp_path / "own.toml"
    config.write_text('reward = "strict"\n')
    done = cli("score", played, "--reward", "median", "--config", config)
    assert (done.code, done.err.startswith("error: --reward: ")) == (2, True), done.err
    done = cli("rollout", tasks, "--agent", "scripted:done", "--out", tmp_path / "run", "--tool-form", "xml")
    assert (done.code, done.err.startswith("error: --tool-form: ")) == (2, True), done.err


def test_who_interrupts_is_told_that_what_was_finished_is_kept(cli, played: Path, monkeypatch):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("synthagent.cli.report.run_report", interrupted)
    done = cli("report", played)
    assert (done.code, "what was finished is kept" in done.err) == (130, True)


def test_a_report_that_is_too_wide_has_a_column_for_each_agent(cli, played: Path, monkeypatch):
    def shown(width: int) -> list[str]:
        monkeypatch.setattr("synthagent.cli.console.console", lambda: Console(width=width, highlight=False))
        return cli("report", played).out.splitlines()

    narrow, wide = shown(80), shown(150)
    assert [cell.strip() for cell in narrow[1].split("┃")[1:-1]] == ["agent", "scripted:reference", "scripted:refuse"]
    assert ["reward mean", "1.000", "0.000"] in [[cell.strip() for cell in line.split("│")[1:-1]] for line in narrow]
    assert max(map(len, narrow)) <= 80
    assert [line.split("│")[1].strip() for line in wide if "│" in line] == ["scripted:reference", "scripted:refuse"]
    assert any("interactions" in line for line in wide), "no word is broken"


def test_what_is_shown_hangs_from_its_first_line_and_loses_no_word(cli, tasks: Path, played: Path, monkeypatch):
    def shown(width: int, *words: object) -> str:
        for module in ("console", "show"):
            monkeypatch.setattr(f"synthagent.cli.{module}.console", lambda: Console(width=width, highlight=False))
        return cli("show", *words).out

    (first, *_) = cli("show", tasks, "--json").json
    for words in ((tasks, first["id"]), (played, first["id"], "--agent", "scripted:refuse")):
        narrow, wide = shown(70, *words), shown(10_000, *words)
        squeezed = [re.sub(r"[\s─]", "", text) for text in (narrow, wide)]
        assert squeezed[0] == squeezed[1]
        assert max(map(len, narrow.splitlines())) <= 70
        starts = {line[:8] for line in wide.splitlines()}
        more = [line for line in narrow.splitlines() if line and line[:8] not in starts]
        assert more
        assert [line for line in more if not line.startswith("  ")] == []
    assert "blame: agent, " in wide


def test_the_installed_command_is_the_same_program(tmp_path: Path):
    program = [str(Path(sys.executable).with_name("synthagent"))]
    told = subprocess.run([*program, "--version"], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == version("synthagent")
    refused = subprocess.run([*program, "report", tmp_path], capture_output=True, text=True)
    assert (refused.returncode, refused.stderr.startswith("error: ")) == (3, True)


def test_help_does_not_wait_for_what_only_commands_need():
    heavy = "{'pydantic', 'aiohttp', 'anyio', 'yaml', 'jinja2', 'sqlite3', 'jsonschema_rs', 'xllamacpp'}"
    code = f"import sys, synthagent.cli.main; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
