"""CUDA surfel rasterizer."""

from typing import Annotated

import numpy
from numpy.typing import NDArray


def device_count() -> int:
    """Devices of this machine; 0 where there is no driver."""

class Batch32:
    """
    One batch of frames: its arguments, and the steps that draw and differentiate it.
    """

    def __init__(self, centers: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda', writable=False)], rotations: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda', writable=False)], scales: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda', writable=False)], opacities: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda', writable=False)], sh: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda', writable=False)] | None, features: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda', writable=False)] | None, world_from_canonical: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda', writable=False)] | None, screen_offsets: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda', writable=False)] | None, background: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda', writable=False)] | None, K: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda', writable=False)], cam_from_world: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda', writable=False)], width: int, height: int, near: float, alpha_min: float, alpha_max: float, min_transmittance: float) -> None: ...

    @property
    def projection_bytes(self) -> int:
        """Memory kept from project() to backward()."""

    @property
    def projection_scratch_bytes(self) -> int:
        """Memory from project() to draw()."""

    @property
    def gradient_width(self) -> int:
        """Numbers per surfel and frame that backward() sums."""

    def binning_bytes(self, capacity: int) -> int:
        """Memory kept from draw() to backward()."""

    def binning_scratch_bytes(self, capacity: int) -> int:
        """Memory that draw() needs besides."""

    def project(self, kept: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cuda')], scratch: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cuda')], radii: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda')], status: Annotated[NDArray[numpy.int64], dict(order='C', device='cuda')], stream: int) -> None:
        """
        Project and order all surfels; status gets how many cannot be drawn, and the capacity that draw() needs.
        """

    def draw(self, kept: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cuda')], scratch: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cuda')], capacity: int, binned: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cuda')], bin_scratch: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cuda')], color: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda')], alpha: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda')], depth: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda')], depth_median: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda')], normal: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda')], distortion: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda')], pixel_sums: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda')], stream: int) -> None:
        """Draw what project() left."""

    def backward(self, kept: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cuda')], radii: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda', writable=False)], capacity: int, binned: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cuda')], color: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda', writable=False)], alpha: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda', writable=False)], depth: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda', writable=False)], normal: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda', writable=False)], pixel_sums: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda', writable=False)], v_color: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda', writable=False)] | None, v_alpha: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda', writable=False)] | None, v_depth: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda', writable=False)] | None, v_depth_median: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda', writable=False)] | None, v_normal: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda', writable=False)] | None, v_distortion: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda', writable=False)] | None, sums: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda')], g_centers: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda')] | None, g_rotations: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda')] | None, g_scales: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda')] | None, g_opacities: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda')] | None, g_sh: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda')] | None, g_features: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda')] | None, g_world_from_canonical: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda')] | None, g_screen_offsets: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda')] | None, g_cameras: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda')], stream: int) -> None:
        """
        Add the gradients of what draw() drew to the arrays g_*; sums must be zeros.
        """

