"""Wrong arguments give one clear line, whatever the backend."""

from __future__ import annotations

import dataclasses
import inspect
import math
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor

import recon4d
from recon4d import Camera, InputError, Surfels
from recon4d.render import Limits
from tests.render.helpers import Backend, camera, random_surfels

# Past the shape annotations, which only tests enforce: users meet the checks inside.
rasterize = inspect.unwrap(recon4d.rasterize)


def unchecked_surfels(**arrays: object) -> Surfels:
    """Surfels with anything at all in its fields."""
    surfels = object.__new__(Surfels)
    for field in dataclasses.fields(Surfels):
        object.__setattr__(surfels, field.name, arrays.get(field.name))
    return surfels


def altered(**changes: object) -> Surfels:
    """Seven plain surfels with some arrays exchanged."""
    return unchecked_surfels(**{**random_surfels(7).tensors(), **changes})


def error(surfels: Surfels | None = None, cameras: Any = None, **options: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        rasterize(
            random_surfels(7) if surfels is None else surfels, camera() if cameras is None else cameras, **options
        )
    assert "\n" not in str(caught.value)
    return caught.value


# ------------------------------------------------------------------------------------------------------------- shapes


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("centers", (7, 4), "shape [N, 3] or [B, N, 3]"),
        ("centers", (3,), "shape [N, 3] or [B, N, 3]"),
        ("centers", (1, 1, 7, 3), "shape [N, 3] or [B, N, 3]"),
        ("rotations_wxyz", (7, 3), "shape [N, 4] or [B, N, 4] with N = 7 as in centers"),
        ("rotations_wxyz", (6, 4), "shape [N, 4] or [B, N, 4] with N = 7 as in centers"),
        ("scales", (7, 3), "shape [N, 2] or [B, N, 2] with N = 7 as in centers"),
        ("scales", (7,), "shape [N, 2] or [B, N, 2] with N = 7 as in centers"),
        ("opacities", (7, 1), "shape [N] or [B, N] with N = 7 as in centers"),
        ("opacities", (), "shape [N] or [B, N] with N = 7 as in centers"),
        ("features", (7,), "shape [N, C] or [B, N, C] with N = 7 as in centers"),
        ("features", (8, 3), "shape [N, C] or [B, N, C] with N = 7 as in centers"),
        ("world_from_canonical_wxyz", (7, 3), "shape [N, 4] or [B, N, 4] with N = 7 as in centers"),
    ],
)
def test_a_wrong_shape_says_which_is_right(name: str, shape: tuple[int, ...], expected: str):
    caught = error(altered(**{name: torch.ones(shape)}))
    assert (caught.what, caught.expected, caught.got) == (f"surfels.{name}", expected, f"shape {list(shape)}")


@pytest.mark.parametrize("count", [2, 3, 5, 25])
def test_sh_of_no_degree(count: int):
    caught = error(altered(features=None, sh=torch.zeros(7, count, 3)))
    assert str(caught) == (
        f"surfels.sh: expected K = 1, 4, 9 or 16 coefficients (degree 0 to 3), got K = {count}. "
        "Fix: pad with zeros up to the next of these"
    )


def test_sh_or_features_must_be_there():
    assert error(altered(features=None)).got == "neither"
    assert error(altered(sh=torch.zeros(7, 1, 3)), background=torch.zeros(3)).expected == "shape [6] or [18, 24, 6]"
    assert error(altered(features=torch.zeros(7, 0))).what == "surfels.features"


@pytest.mark.parametrize("shape", [(2,), (4,), (3, 1), (17, 24, 3), (18, 24, 1), (1, 18, 24, 3), ()])
def test_backgrounds_of_a_wrong_shape(shape: tuple[int, ...]):
    caught = error(background=torch.zeros(shape))
    assert (caught.what, caught.expected) == ("background", "shape [3] or [18, 24, 3]")


@pytest.mark.parametrize("shape", [(7, 3), (6, 2), (2,), (2, 7, 2), (1, 6, 2)])
def test_offsets_of_a_wrong_shape(shape: tuple[int, ...]):
    caught = error(cameras=[camera()] * 3, screen_offsets=torch.zeros(shape))
    assert caught.what in ("screen_offsets", "batch")


def test_batches_must_agree():
    batched = altered(centers=torch.zeros(4, 7, 3), rotations_wxyz=torch.ones(3, 7, 4))
    caught = error(batched)
    assert caught.what == "batch"
    assert caught.got == "surfels.centers: 4, surfels.rotations_wxyz: 3"
    assert error(altered(centers=torch.zeros(4, 7, 3)), [camera()] * 2).got == "surfels.centers: 4, cameras: 2"
    assert error(altered(centers=torch.zeros(0, 7, 3))).got == "B = 0"


