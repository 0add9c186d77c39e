"""Layers' meshes in USD: skinned by UsdSkel, moved as a whole, or with points at every moment.

Linear blend skinning with four influences, as the meshes were made for.  Colours are display colours that need no
light: a texture as emission, or vertex colours.  Does NOT make meshes.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from recon4d.core.srgb import linear_from_display
from recon4d.export.mesh.bones import BoneTrack
from recon4d.export.mesh.layers import LayerMesh
from recon4d.export.usd.stage import Stage, vec3f


def add_mesh(stage: Stage, layer: LayerMesh, *, textured: bool) -> None:
    """Add a layer's mesh, at all moments of the stage.

    Args:
        stage: with the moments of `layer.positions`.
        layer: what to add.
        textured: whether the file can hold a texture; vertex colours are written where not.
    """
    from pxr import UsdGeom, UsdSkel

    skinned = layer.motion == "bones"
    path = stage.path(layer.name)
    top = (UsdSkel.Root if skinned else UsdGeom.Xform).Define(stage.usd, path)
    top.GetPrim().SetDisplayName(layer.name)
    mesh = UsdGeom.Mesh.Define(stage.usd, f"{path}/Mesh")
    _fill(stage, mesh, layer)
    if layer.texture is not None and textured:
        _add_texture(stage, mesh, layer, path)
    else:
        colors = mesh.CreateDisplayColorPrimvar(UsdGeom.Tokens.vertex)
        colors.Set(vec3f(linear_from_display(layer.colors.clip(0, 1).astype(np.float64))))
        _add_material(stage, mesh, path)
    if skinned:
        _add_skeleton(stage, mesh, layer, path)
        _add_extents(stage, top, layer.positions)


def _fill(stage: Stage, mesh: Any, layer: LayerMesh) -> None:
    """Topology, points, and the motion of a mesh without bones."""
    from pxr import Gf, UsdGeom, Vt

    faces = layer.mesh.faces
    mesh.CreateFaceVertexCountsAttr().Set(Vt.IntArray.FromNumpy(np.full(len(faces), 3, np.int32)))
    mesh.CreateFaceVertexIndicesAttr().Set(Vt.IntArray.FromNumpy(faces.reshape(-1).astype(np.int32)))
    mesh.CreateSubdivisionSchemeAttr().Set(UsdGeom.Tokens.none)
    mesh.CreateDoubleSidedAttr().Set(True)
    points = mesh.CreatePointsAttr()
    if layer.motion == "shapes":
        stage.sample(points, [vec3f(state) for state in layer.positions])
        _add_extents(stage, mesh, layer.positions)
        return
    points.Set(vec3f(layer.mesh.vertices))
    _add_extents(stage, mesh, layer.mesh.vertices[None])
    if layer.motion == "rigid" and layer.bones is not None:
        xform = UsdGeom.Xformable(mesh)
        shift, turn = xform.AddTranslateOp(), xform.AddOrientOp(UsdGeom.XformOp.PrecisionDouble)
        stage.sample(shift.GetAttr(), [Gf.Vec3d(*place) for place in layer.bones.root_translations.tolist()])
        stage.sample(turn.GetAttr(), [Gf.Quatd(*q) for q in layer.bones.root_rotations.tolist()])


def _add_extents(stage: Stage, prim: Any, positions: np.ndarray) -> None:
    boxes = [vec3f(np.stack([state.min(0), state.max(0)])) for state in positions]
    if len(boxes) == 1:
        prim.CreateExtentAttr().Set(boxes[0])
    else:
        stage.sample(prim.CreateExtentAttr(), boxes)


def _add_texture(stage: Stage, mesh: Any, layer: LayerMesh, path: str) -> None:
    from PIL import Image
    from pxr import Sdf, UsdGeom, UsdShade, Vt

    assert layer.texture is not None
    uv = layer.cut.uv.astype(np.float32) * [1, -1] + [0, 1]  # USD counts from the lower left
    st = UsdGeom.PrimvarsAPI(mesh).CreatePrimvar("st", Sdf.ValueTypeNames.TexCoord2fArray, UsdGeom.Tokens.faceVarying)
    st.Set(Vt.Vec2fArray.FromNumpy(np.ascontiguousarray(uv, np.float32)))
    st.SetIndices(Vt.IntArray.FromNumpy(layer.cut.faces.reshape(-1).astype(np.int32)))
    name = f"textures/{path.rpartition('/')[2]}.png"
    buffer = io.BytesIO()
    Image.fromarray(layer.texture).save(buffer, "PNG")
    stage.assets[name] = buffer.getvalue()
    surface = _add_material(stage, mesh, path)
    reader = UsdShade.Shader.Define(stage.usd, f"{path}/Material/Coordinates")
    reader.CreateIdAttr("UsdPrimvarReader_float2")
    reader.CreateInput("varname", Sdf.ValueTypeNames.String).Set("st")
    texture = UsdShade.Shader.Define(stage.usd, f"{path}/Material/Texture")
    texture.CreateIdAttr("UsdUVTexture")
    texture.CreateInput("file", Sdf.ValueTypeNames.Asset).Set(Sdf.AssetPath(name))
    texture.CreateInput("sourceColorSpace", Sdf.ValueTypeNames.Token).Set("sRGB")
    texture.CreateInput("st", Sdf.ValueTypeNames.Float2).ConnectToSource(
        reader.CreateOutput("result", Sdf.ValueTypeNames.Float2)
    )
    color = texture.CreateOutput("rgb", Sdf.ValueTypeNames.Float3)
    surface.CreateInput("emissiveColor", Sdf.ValueTypeNames.Color3f).ConnectToSource(color)


def _add_material(stage: Stage, mesh: Any, path: str) -> Any:
    """A surface that reflects nothing; its emission is the vertex colours until something else is connected."""
    from pxr import Gf, Sdf, UsdShade

    material = UsdShade.Material.Define(stage.usd, f"{path}/Material")
    surface = UsdShade.Shader.Define(stage.usd, f"{path}/Material/Surface")
    surface.CreateIdAttr("UsdPreviewSurface")
    surface.CreateInput("diffuseColor", Sdf.ValueTypeNames.Color3f).Set(Gf.Vec3f(0, 0, 0))
    surface.CreateInput("useSpecularWorkflow", Sdf.ValueTypeNames.Int).Set(1)
    surface.CreateInput("specularColor", Sdf.ValueTypeNames.Color3f).Set(Gf.Vec3f(0, 0, 0))
    surface.CreateInput("roughness", Sdf.ValueTypeNames.Float).Set(1.0)
    material.CreateSurfaceOutput().ConnectToSource(surface.CreateOutput("surface", Sdf.ValueTypeNames.Token))
    if mesh.GetDisplayColorAttr().HasAuthoredValue():
        reader = UsdShade.Shader.Define(stage.usd, f"{path}/Material/Colors")
        reader.CreateIdAttr("UsdPrimvarReader_float3")
        reader.CreateInput("varname", Sdf.ValueTypeNames.String).Set("displayColor")
        color = reader.CreateOutput("result", Sdf.ValueTypeNames.Float3)
        surface.CreateInput("emissiveColor", Sdf.ValueTypeNames.Color3f).ConnectToSource(color)
    UsdShade.MaterialBindingAPI.Apply(mesh.GetPrim()).Bind(material)
    return surface


def _add_skeleton(stage: Stage, mesh: Any, layer: LayerMesh, path: str) -> None:
    from pxr import Gf, UsdSkel, Vt

    bones, skin = layer.bones, layer.skin
    assert bones is not None
    assert skin is not None
    joints = Vt.TokenArray(["root", *(f"root/bone_{i}" for i in range(len(bones)))])
    skeleton = UsdSkel.Skeleton.Define(stage.usd, f"{path}/Skeleton")
    skeleton.CreateJointsAttr().Set(joints)
    rest = Vt.Matrix4dArray([Gf.Matrix4d(1.0), *map(_matrix, bones.rest_rotations, bones.rest_translations)])
    skeleton.CreateBindTransformsAttr().Set(rest)
    skeleton.CreateRestTransformsAttr().Set(rest)  # under a root that rests at the origin both are the same
    animation = UsdSkel.Animation.Define(stage.usd, f"{path}/Skeleton/Animation")
    animation.CreateJointsAttr().Set(joints)
    turns, places = _joints_over_time(bones)
    stage.sample(animation.CreateTranslationsAttr(), [vec3f(place) for place in places])
    stage.sample(
        animation.CreateRotationsAttr(),
        [Vt.QuatfArray.FromNumpy(np.ascontiguousarray(turn[:, [1, 2, 3, 0]], np.float32)) for turn in turns],
    )
    animation.CreateScalesAttr().Set(Vt.Vec3hArray.FromNumpy(np.ones((len(joints), 3), np.float16)))
    UsdSkel.BindingAPI.Apply(skeleton.GetPrim()).CreateAnimationSourceRel().SetTargets([animation.GetPath()])
    binding = UsdSkel.BindingAPI.Apply(mesh.GetPrim())
    binding.CreateSkeletonRel().SetTargets([skeleton.GetPath()])
    binding.CreateGeomBindTransformAttr().Set(Gf.Matrix4d(1.0))
    width = skin.indices.shape[1]
    numbers = np.where(skin.weights > 0, skin.indices + 1, 0)
    binding.CreateJointIndicesPrimvar(False, width).Set(Vt.IntArray.FromNumpy(numbers.reshape(-1).astype(np.int32)))
    binding.CreateJointWeightsPrimvar(False, width).Set(Vt.FloatArray.FromNumpy(skin.weights.reshape(-1)))


def _joints_over_time(bones: BoneTrack) -> tuple[np.ndarray, np.ndarray]:
    """Rotations [T, 1 + B, 4] and translations [T, 1 + B, 3]: the root, then the bones beneath it."""
    turns = np.concatenate([bones.root_rotations[:, None], bones.rotations], 1)
    places = np.concatenate([bones.root_translations[:, None], bones.translations], 1)
    return turns, places


def _matrix(rotation_wxyz: np.ndarray, translation: np.ndarray) -> Any:
    from pxr import Gf

    matrix = Gf.Matrix4d(1.0)
    matrix.SetTransform(Gf.Rotation(Gf.Quatd(*rotation_wxyz.tolist())), Gf.Vec3d(*translation.tolist()))
    return matrix
