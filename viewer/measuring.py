"""A tape measure: two clicks on the surface, the way between them, and the scale of the scene.

Does NOT store the scale: the project's notes do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recon4d.core import InputError
from recon4d.viewer.pointing import Spot, hit, ray

if TYPE_CHECKING:
    from recon4d.viewer.session import Session


@dataclass
class Tape:
    """The tape of one client.

    Attributes:
        session: whose.
        points: [P, 3] up to two points in the world.
    """

    session: Session
    points: list[np.ndarray]

    def click(self, spot: Spot) -> None:
        """Set the next end; a third click begins anew.

        Raises:
            InputError: nothing is there.
        """
        found = hit(self.session.project.view, self.session.playback.time, *ray(self.session, spot))
        if found is None:
            raise InputError(
                "measure", expected="a click on the surface", got="one beside it", fix="click on the scene"
            )
        self.points = [*self.points, found] if len(self.points) == 1 else [found]
        self.show()

    @property
    def length(self) -> float | None:
        """Between both ends, scene units."""
        return float(np.linalg.norm(self.points[1] - self.points[0])) if len(self.points) == 2 else None

    def words(self) -> str:
        """The length for people."""
        length, metres = self.length, self.session.project.view.metres_per_unit
        if length is None:
            return "Click the first end." if not self.points else "Click the other end."
        if metres is None:
            return f"{length:.4g} scene units (how many metres that is, is not known)"
        real = length * metres
        return f"{real:.3f} m ({length:.4g} scene units)" if real >= 1 else f"{100 * real:.2f} cm"

    def metres_per_unit(self, real_length: float) -> float:
        """The scale under which the measured way is so many metres long.

        Raises:
            InputError: nothing is measured, or a length that is none.
        """
        length = self.length
        if length is None or length <= 0:
            raise InputError("measure", expected="two ends", got="fewer", fix="click both ends of a known length")
        if not 0 < real_length < 1e6:
            raise InputError("length", expected="metres above 0", got=f"{real_length:g}", fix="type the true length")
        return real_length / length

    def show(self) -> None:
        """Draw the tape."""
        scene, space = self.session.scene, self.session.shared.space
        for name in ("/tools/tape", "/tools/tape_ends"):
            if (known := scene.get_handle_by_name(name)) is not None:
                known.remove()
        if not self.points:
            return
        places = space.to_page(np.stack(self.points))
        scene.add_point_cloud(
            "/tools/tape_ends", places.astype(np.float32), (255, 140, 20), point_size=0.02, point_shape="circle"
        )
        if len(places) == 2:
            scene.add_line_segments(
                "/tools/tape", places[None], (255, 140, 20), thickness=3.0, thickness_units="screen"
            )

    def clear(self) -> None:
        """Take the tape away."""
        self.points = []
        self.show()
