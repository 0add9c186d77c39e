"""CPU surfel rasterizer, and steps of training."""

from typing import Annotated

import numpy
from numpy.typing import NDArray
import torch


class Workspace32:
    """
    Buffers of one frame, kept from forward to backward and reused from frame to frame.
    """

    def __init__(self, kernels: str | None = None) -> None:
        """With the named kernels, or the fastest that this processor runs."""

    def forward(self, centers: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], rotations: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], scales: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], opacities: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], sh: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)] | None, features: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, world_from_canonical: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, screen_offsets: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, background: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, K: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], cam_from_world: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], near: float, alpha_min: float, alpha_max: float, min_transmittance: float, color: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu')], alpha: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')], depth: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')], depth_median: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')], normal: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu')], distortion: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')], radii: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu')], threads: int) -> int:
        """
        Draw one frame; returns how many surfels hold values that cannot be drawn.
        """

    def backward(self, centers: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], rotations: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], scales: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], opacities: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], sh: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)] | None, features: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, world_from_canonical: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, screen_offsets: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, background: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, color: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], alpha: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], depth: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], normal: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], v_color: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)] | None, v_alpha: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, v_depth: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, v_depth_median: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, v_normal: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)] | None, v_distortion: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, g_centers: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')] | None, g_rotations: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')] | None, g_scales: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')] | None, g_opacities: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu')] | None, g_sh: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu')] | None, g_features: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')] | None, g_world_from_canonical: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')] | None, g_screen_offsets: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')] | None, g_camera: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu')], accumulate: bool, threads: int) -> None:
        """Gradients of the frame drawn last; its arguments must be unchanged."""

    @property
    def kernels(self) -> str:
        """Name of the instruction set in use."""

    @property
    def lanes(self) -> int:
        """Pixels per register."""

    @property
    def bytes(self) -> int:
        """Memory held, in bytes."""

    @property
    def instances(self) -> int:
        """(surfel, tile) pairs of the last frame."""

    @property
    def visits(self) -> int:
        """(surfel, block of `lanes` pixels) pairs blended in the last frame."""

class Workspace64:
    """
    Buffers of one frame, kept from forward to backward and reused from frame to frame.
    """

    def __init__(self, kernels: str | None = None) -> None:
        """With the named kernels, or the fastest that this processor runs."""

    def forward(self, centers: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)], rotations: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)], scales: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)], opacities: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], sh: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)] | None, features: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, world_from_canonical: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, screen_offsets: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, background: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, K: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)], cam_from_world: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)], near: float, alpha_min: float, alpha_max: float, min_transmittance: float, color: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu')], alpha: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu')], depth: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu')], depth_median: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu')], normal: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu')], distortion: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu')], radii: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu')], threads: int) -> int:
        """
        Draw one frame; returns how many surfels hold values that cannot be drawn.
        """

    def backward(self, centers: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)], rotations: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)], scales: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)], opacities: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], sh: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)] | None, features: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, world_from_canonical: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, screen_offsets: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, background: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, color: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], alpha: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)], depth: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)], normal: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], v_color: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)] | None, v_alpha: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, v_depth: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, v_depth_median: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, v_normal: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)] | None, v_distortion: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, g_centers: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu')] | None, g_rotations: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu')] | None, g_scales: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu')] | None, g_opacities: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu')] | None, g_sh: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu')] | None, g_features: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu')] | None, g_world_from_canonical: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu')] | None, g_screen_offsets: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu')] | None, g_camera: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu')], accumulate: bool, threads: int) -> None:
        """Gradients of the frame drawn last; its arguments must be unchanged."""

    @property
    def kernels(self) -> str:
        """Name of the instruction set in use."""

    @property
    def lanes(self) -> int:
        """Pixels per register."""

    @property
    def bytes(self) -> int:
        """Memory held, in bytes."""

    @property
    def instances(self) -> int:
        """(surfel, tile) pairs of the last frame."""

    @property
    def visits(self) -> int:
        """(surfel, block of `lanes` pixels) pairs blended in the last frame."""

def empty_planes32(batch: int, channels: int, height: int, width: int) -> Annotated[torch.Tensor, dict(dtype='float32', shape=(None, None, None, None))]:
    """
    Uninitialised planes [batch, channels, height, width] in memory that is reused when they are dropped.
    """

def empty_planes64(batch: int, channels: int, height: int, width: int) -> Annotated[torch.Tensor, dict(dtype='float64', shape=(None, None, None, None))]:
    """The same in double precision."""

def keep_idle(bytes: int) -> None:
    """Keep at most so many bytes of dropped planes for the next ones."""

def kernel_names() -> list[str]:
    """
    Names of the single-precision kernels that this processor runs, fastest first.
    """

def bone_transforms32(bone_rotations: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], bone_translations: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], bone_start: float, bone_step: float, root_rotations: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], root_translations: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], root_start: float, root_step: float, rest: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], times: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], rotations: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu')], translations: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu')]) -> bool:
    """
    world_from_canonical of bones at times; False where a time is not finite.
    """

