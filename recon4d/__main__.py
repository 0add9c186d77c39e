"""`python -m recon4d` is the same as the `recon4d` command."""

from __future__ import annotations

import sys

from recon4d.cli import main

if __name__ == "__main__":
    sys.exit(main())
