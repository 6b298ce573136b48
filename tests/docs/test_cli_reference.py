"""docs/reference/cli.md names every command, option, default and column, and none that does not exist."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import typer

from synthagent.audit.passports import Passport
from synthagent.cli.main import app
from synthagent.config import Settings
from synthagent.evaluation.flips import Changes
from synthagent.evaluation.report import AgentLine, BlameLine, Comparison
from synthagent.simulation.scripted_agents import AGENTS
from synthagent.synthesis.procedural.teacher import LEVELS
from synthagent.training.report import Evaluation, Gain, TrainingReport, Trend
from tests.commands import synthagent
from tests.docs.pages import Section, codes, reference

CLI = reference("cli")


def walked(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Every command with its full name, groups without an option of their own left out."""
    if not hasattr(command, "commands") or command.params:
        yield name, command
    for word, below in getattr(command, "commands", {}).items():
        yield from walked(below, f"{name} {word}")


COMMANDS = dict(walked(typer.main.get_command(app), "synthagent"))


def section(name: str) -> Section:
    return CLI.section(name)


def documented(name: str) -> dict[str, str]:
    """Option or argument -> the cell of its default, for one command."""
    found = {}
    for head in ("option", "argument or option", "argument"):
        for names, default, _ in section(name).rows(head):
            found |= dict.fromkeys(codes(names), default.strip("`"))
    return found


def columns(name: str) -> list[list[str]]:
    """The columns of each table of a section that documents JSON."""
    tables = [table for table in section(name).tables if table[0][0] == "column"]
    return [[column for row in table[1:] for column in codes(row[0])] for table in tables]


def test_there_is_a_section_for_every_command_and_for_nothing_else():
    titles = {part.title for part in CLI.sections if part.title.startswith("synthagent")}
    assert titles == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_the_options_and_defaults_that_are_documented(name: str):
    real: dict[str, str] = {}
    for parameter in COMMANDS[name].params:
        words = [*parameter.opts, *parameter.secondary_opts]
        if parameter.param_type_name == "argument":
            words = [parameter.name.upper()]
        real |= dict.fromkeys(words, default_of(parameter))
    said = {word: default for word, default in documented(name).items() if word != "--help"}
    assert said.keys() == real.keys()
    # A default in words ("by difficulty") stands for an option that is not set; the settings hold some of those.
    settled = {f"--{key.replace('_', '-')}": value for key, value in defaults_of_settings().items()}
    if name in ("synthagent synth", "synthagent evolve", "synthagent synth-reasoning"):
        del settled["--max-tokens"]  # there it is a budget
    for word, default in said.items():
        expected = real[word] if real[word] != "none" else str(settled.get(word, "none"))
        assert default == expected or (expected == "none" and not default.isdigit()), word


def default_of(parameter: Any) -> str:
    if parameter.required:
        return "required"
    if parameter.secondary_opts:
        return parameter.opts[0] if parameter.default else parameter.secondary_opts[0]
    if parameter.default is False:
        return "off"
    if isinstance(parameter.default, tuple):
        return " ".join(map(str, parameter.default))
    return "none" if parameter.default is None else str(parameter.default)


def defaults_of_settings() -> dict[str, Any]:
    found = {**Settings().model_dump(), **Settings().limits.model_dump()}
    whole = {k: int(v) if isinstance(v, float) and v.is_integer() else v for k, v in found.items()}
    return {key: value for key, value in whole.items() if value is not None and key != "limits"}


def test_scripted_agents_and_difficulties_are_those_there_are():
    assert [codes(row[0])[0] for row in section("Agents").rows("scripted agent")] == list(AGENTS)
    [levels] = [table for table in section("synthagent synth").tables if table[0][0] == "difficulty"]
    said = {codes(row[0])[0]: row[1:] for row in levels[1:]}
    real = {
        name: [str(low) if low == high else f"{low}-{high}" for low, high in knobs.model_dump().values()]
        for name, knobs in LEVELS.items()
    }
    assert said == real
    assert levels[0][1:] == list(LEVELS["easy"].model_dump())


def test_reports_have_the_columns_that_are_documented():
    records = (AgentLine, Comparison, Changes, BlameLine)
    assert columns("synthagent report") == [list(record.model_fields) for record in records]


def test_training_reports_have_the_columns_that_are_documented():
    records = (TrainingReport, Gain, Evaluation, Trend)
    assert columns("Training reports") == [list(record.model_fields) for record in records]


def printed(*words: object) -> Any:
    """What a command prints with --json, parsed."""
    return synthagent(*words, "--json").json


def test_every_other_command_prints_the_columns_that_are_documented(tmp_path: Path):
    tasks, folder = tmp_path / "tasks.jsonl", tmp_path / "run"
    assert [list(printed("synth", "-o", tasks, "-n", 3, "--domains", "library"))] == columns("synthagent synth")
    assert [list(printed("split", tasks, "-o", tmp_path / "parts"))] == columns("synthagent split")
    rolled = printed("rollout", tasks, "--agent", "scripted:done", "-o", folder)
    assert list(rolled[0]) == columns("synthagent report")[0]
    shown = [list(printed("show", tasks)[0]), list(printed("show", folder)[0])]
    assert shown == columns("synthagent show")
    compared = printed("report", folder, "--compare", folder, "--blame")
    assert list(compared) == ["agents", "blame", "comparison", "changes"]
    assert [list(printed("perturb", tasks, "-o", tmp_path / "new.jsonl"))] == columns("synthagent perturb")
    assert [list(printed("audit", "diversity", tasks))] == columns("synthagent audit diversity")
    against = ("--against", tasks)
    assert [list(printed("audit", "decontaminate", tasks, *against))] == columns("synthagent audit decontaminate")
    (tmp_path / "none.json").write_text("[]")
    imported = printed("import", tmp_path / "none.json", "-o", tmp_path / "imported.jsonl")
    assert [list(imported)] == columns("synthagent import")
    assert [list(printed("score", folder))] == columns("synthagent score")
    exported = ("export", folder, tmp_path / "exported", "--to", "atif")
    assert [list(printed(*exported))] == columns("synthagent export")
    assert [list(printed("models", "list")[0])] == columns("synthagent models list")
    assert [list(printed("doctor")[0])] == columns("synthagent doctor")