def bone_transforms_backward32(bone_rotations: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], bone_translations: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], bone_start: float, bone_step: float, root_rotations: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], root_translations: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], root_start: float, root_step: float, rest: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], times: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], v_rotations: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)] | None, v_translations: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)] | None, g_bone_rotations: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu')] | None, g_bone_translations: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu')] | None, g_root_rotations: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu')] | None, g_root_translations: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu')] | None) -> None:
    """Adds the gradients of bone_transforms to those of the control poses."""

def skin32(centers: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], rotations: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], slots: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)], correction: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], log_radii: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], rest: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], bone_rotations: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], bone_translations: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], dual: bool, out_centers: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu')], out_rotations: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu')], out_turns: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu')], weights: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')], threads: int, kernels: str | None) -> bool:
    """Weights, blends and moves points; False where a slot names no bone."""

def skin_backward32(centers: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], rotations: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], slots: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)], correction: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], log_radii: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], rest: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], bone_rotations: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], bone_translations: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], dual: bool, weights: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], v_centers: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)] | None, v_rotations: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)] | None, v_turns: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)] | None, g_centers: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')] | None, g_rotations: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')] | None, g_correction: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')] | None, g_log_radii: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')] | None, g_bone_rotations: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu')] | None, g_bone_translations: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu')] | None, threads: int, kernels: str | None) -> None:
    """Gradients of skin; overwrites them."""

def photometric32(image: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], target: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], share: float, gradient: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu')] | None, threads: int, kernels: str | None) -> tuple[float, float]:
    """
    (1 - share) L1 + share DSSIM and the mean squared difference of planes; writes the gradient to the image.
    """

def normal_consistency32(normal: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], alpha: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], depth: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], K: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], v_normal: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu')] | None, v_depth: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')] | None, threads: int, kernels: str | None) -> float:
    """
    Mean of 1 - cosine between normals and those of the depth; writes the gradients.
    """

def compose32(pixels: Annotated[NDArray[numpy.uint8], dict(shape=(None, None, None), device='cpu', writable=False)], background: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], color: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu')], mask: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu')], threads: int, kernels: str | None) -> None:
    """Premultiplied bytes over a background, as planes."""

def bone_transforms64(bone_rotations: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], bone_translations: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], bone_start: float, bone_step: float, root_rotations: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], root_translations: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], root_start: float, root_step: float, rest: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)], times: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], rotations: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu')], translations: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu')]) -> bool:
    """
    world_from_canonical of bones at times; False where a time is not finite.
    """

def bone_transforms_backward64(bone_rotations: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], bone_translations: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], bone_start: float, bone_step: float, root_rotations: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], root_translations: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], root_start: float, root_step: float, rest: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)], times: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], v_rotations: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)] | None, v_translations: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)] | None, g_bone_rotations: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu')] | None, g_bone_translations: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu')] | None, g_root_rotations: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu')] | None, g_root_translations: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu')] | None) -> None:
    """Adds the gradients of bone_transforms to those of the control poses."""

def skin64(centers: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)], rotations: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)], slots: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)], correction: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)], log_radii: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)], rest: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)], bone_rotations: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], bone_translations: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], dual: bool, out_centers: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu')], out_rotations: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu')], out_turns: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu')], weights: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu')], threads: int, kernels: str | None) -> bool:
    """Weights, blends and moves points; False where a slot names no bone."""

def skin_backward64(centers: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)], rotations: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)], slots: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)], correction: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)], log_radii: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)], rest: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)], bone_rotations: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], bone_translations: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], dual: bool, weights: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)], v_centers: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)] | None, v_rotations: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)] | None, v_turns: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)] | None, g_centers: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu')] | None, g_rotations: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu')] | None, g_correction: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu')] | None, g_log_radii: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu')] | None, g_bone_rotations: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu')] | None, g_bone_translations: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu')] | None, threads: int, kernels: str | None) -> None:
    """Gradients of skin; overwrites them."""

def photometric64(image: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], target: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], share: float, gradient: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu')] | None, threads: int, kernels: str | None) -> tuple[float, float]:
    """
    (1 - share) L1 + share DSSIM and the mean squared difference of planes; writes the gradient to the image.
    """

def normal_consistency64(normal: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], alpha: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)], depth: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)], K: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)], v_normal: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu')] | None, v_depth: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu')] | None, threads: int, kernels: str | None) -> float:
    """
    Mean of 1 - cosine between normals and those of the depth; writes the gradients.
    """

def compose64(pixels: Annotated[NDArray[numpy.uint8], dict(shape=(None, None, None), device='cpu', writable=False)], background: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], color: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu')], mask: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu')], threads: int, kernels: str | None) -> None:
    """Premultiplied bytes over a background, as planes."""

MIN_SCALE_PIXELS: float = 0.0001

EDGE_ON_COSINE: float = 0.0001

EDGE_ON_INVERSE_SIGMA: float = 10000.0

LOW_PASS_INVERSE_VARIANCE: float = 2.0

LOW_PASS_DEPTH_RATIO: float = 2.0

MEDIAN_TRANSMITTANCE: float = 0.5

MIN_QUATERNION_NORM: float = 1e-12

TILE_SIZE: int = 16

MAX_CHANNELS: int = 32

MAX_IMAGE_SIDE: int = 65535

CAMERA_GRADIENT_SIZE: int = 16
