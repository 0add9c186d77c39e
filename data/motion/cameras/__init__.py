"""Cameras of a clip: structure from motion on the background or the subject, with gates, fall-backs and a record."""

from recon4d.data.motion.cameras.record import CAMERA_MODES as CAMERA_MODES
from recon4d.data.motion.cameras.record import Attempt as Attempt
from recon4d.data.motion.cameras.record import BackgroundMotion as BackgroundMotion
from recon4d.data.motion.cameras.record import CameraHealth as CameraHealth
from recon4d.data.motion.cameras.record import CameraMode as CameraMode
from recon4d.data.motion.cameras.record import CameraSettings as CameraSettings
from recon4d.data.motion.cameras.record import CameraSolution as CameraSolution
from recon4d.data.motion.cameras.solve import solve_cameras as solve_cameras
