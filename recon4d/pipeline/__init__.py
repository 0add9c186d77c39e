"""The main job: a video in, a moving scene with its report out.

Wires the stages together (frames, masks, cameras, tracks, fit, measuring, writing), keeps their work so that a stopped
run can go on, and says what was chosen and what not to believe.  Does NOT print, parse arguments or show windows; the
work of every stage is done by the rooms below.
"""

from recon4d.pipeline.events import Event as Event
from recon4d.pipeline.events import Fitting as Fitting
from recon4d.pipeline.events import Listener as Listener
from recon4d.pipeline.events import Noted as Noted
from recon4d.pipeline.events import StageDone as StageDone
from recon4d.pipeline.events import StageProgress as StageProgress
from recon4d.pipeline.events import StageStarted as StageStarted
from recon4d.pipeline.events import Warned as Warned
from recon4d.pipeline.reconstruct import Reconstructed as Reconstructed
from recon4d.pipeline.reconstruct import reconstruct as reconstruct
from recon4d.pipeline.settings import ReconstructSettings as ReconstructSettings
