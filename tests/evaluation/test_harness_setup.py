"""Installing a harness, and knowing that it is still the one that was installed. Nothing is downloaded here."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from synthagent.errors import InputError
from synthagent.evaluation import bfcl, tau2
from synthagent.evaluation.harness_setup import BFCL, HARNESSES, Installed, digest, harness_dir, installed, setup
from synthagent.evaluation.items import SuiteFailed


def python_of(folder: Path, version: str) -> str:
    """A Python that says its version and can do nothing else."""
    path = folder / "python"
    path.write_text(f'#!/bin/sh\ncase "$1" in -c) echo "{version}";; *) echo "no room" >&2; exit 1;; esac\n')
    path.chmod(0o755)
    return str(path)


def test_what_is_not_there_names_the_command(tmp_path: Path):
    with pytest.raises(InputError, match=r"bfcl-eval 2026\.3\.23 is not installed \(synthagent eval setup bfcl\)"):
        installed("bfcl", tmp_path)
    with pytest.raises(InputError, match=r"no harness is called 'tau3' \(known: bfcl, tau2\)"):
        installed("tau3", tmp_path)


def test_half_an_installation_is_none_and_goes(tmp_path: Path):
    half = tmp_path / "harnesses" / BFCL.folder
    half.mkdir(parents=True)
    (half / "leftover").touch()
    told: list[str] = []
    with pytest.raises(InputError, match="could not be made: no room"):
        setup("bfcl", half.parent, told.append, python=python_of(tmp_path, "3 11"))
    assert not (half / "leftover").exists()
    assert told[0].startswith("removing half an installation")
    with pytest.raises(InputError, match="is not installed"):
        installed("bfcl", half.parent)


def test_a_python_it_does_not_run_on_is_told_before_anything_is_made(tmp_path: Path):
    with pytest.raises(InputError, match=r"not install on Python 3\.14 \(give it a Python from 3\.11 to 3\.12\)"):
        setup("bfcl", tmp_path / "harnesses", python=python_of(tmp_path, "3 14"))
    assert not (tmp_path / "harnesses").exists()


def test_a_changed_byte_or_name_fails_the_suite(tmp_path: Path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "one.json").write_text("1")
    (data / "other.txt").write_text("not covered")
    before = digest(tmp_path, ["data/*.json"])
    found = Installed(replace(BFCL, covered=["data/*.json"], sha256=before), tmp_path, Path(sys.executable), tmp_path)
    found.check()
    (data / "other.txt").write_text("changed")
    found.check()
    (data / "one.json").write_text("2")
    with pytest.raises(SuiteFailed, match=r"data or the scorer of bfcl-eval 2026\.3\.23 was changed: SHA-256 [0-9a-f]"):
        found.check()
    (data / "one.json").write_text("1")
    (data / "one.json").rename(data / "two.json")
    assert digest(tmp_path, ["data/*.json"]) != before


def test_every_package_is_pinned_and_litellm_to_the_last_good_release():
    for pinned in HARNESSES.values():
        lines = pinned.requirements.read_text().split()
        assert all("==" in line for line in lines)
        assert f"{pinned.package}=={pinned.version}".replace("-", "_") in [line.replace("-", "_") for line in lines]
    assert "litellm==1.82.6" in HARNESSES["tau2"].requirements.read_text().split()


def test_harnesses_lie_beside_the_models():
    assert harness_dir({"SYNTHAGENT_CACHE": "/cache"}) == Path("/cache/harnesses")


def test_the_page_names_every_suite_and_what_is_installed():
    page = (Path(__file__).parents[2] / "docs/reference/harnesses.md").read_text(encoding="utf-8")
    for suite in (*bfcl.SUITES, *tau2.SUITES):
        assert f"`{suite}`" in page
    for pinned in HARNESSES.values():
        assert f"`{pinned.package}` {pinned.version}" in page
        assert f"eval setup {pinned.name}`" in page