def test_cameras_must_be_cameras_of_one_size():
    assert error(cameras=[]).what == "cameras"
    assert error(cameras=[camera(24, 18), camera(18, 24)]).got == "(18, 24), (24, 18)"


def test_no_array_may_be_missing():
    for name in ("centers", "rotations_wxyz", "scales", "opacities"):
        caught = error(altered(**{name: None}))
        assert (caught.what, caught.got) == (f"surfels.{name}", "NoneType")


# --------------------------------------------------------------------------------------------- types, devices, memory


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64, torch.bool, torch.complex64])
def test_types_that_are_not_drawn(dtype: torch.dtype):
    assert error(altered(centers=torch.zeros(7, 3).to(dtype))).expected == "torch.float32 or torch.float64"


@pytest.mark.parametrize("name", ["rotations_wxyz", "scales", "opacities", "features"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.int32])
def test_all_arrays_have_one_type(name: str, dtype: torch.dtype):
    caught = error(altered(**{name: random_surfels(7).tensors()[name].to(dtype)}))
    assert (caught.what, caught.got) == (f"surfels.{name}", f"{dtype} on cpu")
    assert caught.expected == "torch.float32 on cpu, as surfels.centers"


def test_other_arguments_have_the_type_of_the_surfels():
    double = torch.float64
    assert error(cameras=camera(dtype=double)).what == "cameras[0].K"
    assert error(cameras=[camera(), camera(dtype=double)]).what == "cameras[1].K"
    assert error(background=torch.zeros(3, dtype=double)).what == "background"
    assert error(background=torch.zeros(3, dtype=torch.uint8)).what == "background"
    assert error(screen_offsets=torch.zeros(7, 2, dtype=double)).what == "screen_offsets"


def test_all_arrays_are_on_one_device():
    caught = error(altered(scales=torch.zeros(7, 2, device="meta")))
    assert (caught.what, caught.got) == ("surfels.scales", "torch.float32 on meta")


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("centers", torch.zeros(3, 7).T),
        ("centers", torch.zeros(7, 6)[:, ::2]),
        ("centers", torch.zeros(14, 3)[::2]),
        ("rotations_wxyz", torch.zeros(1, 4).expand(7, 4)),
        ("scales", torch.zeros(2, 7).T),
        ("opacities", torch.zeros(14)[::2]),
        ("features", torch.zeros(3, 7).T),
    ],
)
def test_memory_must_be_contiguous(name: str, tensor: Tensor):
    caught = error(altered(**{name: tensor}))
    assert (caught.what, caught.expected) == (f"surfels.{name}", "contiguous memory")
    assert caught.got == f"strides {tensor.stride()}"


def test_other_memory_must_be_contiguous_too():
    assert error(background=torch.zeros(1).expand(3)).expected == "contiguous memory"
    assert error(background=torch.zeros(18, 24, 6)[..., ::2]).expected == "contiguous memory"
    assert error(screen_offsets=torch.zeros(2, 7).T).expected == "contiguous memory"
    assert error(altered(features=torch.zeros(7, 3).to_sparse())).got == "torch.sparse_coo"


def test_a_camera_may_hold_any_view_of_its_matrices(backend: Backend):
    view = camera()
    turned = Camera(view.K.T.contiguous().T, view.cam_from_world.T.contiguous().T, view.width, view.height)
    assert not turned.K.is_contiguous()
    surfels = random_surfels(7)
    assert torch.equal(backend(surfels, turned).color, backend(surfels, view).color)


WRONG_KINDS = """
import recon4d, torch
from dataclasses import replace
from recon4d import Camera, InputError, Surfels, rasterize
surfels = Surfels(torch.zeros(7, 3), torch.ones(7, 4), torch.ones(7, 2), torch.ones(7), features=torch.ones(7, 1))
camera = Camera(torch.eye(3), torch.eye(4), 4, 3)
calls = [
    lambda: rasterize({"centers": surfels.centers}, camera),
    lambda: rasterize(replace(surfels, centers=[[0.0] * 3] * 7), camera),
    lambda: rasterize(replace(surfels, opacities=surfels.opacities.numpy()), camera),
    lambda: rasterize(surfels, torch.eye(4)),
    lambda: rasterize(surfels, [camera, "camera"]),
    lambda: rasterize(surfels, camera, background=[0.0]),
    lambda: rasterize(surfels, camera, screen_offsets=0.0),
    lambda: rasterize(surfels, camera, backend="gpu"),
    lambda: rasterize(surfels, camera, backend=None),
    lambda: rasterize(surfels, camera, near="0.1"),
    lambda: rasterize(surfels, camera, min_transmittance=None),
]
for call in calls:
    try:
        call()
    except InputError as error:
        print(error)
"""


