"""A machine without a C++ compiler: the wheel is built all the same, warns, and draws with the reference backend."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.wheel


@pytest.fixture(scope="module")
def built(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A wheel made where no compiler can be found, unpacked, and what the build printed."""
    folder = tmp_path_factory.mktemp("no-compiler")
    environment = {name: value for name, value in os.environ.items() if name not in {"CC", "CFLAGS", "CXXFLAGS"}}
    environment["PATH"] = sysconfig.get_path("scripts")  # cmake and ninja, and nothing of the system
    environment["CXX"] = environment["CC"] = environment["CUDACXX"] = "/nonexistent/compiler"
    completed = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder),
         "--config-setting", f"build-dir={folder}/build", str(repository)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
    )  # fmt: skip
    assert completed.returncode == 0, completed.stdout
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked", completed.stdout


def test_the_build_warns(built):
    assert "compiler" in built[1]
    assert "reference" in built[1]


def test_no_native_module_is_inside(built):
    assert list(built[0].rglob("*.so")) == []
    assert (built[0] / "recon4d/_native/__init__.py").is_file()


def test_the_reference_backend_draws_and_says_so(built, tmp_path):
    code = (
        "import torch, recon4d, recon4d._native as native\n"
        "from recon4d import Camera, Surfels, rasterize\n"
        "surfels = Surfels(centers=torch.zeros(1, 3), rotations_wxyz=torch.tensor([[1.0, 0, 0, 0]]),"
        " scales=torch.ones(1, 2), opacities=torch.ones(1), features=torch.ones(1, 3))\n"
        "image = rasterize(surfels, Camera.look_at([0.0, -0.1, 3.0], width=9, height=9))\n"
        "print(recon4d.__file__, native.reason, round(image.alpha[4, 4, 0].item(), 2), sep='|')"
    )
    # -S keeps an editable install's finder away, which would lead to the checkout.
    completed = subprocess.run(
        [sys.executable, "-S", "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": os.pathsep.join([str(built[0]), sysconfig.get_path("purelib")])},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert completed.returncode == 0, completed.stderr
    file, reason, alpha = completed.stdout.strip().split("|")
    assert Path(file).is_relative_to(built[0])
    assert reason == "_ext was not built: install recon4d again on a machine with a C++ compiler and Python's headers"
    assert alpha == "1.0"
    assert "reference backend" in completed.stderr
