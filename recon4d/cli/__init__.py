"""The command line: wiring only.  Each command parses its arguments, calls one room, and prints what came of it."""

from __future__ import annotations

from recon4d.cli.app import main as main
