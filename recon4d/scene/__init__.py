"""Scenes and the `.r4d` folder that keeps them.

A scene is the base that edits refer to: `save` replaces it as a whole, nothing changes it in part.  Edits, reports and
other files in the folder belong to other rooms and are never touched.  The format is described in `document.py`.
"""

from recon4d.scene.document import FORMAT_VERSION as FORMAT_VERSION
from recon4d.scene.load import content_hash as content_hash
from recon4d.scene.load import load as load
from recon4d.scene.save import save as save
from recon4d.scene.scene import Layer as Layer
from recon4d.scene.scene import Scene as Scene
from recon4d.scene.scene import merge_surfels as merge_surfels
