"""`recon4d backends`: what this machine and this installation can rasterize with."""

from __future__ import annotations

import torch

import recon4d
from recon4d.cli.console import print_line, print_table
from recon4d.render import available_backends


def show_backends() -> None:
    """Print every backend, whether it can be used here, and what it is or why it cannot."""
    rows = [[name, "yes" if usable else "no", detail] for name, (usable, detail) in available_backends().items()]
    print_table(["backend", "usable", "what it is, or why not"], rows)
    print_line("")
    print_line(f"recon4d {recon4d.__version__}, torch {torch.__version__}, {torch.get_num_threads()} threads")
