"""Everything that needs a GPU, in one run: python tests/bench/gpu.py [--json FILE] [--skip build tests ...].

Builds the CUDA module, runs the render tests on it, runs it under compute-sanitizer, compares it with the `cpu`
backend, times it side by side with gsplat 1.5.3 `rasterization_2dgs` where that is installed, prints a table and leaves
JSON.  Every step is recorded, whether it passed, failed or could not run; the exit code is 1 when one failed.

Timing: forward and backward with CUDA events, median of 40 after 10 that do not count, the same tensors and the same
random gradients of all images for both.  gsplat runs with RGB+ED, distloss, packed=False and colours [C, N, 3].
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY), str(Path(__file__).parent)]

CASES = (
    (50_000, 512, 512),
    (100_000, 800, 800),
    (200_000, 1920, 1080),
    (1_000_000, 1920, 1080),
    (2_000_000, 1920, 1080),
)
"""Surfels, width, height."""
WARM_UP, REPEATS = 10, 40
IMAGES = ("color", "depth", "alpha", "normal", "distortion", "depth_median")


def build() -> dict[str, Any]:
    """Compile for the GPU at hand and put the module where the package finds it."""
    major, minor = torch.cuda.get_device_capability()
    with tempfile.TemporaryDirectory() as folder:
        options = [f"-DPython_EXECUTABLE={sys.executable}", "-DRECON4D_CUDA=ON", "-DCMAKE_BUILD_TYPE=Release"]
        options.append(f"-DCMAKE_CUDA_ARCHITECTURES={major}{minor}")
        jobs = str(os.cpu_count() or 2)
        for step in (
            ["-S", "cuda", "-B", f"{folder}/build", *options],
            ["--build", f"{folder}/build", "--parallel", jobs],
        ):
            subprocess.run(["cmake", *step], cwd=REPOSITORY, check=True, capture_output=True, text=True)
        names = []
        for library in sorted(Path(folder, "build").glob("_ext*.so")):
            # Renamed into place: a module that a process has open must not change under it.
            new = REPOSITORY / "recon4d" / "_native" / f".{library.name}.new"
            shutil.copy2(library, new)
            os.replace(new, new.with_name(library.name))
            names.append(library.name)
    return {"modules": names, "architecture": f"sm_{major}{minor}"}


def tests() -> dict[str, Any]:
    """The render tests, which run on every backend that is available, and the emulator's."""
    command = [sys.executable, "-m", "pytest", "-q", "--maxfail=20", "tests/render", "tests/cuda"]
    done = subprocess.run(command, cwd=REPOSITORY, check=False, capture_output=True, text=True)
    tail = done.stdout.strip().splitlines()[-25:]
    if done.returncode:
        raise RuntimeError("\n".join(tail))
    return {"summary": tail[-1]}


def sanitizer() -> dict[str, Any]:
    """memcheck and racecheck over a small scene, forward and backward."""
    tool = shutil.which("compute-sanitizer")
    if tool is None:
        return {"skipped": "compute-sanitizer is not on the PATH"}
    found = {}
    for check in ("memcheck", "racecheck"):
        command = [tool, "--tool", check, "--error-exitcode", "9", sys.executable, __file__, "--small"]
        done = subprocess.run(command, cwd=REPOSITORY, check=False, capture_output=True, text=True)
        found[check] = (done.stdout + done.stderr).strip().splitlines()[-1]
        if done.returncode:
            raise RuntimeError(f"{check}: {done.stdout[-3000:]}{done.stderr[-1000:]}")
    return found


