"""`recon4d synthesize`: a data set whose truth is known."""

from __future__ import annotations

import time
from pathlib import Path

from recon4d.cli.console import print_line, progress
from recon4d.synthetic import SynthesizeConfig, synthesize


def make_dataset(config: SynthesizeConfig, output: Path, *, quiet: bool) -> None:
    """Write the data set into the folder `output`, and say so unless `quiet`."""
    start = time.perf_counter()
    with progress(quiet=quiet) as tell:
        made = synthesize(config, output, progress=tell)
    took = time.perf_counter() - start
    if quiet:
        return
    speed = made.angular_speed_degrees_per_second
    print_line(f"Rendered {made.images} images of {config.width} x {config.height} pixels in {took:.1f} s.")
    print_line(f"The camera moves around the subject at {speed:.4g} degrees a second on average.")
    print_line(f"  {made.folder / 'train.mp4'}   the video that a user would have")
    print_line(f"  {made.folder}   cameras, images, masks, depth, normals, flow, meshes: see its meta.json")
    print_line(f"Score a scene on it: recon4d evaluate NAME.r4d --against {made.folder}")
