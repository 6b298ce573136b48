"""Harnesses that are no benchmark."""

from pathlib import Path

import pytest

from synthagent.errors import InputError
from synthagent.evaluation.gateway import Gateway
from synthagent.evaluation.harness_run import Drive, drive
from tests.harnesses import HERE, PREFACE, Small


@pytest.fixture
def small(tmp_path: Path) -> Small:
    """Makes a job out of a program's text. The program finds its order in `order`, and `post(role)` asks a model."""

    def make(program: str, **more: object) -> Drive:
        (tmp_path / "driver").mkdir()
        (tmp_path / "work").mkdir()
        driver = tmp_path / "driver" / "driver.py"
        driver.write_text(PREFACE + program)
        given = {"order": {}, "collect": lambda: 0, "total": 1, **more}
        return Drive(HERE, driver, work=tmp_path / "work", log=tmp_path / "log", **given)  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def confined(tmp_path_factory: pytest.TempPathFactory) -> None:
    """For tests that need namespaces: skips them where there are none."""
    folder = tmp_path_factory.mktemp("confined")
    (folder / "driver.py").write_text("")
    (folder / "work").mkdir()
    job = Drive(HERE, folder / "driver.py", {}, folder / "work", folder / "log", collect=lambda: 0, total=0)
    try:
        drive(job, Gateway({}))
    except InputError as error:
        pytest.skip(str(error))