class Case:
    """One scene on one device with random upstream gradients, ready to run."""

    def __init__(self, count: int, width: int, height: int, device: str = "cuda") -> None:
        from scenes import make_scene

        scene = make_scene(count, width, height)
        self.arrays = {n: t.to(device).requires_grad_() for n, t in scene.surfels.tensors().items()}
        self.K = scene.camera.K.to(device).requires_grad_()
        self.pose = scene.camera.cam_from_world.to(device).requires_grad_()
        self.width, self.height = width, height
        generator = torch.Generator().manual_seed(1)
        channels = {"color": 3, "normal": 3}
        self.upstream = {
            name: torch.randn(height, width, channels.get(name, 1), generator=generator).to(device) for name in IMAGES
        }

    def draw(self, backend: str) -> dict[str, torch.Tensor]:
        """The images of one of our backends."""
        from recon4d import Camera, Surfels, rasterize

        camera = Camera(self.K, self.pose, self.width, self.height)
        output = rasterize(Surfels(**self.arrays), camera, backend=backend)  # type: ignore[arg-type]
        return {name: getattr(output, name) for name in IMAGES}

    def draw_gsplat(self) -> dict[str, torch.Tensor]:
        """The images of gsplat, by our names; its normals are in the world's frame."""
        import gsplat

        a = self.arrays
        scales = torch.cat([a["scales"], torch.ones_like(a["scales"][:, :1])], dim=-1)
        color, alpha, normal, _, distortion, median, _ = gsplat.rasterization_2dgs(
            means=a["centers"],
            quats=a["rotations_wxyz"],
            scales=scales,
            opacities=a["opacities"],
            colors=a["features"][None],
            viewmats=self.pose[None],
            Ks=self.K.detach()[None],
            width=self.width,
            height=self.height,
            packed=False,
            render_mode="RGB+ED",
            distloss=True,
        )
        images = (color[..., :3], color[..., 3:], alpha, normal, distortion, median)
        return {name: image[0] for name, image in zip(IMAGES, images, strict=True)}

    def leaves(self, *, intrinsics: bool) -> list[torch.Tensor]:
        """What gradients are asked for: gsplat has none for the intrinsics."""
        return [*self.arrays.values(), self.pose, *([self.K] if intrinsics else [])]

    def backward(self, images: dict[str, torch.Tensor], leaves: list[torch.Tensor]) -> tuple[torch.Tensor | None, ...]:
        """Gradients of all images' random weighting."""
        return torch.autograd.grad(
            [images[name] for name in IMAGES], leaves, [self.upstream[name] for name in IMAGES], allow_unused=True
        )


def measure(case: Case, draw: Callable[[], dict[str, torch.Tensor]], *, intrinsics: bool) -> dict[str, float]:
    """Median milliseconds, and peak memory above what the scene itself holds."""
    leaves = case.leaves(intrinsics=intrinsics)
    times = []
    for step in range(WARM_UP + REPEATS):
        if step == WARM_UP:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            held = torch.cuda.memory_allocated()
        events = [torch.cuda.Event(enable_timing=True) for _ in range(3)]
        events[0].record()
        images = draw()
        events[1].record()
        case.backward(images, leaves)
        events[2].record()
        torch.cuda.synchronize()
        times.append((events[0].elapsed_time(events[1]), events[1].elapsed_time(events[2])))
        del images
    counted = times[WARM_UP:]
    return {
        "forward_ms": statistics.median(f for f, _ in counted),
        "backward_ms": statistics.median(b for _, b in counted),
        "total_ms": statistics.median(f + b for f, b in counted),
        "memory_mb": (torch.cuda.max_memory_allocated() - held) / 1e6,
    }


