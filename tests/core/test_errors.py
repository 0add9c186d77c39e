"""The texts that people read when something is wrong, word for word, and the classes that carry them."""

from __future__ import annotations

import copy
import multiprocessing
from collections.abc import Callable

import pytest
import torch

from recon4d.core import (
    BackendError,
    Camera,
    InputError,
    Recon4dError,
    SceneFormatError,
    SE3Spline,
    quaternion,
    rigid,
    spherical_harmonics,
)

ONE = torch.tensor([1.0, 0.0, 0.0, 0.0])
NAN = float("nan")

TEXTS: dict[str, tuple[Callable[[], object], str]] = {
    "camera size": (
        lambda: Camera(torch.eye(3), torch.eye(4), 640, 0),
        "Camera.height: expected a whole number of pixels >= 1, got 0. Fix: pass the size of the image",
    ),
    "camera matrix": (
        lambda: Camera(torch.eye(4), torch.eye(4), 640, 480),
        "Camera.K: expected a floating-point tensor [3, 3], got torch.float32 [4, 4]. "
        "Fix: build it with torch.tensor(...), one camera at a time",
    ),
    "camera types": (
        lambda: Camera(torch.eye(3), torch.eye(4).double(), 640, 480),
        "Camera.cam_from_world: expected the type and device of K, torch.float32 on cpu, got torch.float64 on cpu. "
        "Fix: convert both with .to(...) first",
    ),
    "look_at without direction": (
        lambda: Camera.look_at([0, 0, 2]),
        "look_at: expected eye apart from target and up not parallel to the view, got eye=[0.0, 0.0, 2.0], "
        "target=[0.0, 0.0, 0.0], up=[0.0, 0.0, 1.0]. Fix: move the eye or choose another up",
    ),
    "look_at shapes": (
        lambda: Camera.look_at([1.0, 2.0]),
        "look_at: expected eye, target and up of three numbers each, got [2] and [3] and [3]. "
        "Fix: give x, y and z in the world",
    ),
    "field of view": (
        lambda: Camera.look_at([1.0, 2.0, 3.0], fov_y_degrees=200),
        "fov_y_degrees: expected an angle between 0 and 180 degrees, got 200. Fix: 45 is a common choice",
    ),
    "harmonics count": (
        lambda: spherical_harmonics.evaluate(torch.zeros(5, 3), torch.zeros(3)),
        "spherical-harmonics coefficients: expected 1, 4, 9 or 16 of them (degree 0 to 3), got 5. "
        "Fix: pass coefficients of shape [..., K, 3] and cut or pad K",
    ),
    "harmonics degree": (
        lambda: spherical_harmonics.basis(torch.zeros(3), 4),
        "spherical-harmonics degree: expected 0, 1, 2 or 3, got 4. Fix: choose a degree that the basis has",
    ),
    "spline controls": (
        lambda: SE3Spline(torch.ones(3, 4), torch.zeros(3, 3), 0.0, 1.0),
        "SE3Spline control poses: expected rotations [..., K, 4] and translations [..., K, 3] of one floating type, "
        "K >= 4, got float32 [3, 4] and float32 [3, 3]. "
        "Fix: pass one translation per rotation, and at least 4 of each",
    ),
    "spline times": (
        lambda: SE3Spline.constant(ONE, torch.zeros(3), start=0.0, step=0.0),
        "SE3Spline times: expected a finite start and a step > 0, in seconds, got start=0.0, step=0.0. "
        "Fix: check the frame times of the clip",
    ),
    "spline query": (
        lambda: SE3Spline.constant(ONE, torch.zeros(3)).at(torch.tensor([0.0, NAN, NAN])),
        "SE3Spline: times: expected finite numbers, got 2 that are not, the first at index [1]. "
        "Fix: leave out the times without a known pose",
    ),
    "fit shapes": (
        lambda: SE3Spline.fit(torch.zeros(4), torch.ones(5, 4), torch.zeros(5, 3), step=1.0),
        "SE3Spline.fit: poses: expected times [T], rotations [..., T, 4] and translations [..., T, 3] of one type, "
        "T >= 1, got float32 [4], float32 [5, 4] and float32 [5, 3]. "
        "Fix: pass one rotation and one translation per time",
    ),
    "fit step": (
        lambda: SE3Spline.fit(torch.linspace(0, 2, 5), torch.ones(5, 4), torch.zeros(5, 3), step=1e-6),
        "SE3Spline.fit: step: expected seconds > 0 that give the 2 s of the poses at most 2048 controls, got 1e-06. "
        "Fix: a few frame times per step is a common choice",
    ),
    "fit rotations": (
        lambda: SE3Spline.fit(torch.linspace(0, 2, 5), torch.zeros(5, 4), torch.zeros(5, 3), step=1.0),
        "SE3Spline.fit: rotations: expected quaternions other than zero, got 5 zero quaternions, "
        "the first at index [0]. "
        "Fix: leave out the times without a known rotation",
    ),
    "alignment shapes": (
        lambda: rigid.align_similarity(torch.zeros(2, 3), torch.zeros(2, 3)),
        "align_similarity: shapes: expected source and target [..., N, 3] and weights [..., N], N >= 3, "
        "got [2, 3] and [2, 3]. Fix: pass the same points in the same order, at least 3",
    ),
    "alignment values": (
        lambda: rigid.align_similarity(torch.eye(3), torch.eye(3), torch.tensor([1.0, -1.0, 1.0])),
        "align_similarity: weights: expected finite numbers >= 0, got 1 that are not, the first at index [1]. "
        "Fix: leave those points out",
    ),
    "alignment weights": (
        lambda: rigid.align_similarity(torch.eye(3), torch.eye(3), torch.zeros(3)),
        "align_similarity: weights: expected a sum > 0, got only zeros. Fix: give a weight to at least 3 points",
    ),
    "alignment of a line": (
        lambda: rigid.align_similarity(torch.eye(3)[:1].expand(3, 3), torch.eye(3)),
        "align_similarity: points: expected 3 or more pairs with weight, not on one line, neither set a mirror image "
        "of the other, got points on one line or at one place. "
        "Fix: add points off the line, or check the order and the axes of the two sets",
    ),
}


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize("case", TEXTS)
def test_texts(case: str):
    cause, text = TEXTS[case]
    with pytest.raises(InputError) as caught:
        cause()
    assert str(caught.value) == text
    assert "\n" not in text


