"""What the `gsplat` backend hands to gsplat and makes of its answer; gsplat itself needs a GPU (tests/bench/gpu.py)."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
import torch

from recon4d import BackendError, Camera, InputError, Surfels
from recon4d.render import Limits, gsplat
from recon4d.render.reference import rasterize_batch
from tests.render.helpers import camera, random_surfels

VIEW = camera(17, 12)


def stand_in(**arguments: Any) -> tuple[Any, ...]:
    """Answers as gsplat does, in its shapes and frames, with the reference's numbers."""
    a = arguments
    assert a["packed"] is False
    assert a["render_mode"] == "RGB+ED"
    assert a["distloss"] is True
    assert a["scales"].shape == (len(a["means"]), 3)
    assert a["colors"].shape == (1, len(a["means"]), 3)
    surfels = Surfels(a["means"], a["quats"], a["scales"][:, :2].contiguous(), a["opacities"], features=a["colors"][0])
    background = None if a["backgrounds"] is None else a["backgrounds"][0]
    limits = Limits(near=a["near_plane"])
    size = (a["width"], a["height"])
    o = rasterize_batch(
        surfels, a["Ks"], a["viewmats"], *size, background=background, limits=limits, screen_offsets=None
    )
    world_from_cam = a["viewmats"][0, :3, :3].T
    normal = torch.einsum("ij,bhwj->bhwi", world_from_cam, o.normal)
    radii = torch.stack([o.radii, o.radii / 2], dim=-1).ceil().int()
    return torch.cat([o.color, o.depth], -1), o.alpha, normal, None, o.distortion, o.depth_median, {"radii": radii}


@pytest.fixture
def fake_gsplat(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("gsplat")
    module.rasterization_2dgs = stand_in  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gsplat", module)
    monkeypatch.setattr(gsplat, "why_not", str)


def draw(module: Any, surfels: Surfels, views: list[Camera], **options: Any) -> Any:
    K, pose = (torch.stack([getattr(view, name) for view in views]) for name in ("K", "cam_from_world"))
    defaults = {"background": None, "limits": Limits(), "screen_offsets": None}
    return module(surfels, K, pose, views[0].width, views[0].height, **{**defaults, **options})


def test_colors_frames_and_batches_are_ours(fake_gsplat: None):
    surfels = random_surfels(30, sh_degree=2, warped=True)
    surfels = surfels.replace(centers=torch.stack([surfels.centers, surfels.centers + 0.1]))
    views = [VIEW, camera(17, 12, eye=(-0.5, -2.5, 0.2))]
    options = {"background": torch.tensor([0.1, 0.2, 0.3]), "limits": Limits(near=0.02)}
    actual = draw(gsplat.rasterize_batch, surfels, views, **options).tensors()
    expected = draw(rasterize_batch, surfels, views, **options).tensors()
    assert torch.equal(actual.pop("radii"), expected.pop("radii").ceil())
    for name in expected:
        torch.testing.assert_close(actual[name], expected[name], rtol=1e-5, atol=1e-6, msg=name)


def test_no_surfels_never_reach_gsplat(fake_gsplat: None):
    output = draw(gsplat.rasterize_batch, random_surfels(0), [VIEW], background=torch.ones(3))
    assert torch.equal(output.color, torch.ones(1, 12, 17, 3))


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"screen_offsets": torch.zeros(4, 2)}, "screen_offsets"),
        ({"limits": Limits(alpha_max=0.9)}, "limits"),
    ],
)
def test_what_gsplat_cannot_do_is_refused(fake_gsplat: None, options: dict[str, Any], what: str):
    with pytest.raises(InputError) as caught:
        draw(gsplat.rasterize_batch, random_surfels(4), [VIEW], **options)
    assert caught.value.what == what


def test_double_precision_is_refused(fake_gsplat: None):
    surfels, view = random_surfels(4, dtype=torch.float64), camera(9, 7, dtype=torch.float64)
    with pytest.raises(InputError, match="float32 for gsplat"):
        draw(gsplat.rasterize_batch, surfels, [view])


def test_without_gsplat_it_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BackendError, match=r"gsplat is not installed: pip install recon4d\[gsplat\]"):
        draw(gsplat.rasterize_batch, random_surfels(4), [VIEW])
