"""The door to the compiled module: never raises, and always says why a kernel is missing."""

from __future__ import annotations

import os
import sys

import pytest

from recon4d import _native
from recon4d._native.load import why_not_loadable


def test_exactly_one_of_available_and_reason_holds():
    assert _native.available == (not _native.reason)
    assert _native.cuda_built == (not _native.cuda_reason)


@pytest.mark.skipif(os.environ.get("CI") != "true", reason="only .ci/run promises a C++ compiler")
def test_the_cpu_module_was_built():
    assert _native.available, _native.reason


def test_a_module_that_was_never_built_is_named_with_what_it_needs():
    assert why_not_loadable("recon4d._native._absent", needs="a compiler") == (
        "_absent was not built: install recon4d again on a machine with a compiler"
    )


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (
            "raise ImportError('libgomp.so.1: cannot open\\n shared object')",
            "ImportError: libgomp.so.1: cannot open shared object",
        ),
        ("raise OSError('wrong ELF class')", "OSError: wrong ELF class"),
        ("import a_module_that_nobody_has", "ModuleNotFoundError: No module named 'a_module_that_nobody_has'"),
    ],
)
def test_a_module_that_fails_to_load_gives_one_line(tmp_path, monkeypatch, source, reason):
    (tmp_path / "broken_kernel.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    assert why_not_loadable("broken_kernel", needs="a compiler") == f"broken_kernel cannot be loaded: {reason}"
    assert "broken_kernel" not in sys.modules


def test_a_module_that_loads_gives_no_reason():
    assert why_not_loadable("json", needs="nothing") == ""
