"""Reads binary glTF 2.0 files: meshes, materials, skins and animations.

Every offset and count is checked against the file before anything is allocated.  Decides nothing about what the meshes
are for, and writes nothing.
"""

from recon4d.data.gltf.clip import GltfClip as GltfClip
from recon4d.data.gltf.file import GltfFile as GltfFile
from recon4d.data.gltf.mesh import Material as Material
from recon4d.data.gltf.mesh import Primitive as Primitive
from recon4d.data.gltf.skin import skin as skin
