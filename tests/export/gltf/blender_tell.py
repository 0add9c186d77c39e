"""Run by Blender's Python: what Blender makes of a .glb or USD file, and a .glb of the mesh changed there.

    python blender_tell.py FILE RATE TOLD.json TIMES [CHANGED.glb]

RATE is Blender's frames a second; it takes the time codes of USD for its frames, whatever their rate.  Tells vertices
in the world at times (seconds), bones, the clip's length and cameras.  With CHANGED.glb the part of the rest shape
above the middle is made half again as high, as by somebody with a mouse, and everything exported again.
"""

import json
import sys
from pathlib import Path

import bpy

source, rate, told_path, times, *changed = sys.argv[1:]
bpy.ops.wm.read_factory_settings(use_empty=True)
scene = bpy.context.scene
scene.render.fps = int(rate)
if Path(source).suffix == ".glb":
    bpy.ops.import_scene.gltf(filepath=source)
else:
    bpy.ops.wm.usd_import(filepath=source)
meshes = [thing for thing in scene.objects if thing.type == "MESH"]
armatures = [thing for thing in scene.objects if thing.type == "ARMATURE"]
shown = [mesh for mesh in meshes if not mesh.hide_get() and mesh.data.vertices]
# Blender adds an icosphere as the shape of bones.
shown = [mesh for mesh in shown if "Icosphere" not in mesh.name]


def at(time: float) -> list[list[list[float]]]:
    frame = time * scene.render.fps
    scene.frame_set(int(frame), subframe=frame - int(frame))
    graph = bpy.context.evaluated_depsgraph_get()
    found = []
    for mesh in shown:
        posed = mesh.evaluated_get(graph)
        found.append([list(posed.matrix_world @ vertex.co) for vertex in posed.to_mesh().vertices])
    return found


told = {
    "meshes": [mesh.name for mesh in shown],
    "bones": [len(armature.data.bones) for armature in armatures],
    "actions": [[float(x) for x in action.frame_range] for action in bpy.data.actions],
    "fps": scene.render.fps,
    "images": [list(image.size) for image in bpy.data.images if image.size[0]],
    "cameras": sum(thing.type == "CAMERA" for thing in scene.objects),
    "vertices": {time: at(float(time)) for time in times.split(",")},
}
Path(told_path).write_text(json.dumps(told))
if changed:
    for mesh in shown:
        for vertex in mesh.data.vertices:
            if vertex.co.z > 0:
                vertex.co.z *= 1.5
    scene.frame_set(0)
    bpy.ops.export_scene.gltf(filepath=changed[0], export_format="GLB")
