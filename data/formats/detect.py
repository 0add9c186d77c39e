"""Which format a path holds, by the files that are there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from recon4d.core import InputError
from recon4d.data.dataset import Dataset
from recon4d.data.formats import blender, colmap, dycheck, llff, multicam, nerfstudio, plain
from recon4d.data.formats.folders import list_images
from recon4d.data.video import VIDEO_SUFFIXES
from recon4d.data.view import SPLITS

# In this order: the first that is there is read.  Name, the files looked for, test, reader.
_FOLDERS: tuple[tuple[str, str, Callable[[Path], bool], Callable[[Path], Dataset]], ...] = (
    (
        "blender",
        "transforms_train.json (or _val, _test)",
        lambda path: any((path / blender.transforms_name(split)).is_file() for split in SPLITS),
        blender.read_blender,
    ),
    ("multicam", multicam.NAME, lambda path: (path / multicam.NAME).is_file(), multicam.read_multicam),
    (
        "dycheck",
        "dataset.json with camera/",
        lambda path: (path / "dataset.json").is_file() and (path / "camera").is_dir(),
        dycheck.read_dycheck,
    ),
    ("nerfstudio", nerfstudio.NAME, lambda path: (path / nerfstudio.NAME).is_file(), nerfstudio.read_nerfstudio),
    ("colmap", "sparse/0/cameras.bin or .txt", lambda path: colmap.model_folder(path) is not None, colmap.read_colmap),
    ("llff", llff.NAME, lambda path: (path / llff.NAME).is_file(), llff.read_llff),
    (
        "images",
        "image files here or in images/",
        lambda path: bool(list_images(path) or list_images(path / "images")),
        plain.read_images,
    ),
)


def read_dataset(path: str | Path) -> Dataset:
    """Read a data set of any known format: a folder, a video file, `transforms.json` or `cameras.json`.

    `Dataset.description` says what was detected.  Where a folder fits several formats the first of this order is read
    and the others are named in `Dataset.warnings`: blender, multicam, dycheck, nerfstudio, colmap, llff, images, video.

    Raises:
        InputError: nothing there that a reader knows (the text lists what was looked for), or what the reader refuses.
    """
    path = Path(path)
    if path.is_file():
        return _read_file(path)
    if not path.is_dir():
        raise InputError(
            str(path), expected="a folder, a video or a data set's JSON file", got="nothing there", fix="check the path"
        )
    fitting = [(name, read) for name, _, test, read in _FOLDERS if test(path)]
    if fitting:
        dataset = fitting[0][1](path)
        others = [name for name, _ in fitting[1:] if name != "images"]
        if others:
            note = f"the folder also holds {', '.join(others)}: name that reader to use it instead"
            dataset = replace(dataset, warnings=(*dataset.warnings, note))
        return dataset
    videos = [file for file in sorted(path.iterdir()) if file.suffix.lower() in VIDEO_SUFFIXES]
    if len(videos) == 1:
        return plain.read_clip(videos[0])
    looked_for = "; ".join(f"{name}: {files}" for name, files, _, _ in _FOLDERS)
    got = f"{len(videos)} videos without {multicam.NAME}" if videos else "none of them"
    raise InputError(
        str(path), expected=f"one of {looked_for}; video: one video file", got=got, fix="check that the path is right"
    )


def _read_file(path: Path) -> Dataset:
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return plain.read_clip(path)
    if path.name == multicam.NAME:
        return multicam.read_multicam(path)
    if path.name.startswith("transforms_") and path.suffix == ".json":
        return blender.read_blender(path.parent)
    if path.suffix == ".json":
        return nerfstudio.read_nerfstudio(path)
    raise InputError(
        str(path),
        expected=f"a folder, a video ({', '.join(sorted(VIDEO_SUFFIXES))}) or a data set's JSON file",
        got=f"a file {path.suffix or 'without suffix'}",
        fix="give the folder of the data set, or convert the file",
    )
