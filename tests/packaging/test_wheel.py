"""The wheel: what is in it, and that it works where nothing of the checkout is at hand.

.ci/run builds the wheel in isolation and installs it into an environment of its own, then runs these tests with
RECON4D_WHEEL (the file) and RECON4D_WHEEL_PYTHON (the interpreter of that environment).
"""

from __future__ import annotations

import email
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.wheel

ROOMS_BEHIND_SYMLINKS = ("data", "editors", "viewer")


@pytest.fixture(scope="module")
def wheel() -> Path:
    return Path(os.environ["RECON4D_WHEEL"])


@pytest.fixture(scope="module")
def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.fixture(scope="module")
def dist_info(names: list[str]) -> str:
    (folder,) = {name.partition("/")[0] for name in names if name.endswith(".dist-info/METADATA")}
    return folder


def run_installed(code: str, folder: Path, *options: str) -> str:
    """Run code with the interpreter that has the wheel, in another folder and apart from the caller's settings."""
    completed = subprocess.run(
        [os.environ["RECON4D_WHEEL_PYTHON"], "-I", *options, "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert completed.returncode == 0, completed.stderr
    return completed.stdout


def test_top_level_is_the_package_alone(names, dist_info):
    top_level = {name.partition("/")[0] for name in names}
    assert top_level - {"recon4d.libs"} == {"recon4d", dist_info}


def test_no_tests_sources_or_caches_inside(names):
    words = {name: set(re.split(r"[/._-]", name.lower())) for name in names}
    unwanted = {"test", "tests", "conftest", "pycache"}
    assert [name for name, parts in words.items() if parts & unwanted] == []
    kinds = {Path(name).suffix for name in names if name.startswith("recon4d/")}
    assert kinds <= {".py", ".pyi", ".so", ".typed", ".html", ".js", ".css"}


def test_every_python_file_of_the_package_is_inside(names, repository):
    walked = os.walk(repository / "recon4d", followlinks=True)
    files = {
        Path(folder, name).relative_to(repository).as_posix()
        for folder, _, found in walked
        for name in found
        if Path(name).suffix in {".py", ".pyi", ".typed"}
    }
    assert "recon4d/py.typed" in files
    assert files <= set(names)


@pytest.mark.parametrize("room", ROOMS_BEHIND_SYMLINKS)
def test_rooms_behind_symlinks_are_real_files(wheel, room):
    with zipfile.ZipFile(wheel) as archive:
        # A symlink would be stored as an entry of that very name, without the slash.
        assert f"recon4d/{room}" not in archive.namelist()
        assert archive.getinfo(f"recon4d/{room}/__init__.py").file_size > 0


def test_licence_files_and_metadata(wheel, dist_info, repository):
    with zipfile.ZipFile(wheel) as archive:
        for name in ("LICENSE", "NOTICE"):
            assert archive.read(f"{dist_info}/licenses/{name}") == (repository / name).read_bytes()
        metadata = email.message_from_bytes(archive.read(f"{dist_info}/METADATA"))
        entry_points = archive.read(f"{dist_info}/entry_points.txt").decode()
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    assert metadata["Name"] == project["name"]
    assert metadata["Version"] == project["version"]
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert set(metadata.get_all("License-File")) == {"LICENSE", "NOTICE"}
    # A pin of the project's own tests must not reach its users.
    assert [line for line in metadata.get_all("Requires-Dist") if "==" in line.partition(";")[0]] == []
    assert "recon4d = recon4d.cli:main" in entry_points.replace("=", " = ").replace("  ", " ")


def test_the_web_player_is_inside(names):
    assert {"recon4d/export/web/player.js", "recon4d/export/web/player/page.css"} <= set(names)


def test_the_native_module_is_inside(names):
    assert any(name.startswith("recon4d/_native/_ext.") and name.endswith(".so") for name in names)


def test_the_stub_is_in_step_with_the_module(tmp_path, repository):
    generated = tmp_path / "_ext.pyi"
    command = [sys.executable, "-m", "nanobind.stubgen", "-m", "recon4d._native._ext", "-o", str(generated)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    committed = (repository / "recon4d/_native/_ext.pyi").read_text()
    assert committed == generated.read_text(), "run `make stubs` and commit the result"


def test_it_runs_from_another_folder(tmp_path):
    out = run_installed(
        "import torch, recon4d, recon4d._native as native\n"
        "from recon4d import Camera, Surfels, rasterize\n"
        "import recon4d.data, recon4d.editors, recon4d.viewer, recon4d.scene, recon4d.field, recon4d.synthetic\n"
        "surfels = Surfels(centers=torch.zeros(1, 3), rotations_wxyz=torch.tensor([[1.0, 0, 0, 0]]),"
        " scales=torch.ones(1, 2), opacities=torch.ones(1), features=torch.ones(1, 3))\n"
        "image = rasterize(surfels, Camera.look_at([0.0, -0.1, 3.0], width=9, height=9))\n"
        "print(recon4d.__file__, native.available, native.reason, round(image.alpha[4, 4, 0].item(), 2), sep='|')",
        tmp_path,
    )
    file, available, reason, alpha = out.strip().split("|")
    environment = Path(os.environ["RECON4D_WHEEL_PYTHON"]).parent.parent
    assert Path(file).is_relative_to(environment)
    assert (available, reason) == ("True", "")
    assert alpha == "1.0"


def test_the_console_script_runs(tmp_path):
    script = Path(os.environ["RECON4D_WHEEL_PYTHON"]).parent / "recon4d"
    completed = subprocess.run(
        [script, "backends"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert completed.returncode == 0, completed.stderr
    assert "reference  yes" in completed.stdout
    assert "cpu        yes" in completed.stdout


def test_nothing_but_declared_dependencies_is_needed(tmp_path):
    # The test tools are importable in the borrowed environment; a release must not lean on them.
    run_installed(
        "import sys\n"
        "for name in ('beartype', 'hypothesis', 'pytest', 'nanobind', 'trimesh', 'cv2'): sys.modules[name] = None\n"
        "import pkgutil, importlib, recon4d\n"
        "for module in pkgutil.walk_packages(recon4d.__path__, 'recon4d.'):\n"
        "    if not module.name.endswith('__main__') and '._native._' not in module.name:\n"
        "        importlib.import_module(module.name)",
        tmp_path,
    )
