"""How well cameras are found from pictures and alpha alone: python -m tests.bench.cameras --subjects quadruped biped.

Each subject moves once through its clip while a camera goes around it once; the cameras are thrown away, and
`solve_cameras` finds them again in object mode.  (A subject that turns before a camera on a stand gives the same
pictures.)  Errors are those of `recon4d.evaluate.cameras`, after one similarity on the camera centres: against the true
cameras in the world, and against them as seen from the subject's body, whose own turns and sways object mode counts as
the camera's.  The body's motion is the rigid one that leaves the smallest sum of distances over all vertices.  A
subject is a creature of `recon4d synthesize`, the path of a .glb file, or the name of one in the folder assets of
RECON4D_SAMPLES.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from recon4d.core import Camera
from recon4d.data.formats.blender import read_blender
from recon4d.data.motion import CameraSettings, CameraSolution, find_masks, ingest, solve_cameras
from recon4d.evaluate.cameras import CameraErrors, align_cameras, camera_errors, move_camera
from recon4d.synthetic import CREATURE_NAMES, SynthesizeConfig, synthesize

SUBJECTS = ("quadruped", "biped", "fish")


@dataclass(frozen=True)
class Result:
    """Errors of one subject."""

    subject: str
    chosen: str
    body_deg: float
    world_deg: float
    centers_percent: float
    focal_percent: float
    registered: float
    confident: bool
    seconds: float

    def line(self) -> str:
        """A row of the table."""
        return (
            f"| {self.subject} | {self.chosen} | {self.body_deg:.2f} | {self.world_deg:.2f} | "
            f"{self.centers_percent:.1f} | "
            f"{self.focal_percent:+.1f} | {100 * self.registered:.0f} % | {'yes' if self.confident else 'no'} | "
            f"{self.seconds:.0f} |"
        )


HEAD = """| subject | chosen | body, deg | world, deg | centres to body, % | focal, % | solved | confident | seconds |
|---|---|---|---|---|---|---|---|---|"""


def path_of(subject: str) -> str:
    """What `synthesize` takes for the name of a subject."""
    if subject in CREATURE_NAMES or Path(subject).exists():
        return subject
    return str(Path(os.environ.get("RECON4D_SAMPLES", "."), "assets", Path(subject).with_suffix(".glb").name))


def body_motion(path: Path) -> np.ndarray:
    """[T, 4, 4] world_from_rest of the body: the L1 fit of a rigid motion to all skinned vertices."""
    with np.load(path) as bones:
        rest = bones["rest_vertices"].astype(np.float64)
        joints = bones["world_from_joint"] @ np.linalg.inv(bones["rest_world_from_joint"])
        indices, weights = bones["weight_indices"], bones["weights"]
    homogeneous = np.concatenate([rest, np.ones((len(rest), 1))], 1)
    poses = np.tile(np.eye(4), (len(joints), 1, 1))
    for pose, joint in zip(poses, joints, strict=True):
        moved = np.einsum("nk,nkij,nj->ni", weights, joint[indices], homogeneous)[:, :3]
        trust = np.ones(len(rest))
        for _ in range(15):
            a, b = (np.average(x, 0, trust) for x in (rest, moved))
            u, _, vt = np.linalg.svd(((moved - b) * trust[:, None]).T @ (rest - a))
            pose[:3, :3] = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
            pose[:3, 3] = b - pose[:3, :3] @ a
            away = np.linalg.norm(rest @ pose[:3, :3].T + pose[:3, 3] - moved, axis=1)
            trust = 1 / np.maximum(away, 1e-2 * np.ptp(rest, axis=0).max())
    return poses


def errors_of(solution: CameraSolution, truth: list[Camera]) -> CameraErrors:
    """After alignment."""
    similarity = align_cameras(solution.cameras, truth)
    return camera_errors([move_camera(camera, similarity) for camera in solution.cameras], truth)


def measure(subject: str, folder: Path, arguments: argparse.Namespace) -> tuple[Result, CameraSolution]:
    """Make the clip where it is not there yet, solve its cameras, and compare them with the truth."""
    data = folder / Path(subject).stem
    if not (data / "meta.json").exists():
        config = SynthesizeConfig(
            path_of(subject),
            camera=arguments.cameras,
            frames=arguments.frames,
            val_frames=0,
            test_frames=1,
            width=arguments.size,
            height=arguments.size,
            orbit_turns=arguments.turns,
        )
        synthesize(config, data)
    truth = {view.image_path.name: view.camera for view in read_blender(data).split("train")}
    names = sorted(truth)
    start = time.monotonic()
    clip = ingest(data / "train")
    masks = find_masks(clip)
    focal = truth[names[0]].K[0, 0].item() / arguments.size if arguments.true_focal else None
    solution = solve_cameras(clip, masks.masks, CameraSettings(mode=arguments.mode, focal=focal))
    seconds = time.monotonic() - start
    true = [truth[names[int(frame)]] for frame in clip.source_frames]
    body = body_motion(data / "bones.npz")[clip.source_frames]
    relative = [
        Camera(c.K, c.cam_from_world.double() @ torch.from_numpy(b), c.width, c.height)
        for c, b in zip(true, body, strict=True)
    ]
    to_body, to_world = errors_of(solution, relative), errors_of(solution, true)
    ratio = float(solution.cameras[0].K[0, 0] / true[0].K[0, 0])
    health = solution.health
    result = Result(
        Path(subject).stem, health.chosen, to_body.rotation_deg, to_world.rotation_deg,
        to_body.translation_percent or 0.0, 100 * (ratio - 1), health.solved_share, health.confident, seconds,
    )  # fmt: skip
    return result, solution


def main() -> None:
    """Measure the subjects asked for and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", nargs="+", default=SUBJECTS)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--size", type=int, default=400)
    parser.add_argument("--turns", type=float, default=1.0)
    parser.add_argument("--cameras", choices=("orbit", "handheld"), default="orbit")
    parser.add_argument("--mode", choices=("auto", "object"), default="object")
    parser.add_argument("--true-focal", action="store_true", help="tell the focal length instead of solving for it")
    parser.add_argument("--folder", type=Path, help="keep the clips here, and use those that are there")
    parser.add_argument("--attempts", action="store_true", help="print everything that was tried")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="recon4d-bench-") as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        print(HEAD, flush=True)
        rows = []
        for subject in arguments.subjects:
            result, solution = measure(subject, folder, arguments)
            rows.append(result)
            print(result.line(), flush=True)
            if arguments.attempts:
                for attempt in solution.health.attempts:
                    print("   ", attempt)
                print("   ", *solution.health.warnings, sep="\n    ")
        if len(rows) > 1:
            print(f"mean rotation error to the body {np.mean([row.body_deg for row in rows]):.2f} deg")


if __name__ == "__main__":
    main()
