"""The pages on commands name options and files that exist."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from recon4d.cli import main
from recon4d.evaluate import PROTOCOLS, Evaluation

PAGES = ("docs/synthesize.md", "docs/evaluate.md", "docs/reconstruct.md", "docs/export.md")
COMMANDS = ("synthesize", "evaluate", "reconstruct", "edit", "export", "import-mesh")


@pytest.fixture(scope="module")
def options() -> dict[str, set[str]]:
    """The options of each command, from its help."""
    import contextlib
    import io

    found = {}
    for name in COMMANDS:
        text = io.StringIO()
        with contextlib.redirect_stdout(text):
            assert main([name, "--help"]) == 0
        found[name] = set(re.findall(r"(?<![\w-])(--?[a-z][a-z-]*)", text.getvalue()))
    return found


@pytest.mark.parametrize("page", PAGES)
def test_every_option_that_a_page_names_exists(repository: Path, options: dict[str, set[str]], page: str) -> None:
    named = set(re.findall(r"`(--[a-z-]+)", (repository / page).read_text()))
    assert len(named) > 4
    assert named <= set().union(*options.values())


@pytest.mark.parametrize("page", [*PAGES, "README.md"])
def test_every_command_that_a_page_shows_can_be_given(
    repository: Path, options: dict[str, set[str]], page: str
) -> None:
    shown = re.findall(rf"^ *recon4d ({'|'.join(COMMANDS)}) (.*)$", (repository / page).read_text(), flags=re.MULTILINE)
    assert shown
    for command, rest in shown:
        given = [word for word in shlex.split(rest, comments=True) if word.startswith("-")]
        assert set(given) <= options[command]


@pytest.mark.parametrize("page", PAGES)
def test_links_of_the_pages_lead_somewhere(repository: Path, page: str) -> None:
    folder = (repository / page).parent
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", (repository / page).read_text())
    assert [link for link in links if not (folder / link).exists()] == []


def test_the_tables_name_every_protocol_and_score(repository: Path) -> None:
    text = (repository / "docs/evaluate.md").read_text()
    rows = {
        name for row in re.findall(r"^\| (`.*?) \|", text, flags=re.MULTILINE) for name in re.findall("`(.*?)`", row)
    }
    keys = set(json.loads(json.dumps(Evaluation(protocol="none").to_dict()))) - {"frames", "notes"}
    assert rows - {"--protocol"} == keys | set(PROTOCOLS)
