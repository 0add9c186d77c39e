"""Fit a data set with cameras by `recon4d.train.fit`, without the stages around it; a step of `reconstruct.py`."""

from __future__ import annotations

import sys
from pathlib import Path

from recon4d.data import read_dataset
from recon4d.scene import save
from recon4d.train import fit, preset


def main(dataset: str, scene: str, name: str, seed: str) -> None:
    """Write the scene that the fit makes of the data set."""
    fitted = fit(read_dataset(Path(dataset)), preset(name, seed=int(seed)))
    save(fitted.scene, scene)


if __name__ == "__main__":
    main(*sys.argv[1:])
