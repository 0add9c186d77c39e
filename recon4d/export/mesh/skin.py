"""Skin weights of a mesh: taken over from the surfels, evened out, cut to four.  Also bones for what has none.

Does NOT know time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int, Int64

from recon4d.export.mesh.motion import Anchors
from recon4d.export.mesh.topology import TriMesh
from recon4d.field import BonesWarp
from recon4d.synthetic.skeleton import Skeleton, smooth_weights
from recon4d.synthetic.surface import directed_edges

INFLUENCES = 4
_ROUNDS = 2
_FAINT = 1e-4  # weights below this move nothing that one could see


@dataclass(frozen=True, eq=False)
class Skin:
    """Which bones move each vertex.

    Attributes:
        indices: [V, 4] bones, strongest first; slots without weight are on bone 0.
        weights: [V, 4] weights that sum to 1 in float32.
    """

    indices: Int64[np.ndarray, "v 4"]
    weights: Float32[np.ndarray, "v 4"]


def transferred(warp: BonesWarp, anchors: Anchors, mesh: TriMesh) -> Skin:
    """The weights of the surfels that each vertex moves with, smoothed over the surface."""
    from scipy.sparse import coo_array

    vertices, bones = len(mesh.vertices), warp.rest_rotations_wxyz.shape[0]
    rows = anchors.rows.numpy()
    shares = anchors.shares.double().numpy()[..., None] * warp.weights.detach().double().cpu().numpy()[rows]
    columns = warp.weight_indices.cpu().numpy()[rows]
    owner = np.broadcast_to(np.arange(vertices)[:, None, None], columns.shape)
    dense = coo_array((shares.ravel(), (owner.ravel(), columns.ravel())), shape=(vertices, bones)).toarray()
    return strongest_four(smoothed_weights(dense, mesh))


def smoothed_weights(weights: Float[np.ndarray, "v b"], mesh: TriMesh) -> Float[np.ndarray, "v b"]:
    """Two rounds of averaging with the neighbours."""
    from scipy.sparse import csr_array

    if len(mesh.faces) == 0:
        return weights
    first, second = directed_edges(mesh.faces)
    size = len(mesh.vertices)
    pull = csr_array((np.ones(2 * len(first)), (np.r_[first, second], np.r_[second, first])), shape=(size, size))
    degree = np.asarray(pull.sum(1))[:, None]
    for _ in range(_ROUNDS):
        weights = np.where(degree > 0, 0.5 * weights + 0.5 * (pull @ weights) / np.maximum(degree, 1), weights)
    return weights


def strongest_four(weights: Float[np.ndarray, "v b"]) -> Skin:
    """The four strongest bones of each vertex, faint ones dropped, made to sum to one."""
    order = np.argsort(-weights, axis=1, kind="stable")[:, :INFLUENCES]
    order = np.pad(order, ((0, 0), (0, INFLUENCES - order.shape[1])))
    kept = np.take_along_axis(weights, order, axis=1)
    kept[:, weights.shape[1] :] = 0
    kept[kept < _FAINT * kept[:, :1]] = 0
    kept = (kept / kept.sum(1, keepdims=True)).astype(np.float32)
    # Sums of float32 are one to the last bit or two, as validators want them.
    kept[:, 0] += 1 - kept.sum(1, dtype=np.float64).astype(np.float32)
    return Skin(np.where(kept > 0, order, 0).astype(np.int64), kept)


def free_bones(mesh: TriMesh, count: int) -> tuple[Float[np.ndarray, "b 3"], Skin]:
    """Bones spread evenly over a surface: their places [B, 3], and smooth weights."""
    vertices = mesh.vertices
    count = min(count, len(vertices))
    chosen = [int(vertices[:, 2].argmax())]
    nearest = np.full(len(vertices), np.inf)
    for _ in range(count - 1):
        nearest = np.minimum(nearest, np.linalg.norm(vertices - vertices[chosen[-1]], axis=-1))
        chosen.append(int(nearest.argmax()))
    heads = vertices[chosen]
    names = tuple(f"bone_{i}" for i in range(count))
    scattered = Skeleton(names, (-1,) * count, heads, heads, np.ones(count))
    spacing = float(np.minimum(nearest, np.linalg.norm(vertices - heads[-1], axis=-1)).max())
    indices, weights = _smooth(scattered, mesh, 0.45 * spacing)
    dense = np.zeros((len(vertices), count))
    np.put_along_axis(dense, indices, weights, axis=1)
    return heads, strongest_four(dense)


def _smooth(skeleton: Skeleton, mesh: TriMesh, width: float) -> tuple[Int[np.ndarray, "v 4"], Float[np.ndarray, "v 4"]]:
    return smooth_weights(skeleton, mesh.vertices, mesh.faces, max(width, 1e-9))


def posed(
    vertices: Float[np.ndarray, "v 3"],
    skin: Skin,
    rotations: Float[np.ndarray, "t b 3 3"],
    translations: Float[np.ndarray, "t b 3"],
) -> Float32[np.ndarray, "t v 3"]:
    """Linear blend skinning at every time, as glTF does it.

    Args:
        vertices: [V, 3] canonical.
        skin: of the vertices.
        rotations, translations: world_from_canonical that each bone applies.
    """
    from scipy.sparse import csr_array

    count, bones = len(vertices), rotations.shape[1]
    matrix = csr_array(
        (skin.weights.ravel().astype(np.float64), skin.indices.ravel(), np.arange(count + 1) * INFLUENCES),
        shape=(count, bones),
    )
    out = np.empty((len(rotations), count, 3), np.float32)
    for t, (turn, shift) in enumerate(zip(rotations, translations, strict=True)):
        blended = matrix @ np.concatenate([turn.reshape(bones, 9), shift], axis=1)
        out[t] = np.einsum("vij,vj->vi", blended[:, :9].reshape(-1, 3, 3), vertices) + blended[:, 9:]
    return out
