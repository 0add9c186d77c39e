"""What is outside the masks: nothing worth showing, something that stands still in the world, or before the camera.

Follows from what the earlier stages measured; looks at the pictures only where they did not.  Does NOT fit anything.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from recon4d.data.motion.cameras.background import background_motion
from recon4d.data.motion.cameras.record import CameraSolution
from recon4d.data.motion.clip import Clip
from recon4d.data.motion.masks import Masks

BackgroundKind = Literal["none", "static", "camera"]
_SAME_PLACE = 1e-6  # Poses closer than this are one pose.
_FEW = 12  # Frames that are enough to see whether a background moves.


def subject_background(clip: Clip, masks: Masks, solution: CameraSolution) -> BackgroundKind:
    """Which background a fit should have.

    Args:
        clip: frames.
        masks: as found for it.
        solution: its cameras.

    Returns:
        "static": what is outside the masks stands still in the solution's world, or the whole picture is the subject
        (no masks).  "camera": it stands still before the camera, while the solution's cameras go around the subject.
        "none": it is transparent or plain, or moves in neither way that can be fitted.
    """
    if masks.masks is None:
        return "static"
    if masks.health.method in ("alpha", "plain"):
        return "none"
    health = solution.health
    if health.chosen in ("scene", "rotation"):
        return "static"
    motion = health.background
    if motion is None:
        # Pictures of several cameras cannot be compared; those with poses show one world.
        if not clip.is_sequence:
            return "static"
        frames = np.unique(np.linspace(0, len(clip) - 1, _FEW).round().astype(int))
        motion = background_motion(clip, np.asarray(masks.masks), frames)
    if motion.plain:
        return "none"
    if health.chosen == "given" and not motion.still:
        return "static"
    if not motion.still:
        return "none"
    return "static" if _stands_still(solution) else "camera"


def _stands_still(solution: CameraSolution) -> bool:
    poses = np.stack([camera.cam_from_world.double().numpy() for camera in solution.cameras])
    return bool(np.abs(poses - poses[:1]).max() <= _SAME_PLACE * max(1.0, float(np.abs(poses).max())))