class Batch64:
    """
    One batch of frames: its arguments, and the steps that draw and differentiate it.
    """

    def __init__(self, centers: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda', writable=False)], rotations: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda', writable=False)], scales: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda', writable=False)], opacities: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda', writable=False)], sh: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda', writable=False)] | None, features: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda', writable=False)] | None, world_from_canonical: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda', writable=False)] | None, screen_offsets: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda', writable=False)] | None, background: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda', writable=False)] | None, K: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda', writable=False)], cam_from_world: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda', writable=False)], width: int, height: int, near: float, alpha_min: float, alpha_max: float, min_transmittance: float) -> None: ...

    @property
    def projection_bytes(self) -> int:
        """Memory kept from project() to backward()."""

    @property
    def projection_scratch_bytes(self) -> int:
        """Memory from project() to draw()."""

    @property
    def gradient_width(self) -> int:
        """Numbers per surfel and frame that backward() sums."""

    def binning_bytes(self, capacity: int) -> int:
        """Memory kept from draw() to backward()."""

    def binning_scratch_bytes(self, capacity: int) -> int:
        """Memory that draw() needs besides."""

    def project(self, kept: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cuda')], scratch: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cuda')], radii: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda')], status: Annotated[NDArray[numpy.int64], dict(order='C', device='cuda')], stream: int) -> None:
        """
        Project and order all surfels; status gets how many cannot be drawn, and the capacity that draw() needs.
        """

    def draw(self, kept: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cuda')], scratch: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cuda')], capacity: int, binned: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cuda')], bin_scratch: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cuda')], color: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda')], alpha: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda')], depth: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda')], depth_median: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda')], normal: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda')], distortion: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda')], pixel_sums: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda')], stream: int) -> None:
        """Draw what project() left."""

    def backward(self, kept: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cuda')], radii: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda', writable=False)], capacity: int, binned: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cuda')], color: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda', writable=False)], alpha: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda', writable=False)], depth: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda', writable=False)], normal: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda', writable=False)], pixel_sums: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda', writable=False)], v_color: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda', writable=False)] | None, v_alpha: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda', writable=False)] | None, v_depth: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda', writable=False)] | None, v_depth_median: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda', writable=False)] | None, v_normal: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda', writable=False)] | None, v_distortion: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda', writable=False)] | None, sums: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda')], g_centers: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda')] | None, g_rotations: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda')] | None, g_scales: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda')] | None, g_opacities: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda')] | None, g_sh: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda')] | None, g_features: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda')] | None, g_world_from_canonical: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda')] | None, g_screen_offsets: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda')] | None, g_cameras: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda')], stream: int) -> None:
        """
        Add the gradients of what draw() drew to the arrays g_*; sums must be zeros.
        """

def adam_step32(parameters: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda')], gradients: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda', writable=False)], first_moments: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda')], second_moments: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda')], steps: Annotated[NDArray[numpy.int32], dict(order='C', device='cuda')], seen: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda', writable=False)], learning_rate: float, beta1: float, beta2: float, epsilon: float, stream: int) -> None:
    """
    One step of Adam, in place, for the rows of [rows, width] with seen > 0.
    """

def ssim_forward32(image: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda', writable=False)], target: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda', writable=False)], similarity: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda')], partials: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda')] | None, stream: int) -> None:
    """
    SSIM map of images [planes, height, width], and its partial derivatives.
    """

def ssim_backward32(image: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda', writable=False)], target: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda', writable=False)], partials: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda', writable=False)], v_similarity: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda', writable=False)], v_image: Annotated[NDArray[numpy.float32], dict(order='C', device='cuda')], stream: int) -> None:
    """Gradient to the image from one to the SSIM map."""

def adam_step64(parameters: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda')], gradients: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda', writable=False)], first_moments: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda')], second_moments: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda')], steps: Annotated[NDArray[numpy.int32], dict(order='C', device='cuda')], seen: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda', writable=False)], learning_rate: float, beta1: float, beta2: float, epsilon: float, stream: int) -> None:
    """
    One step of Adam, in place, for the rows of [rows, width] with seen > 0.
    """

def ssim_forward64(image: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda', writable=False)], target: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda', writable=False)], similarity: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda')], partials: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda')] | None, stream: int) -> None:
    """
    SSIM map of images [planes, height, width], and its partial derivatives.
    """

def ssim_backward64(image: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda', writable=False)], target: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda', writable=False)], partials: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda', writable=False)], v_similarity: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda', writable=False)], v_image: Annotated[NDArray[numpy.float64], dict(order='C', device='cuda')], stream: int) -> None:
    """Gradient to the image from one to the SSIM map."""

MIN_SCALE_PIXELS: float = 0.0001

EDGE_ON_COSINE: float = 0.0001

EDGE_ON_INVERSE_SIGMA: float = 10000.0

LOW_PASS_INVERSE_VARIANCE: float = 2.0

LOW_PASS_DEPTH_RATIO: float = 2.0

MEDIAN_TRANSMITTANCE: float = 0.5

MIN_QUATERNION_NORM: float = 1e-12

TILE_WIDTH: int = 16

TILE_HEIGHT: int = 8

MAX_CHANNELS: int = 16

MAX_IMAGE_SIDE: int = 65535

MAX_INSTANCES: int = 4294967167

CAMERA_GRADIENT_SIZE: int = 16

PIXEL_SUMS: int = 3
