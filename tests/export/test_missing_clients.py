"""A client that is missing must not go unnoticed where everything is to be there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.export.clients import package, program


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_what_is_missing_fails_in_ci_and_skips_elsewhere(ci: str, outcome: type, monkeypatch) -> None:
    monkeypatch.setenv("CI", ci)
    for look in (package, program):
        with pytest.raises(outcome, match=r"needs the .* no_such_client"):
            look("no_such_client")
    assert package("json").loads("1") == 1


def test_no_test_of_an_export_skips_by_itself(repository: Path) -> None:
    tests = repository / "tests" / "export"
    assert [f.name for f in tests.rglob("*.py") if re.search(r"import" + "orskip", f.read_text())] == []
