"""The documents say what is true: the commands exist, the example runs, and links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCUMENTS = ("README.md", "DEVELOPMENT.md")


def code_blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def test_the_readme_has_exactly_two_set_up_commands(repository: Path):
    commands = code_blocks((repository / "README.md").read_text(), "")
    assert commands == ["make demo\nmake test\n"]


def test_the_readme_example_runs(repository: Path, tmp_path: Path):
    (example,) = code_blocks((repository / "README.md").read_text(), "python")
    completed = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert completed.returncode == 0, completed.stderr
    lines = completed.stdout.splitlines()
    assert lines[0] == "torch.Size([256, 256, 3]) torch.Size([256, 256, 1]) torch.Size([256, 256, 3])"
    assert lines[1] == "torch.Size([100, 3])"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_make_target_that_is_named_exists(repository: Path, name: str):
    makefile = (repository / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))
    named = set(re.findall(r"`make ([a-z]+)", (repository / name).read_text()))
    assert named <= targets


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_relative_link_leads_somewhere(repository: Path, name: str):
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", (repository / name).read_text())
    assert [link for link in links if not (repository / link).exists()] == []


def test_the_table_of_rooms_is_complete(repository: Path):
    rows = set(re.findall(r"^\| `([a-z_0-9]+)` \|", (repository / "DEVELOPMENT.md").read_text(), flags=re.MULTILINE))
    assert {path.parent.name for path in (repository / "recon4d").glob("*/__init__.py")} <= rows
