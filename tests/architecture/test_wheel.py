"""What the package index gets: the plugin, typed, with its command, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from configparser import ConfigParser
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=PROJECT, check=True)
    (built,) = folder.glob("*.whl")
    return ZipFile(built)


def test_it_holds_the_plugin_alone(wheel: ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}

    assert {top for top in tops if not top.endswith(".dist-info")} == {"langchain_plugin"}
    assert {"langchain_plugin/wire.py", "langchain_plugin/wire_leases.py"} <= set(wheel.namelist())


def test_it_says_that_it_is_typed(wheel: ZipFile) -> None:
    assert "langchain_plugin/py.typed" in wheel.namelist()


def test_it_gives_the_costsite_command(wheel: ZipFile) -> None:
    (name,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    entry_points = ConfigParser()
    entry_points.read_string(wheel.read(name).decode())

    assert dict(entry_points["console_scripts"]) == {"costsite": "langchain_plugin.cli:main"}
    assert "langchain_plugin/cli.py" in wheel.namelist()


def test_installing_it_brings_no_part_of_the_site(wheel: ZipFile) -> None:
    (name,) = [name for name in wheel.namelist() if name.endswith("/METADATA")]
    required = Parser().parsestr(wheel.read(name).decode()).get_all("Requires-Dist") or []

    assert {line.split(">=")[0].split("<")[0].strip() for line in required if "extra ==" not in line} == {
        "httpx",
        "langchain-core",
        "pydantic",
    }