def agreement() -> dict[str, Any]:
    """Largest differences between `cuda` and `cpu`: images absolutely, gradients relative to their norm."""
    results = {}
    runs = []
    for device in ("cuda", "cpu"):
        case = Case(20_000, 333, 217, device)
        images = case.draw(device)
        gradients = case.backward(images, case.leaves(intrinsics=True))
        names = [*case.arrays, "cam_from_world", "K"]
        runs.append(({n: i.detach().cpu() for n, i in images.items()}, dict(zip(names, gradients, strict=True))))
    (ours, our_gradients), (theirs, their_gradients) = runs
    for name in IMAGES:
        difference = (ours[name] - theirs[name]).abs()
        results[name] = {"mean": float(difference.mean()), "over_1e-3": float((difference > 1e-3).double().mean())}
    for name, expected in their_gradients.items():
        assert expected is not None
        results[f"gradient of {name}"] = float((our_gradients[name].cpu() - expected).norm() / expected.norm())
    worst = max(value for name, value in results.items() if name.startswith("gradient"))  # type: ignore[type-var]
    if worst > 1e-2 or any(results[name]["over_1e-3"] > 2e-3 for name in ("color", "alpha", "normal")):  # type: ignore[index]
        raise RuntimeError(json.dumps(results))
    return results


def benchmark() -> dict[str, Any]:
    """The table, side by side."""
    try:
        version: str | None = importlib.metadata.version("gsplat")
    except importlib.metadata.PackageNotFoundError:
        version = None
    results: dict[str, Any] = {"gsplat": version, "cases": []}
    print("\nsurfels  image       backend  forward  backward     total    memory")
    for count, width, height in CASES:
        case = Case(count, width, height)
        row: dict[str, Any] = {"surfels": count, "width": width, "height": height}
        row["cuda"] = measure(case, lambda case=case: case.draw("cuda"), intrinsics=True)  # type: ignore[misc]
        if version is not None:
            row["gsplat"] = measure(case, case.draw_gsplat, intrinsics=False)
            with torch.no_grad():
                ours, theirs = case.draw("cuda"), case.draw_gsplat()
            # Where both mean the same thing: depths are the intersection's here and the centre's there.
            row["difference"] = {
                name: {"mean": float((d := (ours[name] - theirs[name]).abs()).mean()), "max": float(d.max())}
                for name in ("color", "alpha")
            }
            row["speed_up"] = row["gsplat"]["total_ms"] / row["cuda"]["total_ms"]
        results["cases"].append(row)
        for backend in ("cuda", "gsplat"):
            if backend in row:
                r = row[backend]
                times = "  ".join(f"{r[key]:6.2f}ms" for key in ("forward_ms", "backward_ms", "total_ms"))
                print(f"{count:7d}  {width}x{height:<5d}  {backend:7s}  {times}  {r['memory_mb']:6.0f}MB")
        if "speed_up" in row:
            print(f"{'':21s}{row['speed_up']:.2f} times faster than gsplat; differences {row['difference']}")
    return results


STEPS: dict[str, Callable[[], dict[str, Any]]] = {
    "build": build,
    "tests": tests,
    "sanitizer": sanitizer,
    "agreement": agreement,
    "benchmark": benchmark,
}


def main() -> None:
    """Run the steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=REPOSITORY / "out" / "gpu.json")
    parser.add_argument("--skip", nargs="*", default=[], choices=list(STEPS))
    parser.add_argument("--small", action="store_true", help="one small pass, for compute-sanitizer")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("torch sees no CUDA device: nothing was run, nothing was measured")
    if options.small:
        case = Case(2_000, 97, 61)
        case.backward(case.draw("cuda"), case.leaves(intrinsics=True))
        torch.cuda.synchronize()
        return
    report: dict[str, Any] = {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
    }
    failed = False
    for name, step in STEPS.items():
        if name in options.skip:
            report[name] = {"skipped": "asked to"}
            continue
        print(f"gpu: {name}", flush=True)
        try:
            report[name] = step()
        except Exception as error:  # a later step may still tell something
            failed = True
            detail = getattr(error, "stderr", None) or getattr(error, "stdout", None) or ""
            report[name] = {"failed": f"{error}\n{str(detail)[-3000:]}", "traceback": traceback.format_exc(limit=4)}
            print(f"gpu: {name} FAILED: {error}\n{str(detail)[-3000:]}", flush=True)
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"gpu: report in {options.json}")
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
