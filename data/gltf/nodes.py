"""The node tree of a glTF file at a time: world matrices and morph weights."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from jaxtyping import Float

from recon4d.core import InputError
from recon4d.data.gltf.animation import Channel, matrix_of
from recon4d.data.gltf.file import GltfFile

_REST = {"translation": (0.0, 0.0, 0.0), "rotation": (0.0, 0.0, 0.0, 1.0), "scale": (1.0, 1.0, 1.0)}


class NodeTree:
    """Nodes with their parents, in an order in which parents come first.

    Attributes:
        nodes: the file's nodes.
        parents: parent of each node, -1 for a root.
        order: all nodes, parents before children.
    """

    def __init__(self, file: GltfFile) -> None:
        self.file = file
        self.nodes: list[dict[str, Any]] = file.items("nodes")
        self.parents = [-1] * len(self.nodes)
        for i, node in enumerate(self.nodes):
            for child in node.get("children", []):
                file.item("nodes", child)
                if self.parents[child] != -1 or child == i:
                    raise file.fail(f"nodes[{child}]", "one parent", f"nodes {self.parents[child]} and {i}")
                self.parents[child] = i
        self.order: list[int] = []
        waiting = [i for i, parent in enumerate(self.parents) if parent == -1]
        while waiting:
            i = waiting.pop()
            self.order.append(i)
            waiting += self.nodes[i].get("children", [])
        if len(self.order) != len(self.nodes):
            raise file.fail("nodes", "a tree", "a circle of parents")
        self._rest = [self._rest_of(i) for i in range(len(self.nodes))]

    def name(self, index: int) -> str:
        """The node's name, or its number."""
        return str(self.nodes[index].get("name", f"node_{index}"))

    def _rest_of(self, index: int) -> dict[str, Float[np.ndarray, "_"]]:
        node = self.nodes[index]
        rest: dict[str, Float[np.ndarray, "_"]] = {}
        for key, default in (*_REST.items(), ("matrix", None)):
            value = node.get(key, default)
            if value is None:
                continue
            size = 16 if key == "matrix" else len(_REST[key])
            try:
                array = np.asarray(value, np.float64)
            except (TypeError, ValueError):
                array = np.zeros(0)
            if array.shape != (size,) or not np.isfinite(array).all():
                raise self.file.fail(f"nodes[{index}].{key}", f"{size} finite numbers", repr(value)[:60])
            rest[key] = array
        return rest

    def reachable(self) -> set[int]:
        """Nodes of the file's scene; all of them when it names none."""
        scenes = self.file.items("scenes")
        if not scenes:
            return set(range(len(self.nodes)))
        waiting = list(self.file.item("scenes", self.file.json.get("scene", 0)).get("nodes", []))
        found: set[int] = set()
        while waiting:
            i = waiting.pop()
            self.file.item("nodes", i)
            found.add(i)
            waiting += self.nodes[i].get("children", [])
        return found

    def hidden(self, patterns: Sequence[str]) -> set[int]:
        """Nodes whose name fits one of the patterns (with * and ?), and everything below them.

        Raises:
            InputError: when a pattern fits no node.
        """
        out: set[int] = set()
        for pattern in patterns:
            fits = [i for i in range(len(self.nodes)) if fnmatchcase(self.name(i), pattern)]
            if not fits:
                named = ", ".join(self.name(i) for i in range(len(self.nodes)) if "mesh" in self.nodes[i])
                raise InputError("hide", expected=f"a node of {self.file.path.name}: {named}", got=repr(pattern),
                                 fix="use a name of the list, or * and ?")  # fmt: skip
            out.update(fits)
        for i in self.order:
            if self.parents[i] in out:
                out.add(i)
        return out

    def world_matrices(self, channels: Sequence[Channel], time: float) -> Float[np.ndarray, "n 4 4"]:
        """`world_from_node` of every node, in the file's axes."""
        posed: dict[int, dict[str, Float[np.ndarray, "_"]]] = {}
        for channel in channels:
            if channel.path != "weights":
                posed.setdefault(channel.node, {})[channel.path] = channel.at(time)
        world = np.zeros((len(self.nodes), 4, 4))
        for i in self.order:
            rest = self._rest[i]
            if "matrix" in rest and i not in posed:
                local = rest["matrix"].reshape(4, 4).T
            else:
                values = {**rest, **posed.get(i, {})}
                local = matrix_of(values["translation"], values["rotation"], values["scale"])
            parent = self.parents[i]
            world[i] = local if parent == -1 else world[parent] @ local
        return world

    def morph_weights(self, node: int, channels: Sequence[Channel], time: float, count: int) -> Float[np.ndarray, "m"]:
        """Weights of the `count` morph targets of a node's mesh at a time."""
        for channel in channels:
            if channel.node == node and channel.path == "weights":
                weights = channel.at(time)
                break
        else:
            mesh = self.file.item("meshes", self.nodes[node].get("mesh"))
            weights = np.asarray(self.nodes[node].get("weights", mesh.get("weights", [0.0] * count)), np.float64)
        if weights.shape != (count,):
            raise self.file.fail(f"weights of {self.name(node)}", f"{count} numbers", f"{weights.shape}")
        return weights
