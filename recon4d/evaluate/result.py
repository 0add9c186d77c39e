"""What an evaluation found: every score under a stable key, frame by frame, and how it was measured.

A score that does not apply is None (null in JSON); keys are always all there.  The HTML page is written by `report`.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from recon4d.data.files import write_json

# Unit, and whether more is better, of every score in the order in which they are shown.
MEANING: dict[str, tuple[str, str]] = {
    "psnr": ("dB, higher is better", "PSNR"),
    "ssim": ("0 to 1, higher is better", "SSIM"),
    "ms_ssim": ("0 to 1, higher is better", "MS-SSIM"),
    "flip": ("0 to 1, lower is better", "FLIP"),
    "lpips": ("lower is better", "LPIPS"),
    "psnr_masked": ("dB, subject only", "PSNR, masked"),
    "ssim_masked": ("0 to 1, subject only", "SSIM, masked"),
    "flip_masked": ("0 to 1, subject only", "FLIP, masked"),
    "chamfer_percent": ("% of the diagonal", "Chamfer"),
    "chamfer_dgmesh": ("scene units squared", "Chamfer, DG-Mesh's form"),
    "emd": ("scene units", "Earth mover's distance"),
    "f_score": ("0 to 1, within 1 % of the diagonal", "F-score"),
    "normal_error_deg": ("degrees", "Normal error"),
    "track_error_percent": ("% of the diagonal", "Track end-point error"),
    "delta_5": ("share below 5 % of the diagonal", "delta < 5 %"),
    "delta_10": ("share below 10 % of the diagonal", "delta < 10 %"),
    "cd_3d": ("truth's first frame in [-1, 1]^3", "CD-3D"),
    "cd_4d": ("truth's first frame in [-1, 1]^3", "CD-4D"),
    "cd_m": ("truth's first frame in [-1, 1]^3", "CD-M"),
    "flicker": ("8-bit levels", "Flicker"),
    "id_persistence": ("0 to 1, higher is better", "Id persistence"),
    "camera_rotation_error_deg": ("degrees", "Camera rotation error"),
    "camera_translation_error_percent": ("% of the camera path's diagonal", "Camera translation error"),
}


@dataclass(frozen=True)
class FrameScores:
    """Image scores of one view; None where a score does not apply (no mask, too small, no weights)."""

    name: str
    time: float | None
    psnr: float
    ssim: float | None
    ms_ssim: float | None
    flip: float
    lpips: float | None = None
    psnr_masked: float | None = None
    ssim_masked: float | None = None
    flip_masked: float | None = None


@dataclass(frozen=True, eq=False)
class WorstFrame:
    """A view with a large error, kept for the report.

    Attributes:
        scores: of the view.
        image: [H, W, 3] what was scored.
        reference: [H, W, 3] the truth.
        error: [H, W] FLIP in [0, 1].
    """

    scores: FrameScores
    image: UInt8[np.ndarray, "h w 3"]
    reference: UInt8[np.ndarray, "h w 3"]
    error: Float[np.ndarray, "h w"]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores by name (the keys of `MEANING`, units there), and how they came about.

    Attributes:
        protocol: name of the protocol.
        background: colour behind transparent truth and renderings ("white", "black", "#rrggbb"), or "images" where
            they are opaque.
        resolution: "WxH" of the scored images, "mixed" where they differ, None without images.
        n_images: how many images were scored.
        frames: image scores of each view, in order.
        worst: the views with the largest FLIP, worst first.
        notes: sentences on what was assumed, aligned, or left out.
    """

    protocol: str
    psnr: float | None = None
    ssim: float | None = None
    ms_ssim: float | None = None
    flip: float | None = None
    lpips: float | None = None
    psnr_masked: float | None = None
    ssim_masked: float | None = None
    flip_masked: float | None = None
    chamfer_percent: float | None = None
    chamfer_dgmesh: float | None = None
    emd: float | None = None
    f_score: float | None = None
    normal_error_deg: float | None = None
    track_error_percent: float | None = None
    delta_5: float | None = None
    delta_10: float | None = None
    cd_3d: float | None = None
    cd_4d: float | None = None
    cd_m: float | None = None
    flicker: float | None = None
    id_persistence: float | None = None
    camera_rotation_error_deg: float | None = None
    camera_translation_error_percent: float | None = None
    background: str | None = None
    resolution: str | None = None
    n_images: int = 0
    frames: tuple[FrameScores, ...] = ()
    worst: tuple[WorstFrame, ...] = ()
    notes: tuple[str, ...] = ()

    def with_scores(self, **scores: float | None) -> Evaluation:
        """A copy with some scores filled in."""
        return replace(self, **scores)  # type: ignore[arg-type]

    def to_dict(self) -> dict[str, object]:
        """Everything but pictures, as JSON knows it: the stable keys first, then `frames` and `notes`."""
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("frames", "worst", "notes")}
        return plain | {"frames": [asdict(frame) for frame in self.frames], "notes": list(self.notes)}

    def write_json(self, path: str | os.PathLike[str]) -> None:
        """Writes `to_dict` atomically; the same result gives the same bytes."""
        write_json(Path(path), self.to_dict())

    def table(self) -> list[tuple[str, str, str]]:
        """(name, value, unit) of every score that applies, then what was measured on."""
        rows = [
            (title, f"{value:.4g}", unit)
            for key, (unit, title) in MEANING.items()
            if (value := getattr(self, key)) is not None
        ]
        rows.append(("Images", str(self.n_images), self.resolution or ""))
        rows.append(("Protocol", self.protocol, f"background: {self.background}" if self.background else ""))
        return rows
