"""The web viewer and editor: a scene in the browser, to look at from anywhere at any time, and to edit by hand.

    viewer = Viewer(Project.open(Path("clip.r4d")))
    print(viewer.link)

The viewer makes edits of `recon4d.editors` and shows what they make of the scene; it never changes arrays, and never
trains.  It is the only room that knows viser.
"""

from recon4d.viewer.app import Viewer as Viewer
from recon4d.viewer.live import LiveViewer as LiveViewer
from recon4d.viewer.project import Project as Project
