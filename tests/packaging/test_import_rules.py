"""The import rules of pyproject.toml hold, and each of them catches a violation.

Every seeded violation is written into a copy of the package, so that a rule that has silently stopped checking (a wrong
module name, a contract that matches nothing) fails here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest


@pytest.fixture
def copy(repository: Path, tmp_path: Path) -> Path:
    """The package and its rules in a folder of their own, symlinks replaced by what they point to."""
    shutil.copy(repository / "pyproject.toml", tmp_path)
    shutil.copytree(repository / "recon4d", tmp_path / "recon4d", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    return tmp_path


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    # -S: an editable install's finder, which would lead to the checkout instead of the copy, is set up by `site`.
    return subprocess.run(
        [sys.executable, "-S", "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"],
        cwd=folder,
        env={"PYTHONPATH": os.pathsep.join([str(folder), sysconfig.get_path("purelib")]), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_package_keeps_the_rules(copy: Path):
    completed = lint_imports(copy)
    assert completed.returncode == 0, completed.stdout + completed.stderr
    assert "0 broken" in completed.stdout


@pytest.mark.parametrize(
    ("module", "source", "contract"),
    [
        ("core/seeded.py", "import recon4d.render", "Rooms, top to bottom"),
        ("field/seeded.py", "import recon4d.render", "Rooms, top to bottom"),
        ("synthetic/seeded.py", "def late():\n    import recon4d.editors", "Rooms, top to bottom"),
        ("attic/__init__.py", "", "Rooms, top to bottom"),
        ("scene/seeded.py", "from recon4d import _native", "Only render touches the compiled module"),
        ("scene/seeded.py", "import recon4d._native._ext", "Only render touches the compiled module"),
        ("data/seeded.py", "import tyro", "tyro lives in cli"),
        ("editors/seeded.py", "from viser import ViserServer", "viser lives in viewer"),
        ("core/camera.py", "import recon4d.core.surfels", "No cycles"),
    ],
)
def test_a_seeded_violation_is_caught(copy: Path, module: str, source: str, contract: str):
    target = copy / "recon4d" / module
    target.parent.mkdir(exist_ok=True)
    with target.open("a") as file:
        file.write(f"\n{source}\n")
    if contract == "No cycles":
        with (copy / "recon4d/core/surfels.py").open("a") as file:
            file.write("\nimport recon4d.core.camera\n")
    completed = lint_imports(copy)
    assert completed.returncode == 1, completed.stdout + completed.stderr
    assert f"{contract} BROKEN" in completed.stdout


def test_every_room_is_in_the_picture(repository: Path):
    rules = tomllib.loads((repository / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(rule["layers"] for rule in rules if rule["type"] == "layers")
    named = {room.strip(" ()") for layer in layers for room in layer.split("|")}
    existing = {path.parent.name for path in (repository / "recon4d").glob("*/__init__.py")}
    assert existing <= named
    without_viser = next(rule["source_modules"] for rule in rules if rule["name"] == "viser lives in viewer")
    assert {f"recon4d.{room}" for room in existing - {"viewer"}} == set(without_viser)
    # import-linter refuses a rule about a room that does not exist, so this one becomes due with the rooms it names.
    training = {f"recon4d.{room}" for room in existing & {"train", "losses"}}
    viewer_rules = [rule for rule in rules if rule.get("source_modules") == ["recon4d.viewer"]]
    assert training == {module for rule in viewer_rules for module in rule["forbidden_modules"]}
    # A room that exists is required, so that a rule about it cannot become empty unnoticed.
    optional = {room.strip(" ()") for layer in layers for room in layer.split("|") if "(" in room}
    assert existing & optional == set()