def test_the_cases_are_about_valid_neighbours():
    """The values around the faults above are fine, so each text is about its own fault."""
    assert Camera(torch.eye(3), torch.eye(4), 640, 480).width == 640
    assert SE3Spline.constant(ONE, torch.zeros(3)).end == 1
    assert quaternion.normalize(ONE).tolist() == ONE.tolist()
    assert rigid.align_similarity(torch.eye(3), torch.eye(3)).scale.item() == pytest.approx(1)


@pytest.mark.parametrize("kind", [Recon4dError, InputError, SceneFormatError, BackendError])
def test_fields_and_text(kind: type[Recon4dError]):
    error = kind("scales", expected="values >= 0", got="-1", fix="take their absolute values")
    assert (error.what, error.expected, error.got, error.fix) == (
        "scales",
        "values >= 0",
        "-1",
        "take their absolute values",
    )
    assert str(error) == "scales: expected values >= 0, got -1. Fix: take their absolute values"


def test_classes_fit_the_built_in_ones():
    assert issubclass(InputError, Recon4dError)
    assert issubclass(InputError, ValueError)
    assert issubclass(SceneFormatError, InputError)
    assert issubclass(BackendError, Recon4dError)
    assert issubclass(BackendError, RuntimeError)


@pytest.mark.parametrize("kind", [Recon4dError, InputError, SceneFormatError, BackendError])
def test_errors_keep_their_fields_when_copied(kind: type[Recon4dError]):
    error = kind("a", expected="b", got="c", fix="d")
    twin = copy.copy(error)
    assert type(twin) is kind
    assert vars(twin) == vars(error)
    assert str(twin) == str(error)


def test_errors_cross_a_process_border():
    ours, theirs = multiprocessing.Pipe()
    theirs.send(SceneFormatError("a", expected="b", got="c", fix="d"))
    received = ours.recv()
    assert type(received) is SceneFormatError
    assert (received.what, received.expected, received.got, received.fix) == ("a", "b", "c", "d")
