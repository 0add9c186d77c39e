"""What `import recon4d` offers, and what it costs."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import recon4d

# A change here is a change for every user: add names freely, take one away only with a new major version.
PUBLIC_NAMES = {
    "BackendError",
    "Camera",
    "InputError",
    "RasterOutput",
    "Recon4dError",
    "SceneFormatError",
    "Surfels",
    "rasterize",
}

# Slow to import and needed by few callers: loaded inside the functions that use them.
HEAVY_MODULES = {"PIL", "av", "cv2", "rich", "safetensors", "scipy", "skimage", "trimesh", "tyro", "viser"}


def run_python(code: str, folder: Path) -> str:
    completed = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True, timeout=120
    )
    return completed.stdout


def test_public_names_are_the_agreed_ones(repository: Path):
    public = run_python(
        "import types, recon4d\n"
        "print(*(name for name, value in vars(recon4d).items()"
        " if not name.startswith('_') and not isinstance(value, types.ModuleType)))",
        repository,
    )
    assert set(public.split()) == PUBLIC_NAMES


def test_version_is_that_of_the_project(repository: Path):
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    assert recon4d.__version__ == project["version"] == importlib.metadata.version("recon4d")


def test_import_loads_no_heavy_module(repository: Path):
    # torch itself brings modules along, so they are not counted.
    loaded = run_python(
        "import sys, torch\nbefore = set(sys.modules)\nimport recon4d\nprint(*(set(sys.modules) - before))", repository
    )
    top_level = {name.partition(".")[0] for name in loaded.split()}
    assert "recon4d" in top_level
    assert top_level & HEAVY_MODULES == set()


def test_every_import_is_a_declared_dependency(repository: Path):
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    requirements = list(project["dependencies"])
    for extra, names in project["optional-dependencies"].items():
        if extra != "dev":
            requirements += names
    declared = {_distribution_name(requirement) for requirement in requirements}
    distributions = importlib.metadata.packages_distributions()

    undeclared = {}
    for path in _source_files(repository / "recon4d"):
        for name in _imported_top_level_names(path) - set(sys.stdlib_module_names) - {"recon4d"}:
            candidates = {_distribution_name(owner) for owner in distributions.get(name, [name])}
            if not candidates & declared:
                undeclared[str(path.relative_to(repository))] = name
    assert undeclared == {}


def _source_files(package: Path) -> list[Path]:
    folders = os.walk(package, followlinks=True)  # editors, viewer and data are symlinks
    return sorted(Path(folder) / name for folder, _, names in folders for name in names if name.endswith(".py"))


def _distribution_name(requirement: str) -> str:
    name = requirement
    for separator in "<>=!~;[ ":
        name = name.partition(separator)[0]
    return name.lower().replace("_", "-")


def _imported_top_level_names(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.partition(".")[0])
    return names
