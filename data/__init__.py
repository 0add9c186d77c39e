"""Videos, images and data sets in and out: readers and writers that know formats and nothing of training."""

from recon4d.data.dataset import Dataset as Dataset
from recon4d.data.dataset import Points as Points
from recon4d.data.formats.detect import read_dataset as read_dataset
from recon4d.data.images import read_image as read_image
from recon4d.data.images import write_png as write_png
from recon4d.data.video import Video as Video
from recon4d.data.video import VideoFrame as VideoFrame
from recon4d.data.video import iterate_video as iterate_video
from recon4d.data.video import read_video as read_video
from recon4d.data.video import scan_video as scan_video
from recon4d.data.video import write_video as write_video
from recon4d.data.view import View as View
