"""Edits of a scene as data: selections, the edit stack, and its evaluation.  Never touches a viewer.

    view = evaluate(load("cat.r4d"), EditStack().add(Delete(select=InLayers(names=("table",)))))

The base scene is never written: edits live in `edits.json` beside it.  `open_view` reads both.
"""

from recon4d.editors.edited_field import EditedField as EditedField
from recon4d.editors.edits import *  # noqa: F403 - every kind of edit
from recon4d.editors.evaluate import evaluate as evaluate
from recon4d.editors.evaluate import open_view as open_view
from recon4d.editors.selections import *  # noqa: F403 - every kind of selection
from recon4d.editors.stack import EditStack as EditStack
from recon4d.editors.store import load_stack as load_stack
from recon4d.editors.store import save_stack as save_stack
from recon4d.editors.view import SceneView as SceneView
