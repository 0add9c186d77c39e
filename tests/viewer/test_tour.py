"""Somebody who never saw the tool gets along by what the screen says."""

from __future__ import annotations

from pathlib import Path

from recon4d.data import scan_video
from tests.viewer.browser import fox_folder, window
from tests.viewer.tour import tour

OUT = Path(__file__).resolve().parents[2] / "out" / "viewer"


def test_a_newcomer_gets_along(tmp_path: Path):
    with window(fox_folder(tmp_path), OUT) as fox:
        made = tour(fox)
        assert not fox.errors
        assert sorted(made) == ["scene-glb.glb", "turntable.mp4"]
        assert made["scene-glb.glb"].read_bytes()[:4] == b"glTF"
        assert len(scan_video(made["turntable.mp4"]).times) >= 72
