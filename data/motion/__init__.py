"""What is found in a clip before anything is fitted: frames, masks, flow, tracks and cameras, each a cached stage.

clip = ingest(path, work=folder); masks = find_masks(clip, work=folder); cameras = solve_cameras(clip, masks.masks,
work=folder); tracks = track_points(clip, masks.masks, work=folder); flow = compute_flow(clip, work=folder)

Does NOT use learned models; what they make (masks, cameras) is passed in as given.
"""

from recon4d.data.motion.background_kind import BackgroundKind as BackgroundKind
from recon4d.data.motion.background_kind import subject_background as subject_background
from recon4d.data.motion.cameras import Attempt as Attempt
from recon4d.data.motion.cameras import BackgroundMotion as BackgroundMotion
from recon4d.data.motion.cameras import CameraHealth as CameraHealth
from recon4d.data.motion.cameras import CameraSettings as CameraSettings
from recon4d.data.motion.cameras import CameraSolution as CameraSolution
from recon4d.data.motion.cameras import solve_cameras as solve_cameras
from recon4d.data.motion.clip import Clip as Clip
from recon4d.data.motion.flow import FlowFields as FlowFields
from recon4d.data.motion.flow import FlowSettings as FlowSettings
from recon4d.data.motion.flow import compute_flow as compute_flow
from recon4d.data.motion.ingest import IngestSettings as IngestSettings
from recon4d.data.motion.ingest import ingest as ingest
from recon4d.data.motion.ingest import with_masks as with_masks
from recon4d.data.motion.masks import MaskHealth as MaskHealth
from recon4d.data.motion.masks import Masks as Masks
from recon4d.data.motion.masks import MaskSettings as MaskSettings
from recon4d.data.motion.masks import find_masks as find_masks
from recon4d.data.motion.moving import MovingSettings as MovingSettings
from recon4d.data.motion.moving import find_moving as find_moving
from recon4d.data.motion.stage import Progress as Progress
from recon4d.data.motion.stage import StageCache as StageCache
from recon4d.data.motion.tracks import Tracks as Tracks
from recon4d.data.motion.tracks import TrackSettings as TrackSettings
from recon4d.data.motion.tracks import track_points as track_points
