"""Other people's programs that open what we write: where they are, and what is missing where they are not.

In CI a missing one is a failure, elsewhere the test is skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """Fail in CI, skip elsewhere."""
    message = f"needs {what}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def package(name: str) -> Any:
    """A Python package."""
    try:
        return import_module(name)
    except ImportError:
        missing(f"the package {name}")


def program(name: str) -> str:
    """A program on the path."""
    return shutil.which(name) or missing(f"the program {name}")


def node_modules(*packages: str) -> Path:
    """The folder of npm packages that RECON4D_NODE_MODULES names, with these in it."""
    program("node")
    for place in (os.environ.get("RECON4D_NODE_MODULES"), "out/node/node_modules"):
        if place and all((Path(place) / package).is_dir() for package in packages):
            return Path(place).resolve()
    missing(f"npm packages {', '.join(packages)} (RECON4D_NODE_MODULES names their node_modules folder)")


def node(script: str, *arguments: str | Path, packages: tuple[str, ...]) -> str:
    """What a script prints that node runs; `modules` is the folder of packages in it, `args` the arguments."""
    modules = node_modules(*packages)
    head = f"const modules = {json.dumps(str(modules))}; const args = process.argv.slice(1);\n"
    done = subprocess.run(
        ["node", "-e", head + script, *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def gltf_issues(path: Path) -> list[dict[str, Any]]:
    """What the Khronos validator says about a glTF file: code, severity (0 is an error) and place of every issue."""
    script = """
    const validator = require(modules + "/gltf-validator");
    const bytes = new Uint8Array(require("fs").readFileSync(args[0]));
    const tell = (report) => console.log(JSON.stringify(report.issues.messages));
    validator.validateBytes(bytes, { maxIssues: 1000 }).then(tell);
    """
    return json.loads(node(script, path, packages=("gltf-validator",)))