def test_arguments_of_the_wrong_kind():
    # In a process of its own: in this one the annotations would stop them first.
    completed = subprocess.run(
        [sys.executable, "-c", WRONG_KINDS], capture_output=True, text=True, check=True, timeout=120
    )
    assert completed.stdout.splitlines() == [
        "surfels: expected a Surfels, got dict. Fix: build recon4d.Surfels(...)",
        "surfels.centers: expected a torch tensor, got list. Fix: use torch.as_tensor",
        "surfels.opacities: expected a torch tensor, got ndarray. Fix: use torch.as_tensor",
        "cameras: expected a Camera, or a list of at least one, got Tensor. Fix: pass recon4d.Camera",
        "cameras: expected a Camera, or a list of at least one, got [Camera, str]. Fix: pass recon4d.Camera",
        "background: expected a torch tensor, got list. Fix: use torch.as_tensor",
        "screen_offsets: expected a torch tensor, got float. Fix: use torch.as_tensor",
        "backend: expected one of auto, reference, cpu, cuda, gsplat, got 'gpu'. Fix: leave it out for the fastest",
        "backend: expected one of auto, reference, cpu, cuda, gsplat, got None. Fix: leave it out for the fastest",
        "near: expected a finite number, got '0.1'. Fix: leave out near for its default, recon4d.render.constants.NEAR",
        "min_transmittance: expected a finite number, got None. "
        "Fix: leave out min_transmittance for its default, recon4d.render.constants.MIN_TRANSMITTANCE",
    ]


# ------------------------------------------------------------------------------------------------------------- cameras


def view_with(**entries: float) -> Camera:
    view = camera()
    K = view.K.clone()
    for name, value in entries.items():
        K[int(name[1]), int(name[2])] = value
    return Camera(K, view.cam_from_world, view.width, view.height)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ({"K00": 0.0}, "finite numbers with focal lengths fx, fy > 0"),
        ({"K11": -3.0}, "finite numbers with focal lengths fx, fy > 0"),
        ({"K00": math.inf}, "finite numbers with focal lengths fx, fy > 0"),
        ({"K11": math.nan}, "finite numbers with focal lengths fx, fy > 0"),
        ({"K02": math.nan}, "finite numbers with focal lengths fx, fy > 0"),
        ({"K12": -math.inf}, "finite numbers with focal lengths fx, fy > 0"),
        ({"K01": 0.1}, "[[fx, 0, cx], [0, fy, cy], [0, 0, 1]] without skew"),
        ({"K10": 0.1}, "[[fx, 0, cx], [0, fy, cy], [0, 0, 1]] without skew"),
        ({"K01": math.nan}, "[[fx, 0, cx], [0, fy, cy], [0, 0, 1]] without skew"),
        ({"K20": 1e-3}, "[[fx, 0, cx], [0, fy, cy], [0, 0, 1]] without skew"),
        ({"K21": math.nan}, "[[fx, 0, cx], [0, fy, cy], [0, 0, 1]] without skew"),
        ({"K22": 2.0}, "[[fx, 0, cx], [0, fy, cy], [0, 0, 1]] without skew"),
    ],
)
def test_intrinsics_that_are_none(entries: dict[str, float], expected: str):
    caught = error(cameras=[camera(), view_with(**entries)])
    assert (caught.what, caught.expected) == ("cameras[1].K", expected)


@pytest.mark.parametrize(
    "change",
    [
        lambda pose: pose * 2,
        lambda pose: pose @ torch.diag(torch.tensor([1.0, 1.0, -1.0, 1.0])),  # mirrored: an OpenGL mistake
        lambda pose: pose @ torch.diag(torch.tensor([1.1, 1.1, 1.1, 1.0])),
        lambda pose: pose.T,
        lambda pose: torch.zeros(4, 4),
        lambda pose: pose + torch.tensor([[0, 0, 0, math.nan]] + [[0.0] * 4] * 3),
        lambda pose: pose + torch.tensor([[0, 0, 0, math.inf]] + [[0.0] * 4] * 3),
    ],
)
def test_poses_that_are_not_rigid(change: Any):
    view = camera()
    broken = Camera(view.K, change(view.cam_from_world), view.width, view.height)
    caught = error(cameras=[view, broken])
    assert caught.what == "cameras[1].cam_from_world"
    assert "R a rotation (no scale, no mirror image)" in caught.expected


def test_poses_with_rounding_are_drawn(backend: Backend):
    view = camera()
    rounded = Camera(view.K, (view.cam_from_world * 1000).round() / 1000, view.width, view.height)
    assert backend(random_surfels(7), rounded).alpha.max() > 0.1