def test_commands_about_rubrics_and_judges_print_the_columns_that_are_documented(tmp_path: Path):
    tasks, demos = tmp_path / "tasks.jsonl", tmp_path / "demos"
    printed("synth", "-o", tasks, "-n", 1, "--domains", "library")
    shown = printed("demos", tasks, "--agent", "scripted:reference", "-k", 1, "-o", demos)
    assert list(shown[0]) == list(AgentLine.model_fields)
    derived = printed("rubrics", tasks, "--demos", demos, "-o", tmp_path / "derived.jsonl")
    assert [list(derived)] == columns("synthagent rubrics")
    judged = printed("audit", "judge", demos, "--judge", "scripted:random", "-r", 2)
    assert [list(judged)] == columns("synthagent audit judge")


def test_passports_and_what_is_selected_by_them_have_the_columns_that_are_documented(tmp_path: Path):
    tasks = tmp_path / "tasks.jsonl"
    printed("synth", "-o", tasks, "-n", 1, "--domains", "library")
    given = printed("audit", "passport", tasks, "--agent", "scripted:done", "-n", 1)
    [said] = columns("synthagent audit passport")
    assert [*given, *given["passports"][0]] == said
    assert list(given["passports"][0]) == list(Passport.model_fields)
    rows = [name for row in reference("audit").section("Passports").rows("key") for name in codes(row[0])]
    assert rows == list(Passport.model_fields)
    bands = {codes(row[0])[0] for row in reference("audit").section("Passports").rows("band")}
    assert bands == set(given["by_band"])
    assert [list(printed("select", tasks, "-o", tmp_path / "kept.jsonl"))] == columns("synthagent select")


def test_commands_about_simulators_print_the_columns_that_are_documented(tmp_path: Path):
    tasks, hybrid, file = tmp_path / "tasks.jsonl", tmp_path / "hybrid.jsonl", tmp_path / "map.jsonl"
    printed("synth", "-o", tasks, "-n", 1, "--domains", "library")
    assert [list(printed("simulate", tasks, "-o", hybrid))] == columns("synthagent simulate")
    babble = ("--tools", "scripted:random")
    printed("rollout", hybrid, "--agent", "scripted:spam", *babble, "-o", tmp_path / "run")
    assert [list(printed("audit", "stats", hybrid))] == columns("synthagent audit stats")
    assert [list(printed("audit", "consistency", hybrid, *babble))] == columns("synthagent audit consistency")
    assert [list(printed("audit", "redteam", tasks))] == columns("synthagent audit redteam")
    talked = printed("audit", "user", tasks, "--user", "scripted:random")
    assert [list(talked)] == columns("synthagent audit user")
    teacher = ("--teacher", "scripted:random", "-o", tmp_path / "compiled.jsonl")
    assert [list(printed("audit", "compile", hybrid, *teacher))] == columns("synthagent audit compile")
    store = f"{hybrid}.d/map.sqlite"
    assert [list(printed("map", "export", store, "-o", file))] == columns("synthagent map export")
    assert [list(printed("map", "import", tmp_path / "new.sqlite", file))] == columns("synthagent map import")


def test_commands_about_a_corpus_print_the_columns_that_are_documented(tmp_path: Path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "ferry.txt").write_text("The night ferry leaves at ten.")
    corpus = tmp_path / "corpus.sqlite"
    assert [list(printed("corpus", "build", tmp_path / "notes", "-o", corpus))] == columns("synthagent corpus build")
    [hit] = printed("corpus", "search", corpus, "ferry")
    assert [list(hit)] == columns("synthagent corpus search")


def test_commands_about_evaluations_print_the_columns_that_are_documented(tmp_path: Path):
    problems, folder = tmp_path / "sums.jsonl", tmp_path / "evals"
    rows = [orjson.dumps({"problem": f"What is {n}+1?", "answer": str(n + 1)}) for n in range(30)]
    problems.write_bytes(b"\n".join(rows))
    words = ("--suite", "aime24", "--data-file", f"aime24={problems}", "--limit", 1, "--trials", 1, "-o", folder)
    run = printed("eval", "run", *words, "--agent", "scripted:reference")
    said = [name for row in reference("evaluation").section("report.json").rows("field") for name in codes(row[0])]
    assert sorted(run["aime24"]) == sorted(said)
    told = printed("eval", "report", folder, folder)
    assert list(told["results"][0])[:2] == ["run", "suite"]
    assert [list(told["differences"][0])] == columns("synthagent eval report")
    listed = printed("eval", "list")
    assert [list(listed[0])] == columns("synthagent eval list")
    suites = {codes(row[0])[0]: row[1] for row in reference("evaluation").section("Suites").rows("suite")}
    assert suites == {row["suite"]: str(row["size"]) for row in listed}


def test_check_prints_the_columns_that_are_documented(tmp_path: Path):
    tasks = tmp_path / "tasks.jsonl"
    printed("synth", "-o", tasks, "-n", 1, "--domains", "library")
    task = orjson.loads(tasks.read_bytes())
    del task["id"], task["reference"]
    tasks.write_bytes(orjson.dumps(task))
    figures = printed("check", tasks)
    [said] = columns("synthagent check")
    assert [*figures, *figures["objections"][0]] == said
