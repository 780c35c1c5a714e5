from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.brokers import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PACKAGES = ("app", "streams", "models")


def tracked(*folders: str) -> list[str]:
    """The files that git knows, tracked or new, but not ignored."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *folders]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    return [name for name in listed if name and (ROOT / name).exists()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names of the files in a wheel built from a copy of the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in tracked(*PACKAGES, "pyproject.toml", "README.md", "LICENSE"):
        copy = folder / "source" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    done = subprocess.run([*command, str(folder / "source")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    with zipfile.ZipFile(next(Path(folder).glob("ebbtide-*.whl"))) as archive:
        return archive.namelist()


def test_a_wheel_holds_every_file_of_the_packages(wheel: list[str]) -> None:
    """Schemas, the console page and type markers are installed with the code."""
    assert [name for name in tracked(*PACKAGES) if name not in wheel] == []


def test_a_wheel_holds_nothing_else(wheel: list[str]) -> None:
    """Tests, data and caches stay out."""
    assert {name.split("/")[0] for name in wheel} == {*PACKAGES, f"ebbtide-{PROJECT['version']}.dist-info"}


def test_the_packages_are_typed(wheel: list[str]) -> None:
    """Other projects see our annotations."""
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(wheel)


def test_the_lock_names_no_registry_and_pins_everything() -> None:
    """The lock works with any index, and installs the same versions everywhere."""
    lines = (ROOT / "requirements.lock").read_text("utf-8").splitlines()

    assert lines
    assert [line for line in lines if "==" not in line or "://" in line or line.startswith("-")] == []


def test_the_lock_has_every_dependency() -> None:
    """A dependency added to the project is locked too (`make lock`)."""
    extras = [name for names in PROJECT["optional-dependencies"].values() for name in names]
    wanted = {normal(re.split(r"[<>=!~;\[ ]", name)[0]) for name in (*PROJECT["dependencies"], *extras)}
    locked = {normal(line.split("==")[0]) for line in (ROOT / "requirements.lock").read_text("utf-8").splitlines()}

    assert wanted - locked == set()


def normal(name: str) -> str:
    return name.lower().replace("_", "-")