# -------------------------------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"near": 0.0}, "near"),
        ({"near": -1.0}, "near"),
        ({"near": math.nan}, "near"),
        ({"near": math.inf}, "near"),
        ({"near": True}, "near"),
        ({"alpha_min": 0.0}, "alpha_min, alpha_max"),
        ({"alpha_min": 0.5, "alpha_max": 0.5}, "alpha_min, alpha_max"),
        ({"alpha_max": 1.01}, "alpha_min, alpha_max"),
        ({"alpha_min": math.nan}, "alpha_min"),
        ({"min_transmittance": -0.1}, "min_transmittance"),
        ({"min_transmittance": 1.0}, "min_transmittance"),
    ],
)
def test_limits_out_of_range(options: dict[str, Any], what: str):
    assert error(**options).what == what


def test_the_text_of_a_limit_names_its_default():
    assert str(error(near=-1.0)) == (
        "near: expected a depth > 0, got -1.0. Fix: leave out near for its default, recon4d.render.constants.NEAR"
    )


def test_limits_at_the_ends_of_their_ranges():
    Limits(near=1e-30, alpha_min=1e-30, alpha_max=1.0, min_transmittance=0.0)
    Limits(near=1, alpha_min=0.5, alpha_max=1, min_transmittance=0)


def test_defaults_of_rasterize_are_those_of_limits():
    signature = inspect.signature(rasterize).parameters
    assert {name: signature[name].default for name in vars(Limits())} == vars(Limits())


# -------------------------------------------------------------------------------------------------------------- values


BAD = [
    *((name, value) for name in ("centers", "rotations_wxyz", "scales", "opacities") for value in (math.nan, math.inf)),
    *((name, math.nan) for name in ("features", "sh", "world_from_canonical_wxyz")),
    *((name, -math.inf) for name in ("features", "sh", "centers")),
    ("scales", -1e-3),
    ("opacities", -1e-3),
    ("opacities", 1.001),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("name", "value"), BAD)
def test_bad_values_are_found_and_named(backend: Backend, name: str, value: float, dtype: torch.dtype):
    surfels = random_surfels(50, sh_degree=1 if name == "sh" else None, warped=name.startswith("world"), dtype=dtype)
    array = surfels.tensors()[name].clone()
    first = (37, *([1] * (array.ndim - 1)))
    array[first] = value
    array[(41, *first[1:])] = value
    with pytest.raises(InputError) as caught:
        backend(surfels.replace(**{name: array}), camera(dtype=dtype))
    assert caught.value.what == f"surfels.{name}"
    assert caught.value.got == f"2 bad of {array.numel()}, the first at index {list(first)}"


@pytest.mark.parametrize("name", ["rotations_wxyz", "world_from_canonical_wxyz"])
@pytest.mark.parametrize("size", [0.0, 1e-13])
def test_a_quaternion_without_a_direction(backend: Backend, name: str, size: float):
    surfels = random_surfels(50, sh_degree=1, warped=True)
    array = surfels.tensors()[name].clone()
    array[48] *= size / array[48].norm()
    with pytest.raises(InputError) as caught:
        backend(surfels.replace(**{name: array}), camera())
    assert str(caught.value) == (
        f"surfels.{name}: expected quaternions that can be normalised, got 1 bad of 50, the first at index [48]. "
        "Fix: use (1, 0, 0, 0) for none"
    )


def test_bad_values_in_one_state_of_a_batch(backend: Backend):
    surfels = random_surfels(50)
    centers = surfels.centers.repeat(3, 1, 1)
    centers[2, 49, 0] = math.nan
    with pytest.raises(InputError, match=r"1 bad of 450, the first at index \[2, 49, 0\]"):
        backend(surfels.replace(centers=centers), camera())


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_bad_offsets_and_backgrounds(backend: Backend, value: float):
    offsets = torch.zeros(50, 2)
    offsets[3, 1] = value
    with pytest.raises(InputError, match=r"screen_offsets: expected finite numbers, .* the first at index \[3, 1\]"):
        backend(random_surfels(50), camera(), screen_offsets=offsets)
    with pytest.raises(InputError, match=r"background: expected finite numbers, .* the first at index \[2\]"):
        backend(random_surfels(50), camera(), background=torch.tensor([0.0, 0.0, value]))


def test_values_at_the_ends_of_their_ranges(backend: Backend):
    surfels = random_surfels(4).replace(
        opacities=torch.tensor([0.0, 1.0, 1.0, 1.0]), scales=torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1, 1]])
    )
    output = backend(surfels, camera())
    assert all(torch.isfinite(image).all() for image in output.tensors().values())
    assert output.alpha.max() > 0.5
