"""What the renderer is given: a moving textured surface with the truth that belongs to it, wherever it came from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from recon4d.synthetic.creature import Creature
from recon4d.synthetic.surface import vertex_normals
from recon4d.synthetic.texture import Painter


@dataclass(frozen=True, eq=False)
class SubjectRig:
    """The skeleton behind a subject, stored as truth.

    Attributes:
        names, parents: of B joints; parent -1 for a root.
        rest: [B, 4, 4] `world_from_joint` at rest: the pose in which the skin was bound to the joints.
        rest_vertices: [V, 3] vertices in that pose.
        frames_at: `world_from_joint` [B, 4, 4] at a time of the clip in seconds.  May scale and shear.
        indices, weights: [V, K] influences; the weights of a vertex that no joint moves are zero.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    rest: Float[np.ndarray, "b 4 4"]
    rest_vertices: Float[np.ndarray, "v 3"]
    frames_at: Callable[[float], Float[np.ndarray, "b 4 4"]]
    indices: Int[np.ndarray, "v k"]
    weights: Float[np.ndarray, "v k"]


@dataclass(frozen=True, eq=False)
class Subject:
    """A moving surface.  World up is +z.

    Attributes:
        name: short name for files and messages.
        rest: [V, 3] vertices at rest.
        faces: [F, 3] counter-clockwise seen from outside.
        vertices_at: vertices [V, 3] in the world at a time of the clip in seconds.
        painter: colour (display sRGB) at a face and barycentric coordinates.
        duration: seconds of the clip.
        loops: whether the clip may be played over and over.
        normal_groups: [V] vertices of one group share a normal (the same point, split for its texture coordinates).
        uv: [V, 2] texture coordinates in the image's convention (origin top left), or None.
        rig: the skeleton, or None.
        source: where it came from, for the record.
    """

    name: str
    rest: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    vertices_at: Callable[[float], Float[np.ndarray, "v 3"]]
    painter: Painter
    duration: float
    loops: bool
    normal_groups: Int[np.ndarray, "v"]
    uv: Float[np.ndarray, "v 2"] | None = None
    rig: SubjectRig | None = None
    source: dict[str, object] = field(default_factory=dict)

    def normals_of(self, vertices: Float[np.ndarray, "v 3"]) -> Float[np.ndarray, "v 3"]:
        """Smooth unit normals [V, 3] of posed vertices; seams of the texture do not show."""
        # Each group's first vertex stands for all of it, so faces on both sides of a seam add to one normal.
        return vertex_normals(vertices, self.normal_groups[self.faces])[self.normal_groups]

    def vertex_colors(self) -> Float[np.ndarray, "v 3"]:
        """Display colours [V, 3], taken from any one face of each vertex; grey for a vertex without faces."""
        colors = np.full((len(self.rest), 3), 0.5)
        corners = np.repeat(np.eye(3)[None], len(self.faces), 0).reshape(-1, 3)
        used, first = np.unique(self.faces.reshape(-1), return_index=True)
        colors[used] = np.clip(self.painter(first // 3, corners[first]), 0, 1)
        return colors


def subject_of_creature(creature: Creature) -> Subject:
    """The subject that a built-in creature is."""

    def painter(face: Int[np.ndarray, "n"], barycentric: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        return creature.paint((creature.vertices[creature.faces[face]] * barycentric[..., None]).sum(1))

    rig = None
    if creature.rig is not None:
        skeleton = creature.rig.skeleton
        rig = SubjectRig(
            skeleton.names,
            skeleton.parents,
            skeleton.rest(),
            creature.vertices,
            creature.rig.pose,
            creature.rig.indices,
            creature.rig.weights,
        )
    return Subject(
        creature.name,
        creature.vertices,
        creature.faces,
        creature.vertices_at,
        painter,
        creature.duration,
        creature.loops,
        np.arange(len(creature.vertices)),
        rig=rig,
        source={"kind": "creature", "name": creature.name, "duration": creature.duration},
    )
