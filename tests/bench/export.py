"""How good exported meshes are, how long they take and how much memory: the section "Export" of docs/benchmarks.md.

Run from the checkout: `python -m tests.bench.export --subjects quadruped,fish --out DIR`.  For every creature the data
set is synthesized once, its exact field is made a scene with the data set's cameras, `recon4d export` writes it as .glb
with the data set's frames as the source of the texture, and the file is compared with the truth.  Scenes of other
programs' making are exported with `--scenes A.r4d,B.r4d`, without truth.
`--to usd` writes .usdz instead.

Each export is a program of its own, so that memory is that of the export alone.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CREATURES = ("quadruped", "biped", "fish", "jelly")
FRAMES, SIZE, SURFELS, FACES, TEXTURE = 100, 400, 20_000, 20_000, 1024
SAMPLES = 20_000


def make_scene(name: str, folder: Path) -> Path:
    """The creature's exact field as a scene, filmed by the cameras of the data set `folder`/NAME, made if need be."""
    import torch

    from recon4d.data import read_dataset
    from recon4d.scene import Layer, Scene, save
    from recon4d.synthetic import SynthesizeConfig, synthesize
    from recon4d.synthetic.creature_field import creature_field

    data = folder / name
    if not data.exists():
        config = SynthesizeConfig(name, frames=FRAMES, val_frames=0, test_frames=0, width=SIZE, height=SIZE)
        synthesize(config, data)
    views = read_dataset(data).split("train")
    times = torch.tensor([view.time for view in views], dtype=torch.float64)
    cameras = [view.camera for view in views]
    field = retimed(creature_field(name, SURFELS), float(times[-1]), name)
    scene = Scene(times, cameras, [Layer(name, "object", field)], provenance={"input": {"name": name}})
    path = folder / f"{name}.r4d"
    save(scene, path)
    return path


def retimed(field: Any, seconds: float, name: str) -> Any:
    """The field with its clip played in so many seconds, as the data set plays it."""
    from dataclasses import replace

    from recon4d.synthetic.creatures import creature

    factor = seconds / creature(name).duration
    path = field.warp.path
    return replace(
        field, warp=replace(field.warp, path=replace(path, start=path.start * factor, step=path.step * factor))
    )


def run_export(scene: Path, target: Path, frames: Path | None, to: str = "glb") -> dict[str, Any]:
    """Seconds, peak memory (MiB) and what the command prints."""
    command = [sys.executable, "-c", _MEASURED, "export", str(scene), "-o", str(target), "--overwrite",
               "--to", to, "--faces", str(FACES), "--texture", str(TEXTURE)]  # fmt: skip
    if frames is not None:
        command += ["--frames", str(frames)]
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"COLUMNS": "200"})
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    memory, cpu = re.search(r"^peak (\d+) cpu ([\d.]+)$", done.stderr, flags=re.MULTILINE).groups()
    return {
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": float(cpu),
        "peak_mib": int(memory) // 1024,
        "megabytes": round(target.stat().st_size / 1e6, 2),
        "printed": done.stdout,
    }


_MEASURED = """
import resource, sys
from recon4d.cli import main
code = main(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_SELF)
print(f"peak {used.ru_maxrss} cpu {used.ru_utime + used.ru_stime:.1f}", file=sys.stderr)
sys.exit(code)
"""


def compare(target: Path, name: str) -> dict[str, float]:
    """The file's mesh in its canonical state against the creature: shares of the creature's diagonal in percent."""
    import numpy as np

    from recon4d.data.gltf.file import GltfFile
    from recon4d.data.gltf.mesh import read_primitives
    from recon4d.evaluate.surfaces import Mesh, mesh_surface
    from recon4d.synthetic.creatures import creature

    file = GltfFile(target)
    (primitive,) = [
        p for node, entry in enumerate(file.json["nodes"]) if "mesh" in entry for p in read_primitives(file, node)
    ]
    to_gltf = np.array(file.json["asset"]["extras"]["gltf_from_scene"])
    vertices = primitive.positions @ np.linalg.inv(to_gltf)[:3, :3].T
    truth = creature(name)
    ours, theirs = (
        mesh_surface(Mesh(v, f), SAMPLES, 0) for v, f in ((vertices, primitive.faces), (truth.vertices, truth.faces))
    )
    there, back = theirs.nearest(ours.points)[0], ours.nearest(theirs.points)[0]
    diagonal = float(np.linalg.norm(np.ptp(truth.vertices, axis=0))) / 100
    return {
        "chamfer_percent": round(float(there.mean() + back.mean()) / 2 / diagonal, 4),
        "hausdorff_percent": round(float(max(there.max(), back.max())) / diagonal, 3),
    }


def numbers(printed: str) -> dict[str, str]:
    """What the command printed, by name."""
    return {line.rpartition(": ")[0]: line.rpartition(": ")[2] for line in printed.splitlines() if ": " in line}


def main() -> None:
    """Run all cases and print one JSON object for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", default=",".join(CREATURES))
    parser.add_argument("--scenes", default="")
    parser.add_argument("--to", default="glb", choices=("glb", "usd"), help="usd is not compared with the truth")
    parser.add_argument("--out", type=Path, default=Path("out/bench-export"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    cases: list[tuple[str, Path, Path | None]] = []
    for name in filter(None, options.subjects.split(",")):
        cases.append((name, make_scene(name, options.out), options.out / name))
    cases += [("", Path(scene), None) for scene in filter(None, options.scenes.split(","))]
    for name, scene, frames in cases:
        target = options.out / f"{scene.stem}.{'glb' if options.to == 'glb' else 'usdz'}"
        row = run_export(scene, target, frames, options.to)
        told = numbers(row.pop("printed"))
        if name and options.to == "glb":
            row |= compare(target, name)
        print(json.dumps({"scene": scene.stem, **row, **told}), flush=True)


if __name__ == "__main__":
    main()
