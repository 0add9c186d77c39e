"""The command line as a user meets it: exit codes, one-line errors, help."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import recon4d
from recon4d.cli import app, main
from recon4d.core import InputError


@pytest.fixture
def command(monkeypatch):
    """Replaces the commands by one, `probe`, that does what the test says."""

    def install(action):
        def probe() -> None:
            """Do what the test says."""
            action()

        monkeypatch.setattr(app, "COMMANDS", {"probe": probe, "other": probe})

    return install


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"recon4d {recon4d.__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_help_lists_every_command(capsys, arguments):
    assert main(arguments) == 0
    out = capsys.readouterr().out
    for name in app.COMMANDS:
        assert f"• {name}" in out


@pytest.mark.parametrize("name", sorted(app.COMMANDS))
def test_every_command_has_help(capsys, name):
    assert main([name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: recon4d {name}")


@pytest.mark.parametrize("arguments", [["inof"], ["info"], ["info", "a", "b"], ["backends", "--nope"]])
def test_wrong_arguments_exit_with_2_and_print_nothing_on_stdout(capsys, arguments):
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err


def test_a_command_that_returns_exits_with_0(command, capsys):
    command(lambda: print("done"))
    assert main(["probe"]) == 0
    assert capsys.readouterr().out == "done\n"


def test_a_deliberate_error_is_one_line_and_2(command, capsys):
    def fail():
        raise InputError("scales", expected="positive\nnumbers", got="-1", fix="take their absolute value")

    command(fail)
    assert main(["probe"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == ("recon4d: scales: expected positive numbers, got -1. Fix: take their absolute value\n")


def test_an_interrupt_is_130(command, capsys):
    def interrupt():
        raise KeyboardInterrupt

    command(interrupt)
    assert main(["probe"]) == 130
    assert capsys.readouterr().err == "recon4d: interrupted\n"


def test_a_bug_keeps_its_traceback(command):
    def bug():
        raise ZeroDivisionError

    command(bug)
    with pytest.raises(ZeroDivisionError):
        main(["probe"])


@pytest.mark.skipif(os.name != "posix", reason="pipes")
def test_a_closed_pipe_is_quiet(repository):
    reader, writer = os.pipe()
    os.close(reader)
    completed = subprocess.run(
        [sys.executable, "-m", "recon4d", "backends"],
        cwd=repository,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=120,
    )
    os.close(writer)
    assert completed.returncode == 141
    assert completed.stderr == ""
