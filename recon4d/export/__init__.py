"""From a scene to files of other programs: camera paths and videos.  Does NOT change scenes or show windows."""

from recon4d.export import camera_paths as camera_paths
from recon4d.export.camera_file import CameraFile as CameraFile
from recon4d.export.camera_file import read_camera_file as read_camera_file
from recon4d.export.pictures import WHATS as WHATS
from recon4d.export.pictures import Shot as Shot
from recon4d.export.pictures import draw as draw
from recon4d.export.pictures import draw_depths as draw_depths
from recon4d.export.pictures import prepare as prepare
from recon4d.export.subject import Subject as Subject
from recon4d.export.subject import find_subject as find_subject
from recon4d.export.timeline import Timeline as Timeline
from recon4d.export.timeline import timeline as timeline
from recon4d.export.video import Drawn as Drawn
from recon4d.export.video import draw_video as draw_video
from recon4d.export.video import turntable as turntable
