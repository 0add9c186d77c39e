"""Packing for the web player: what quantising loses, what pages are made of, and that the player is its source."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from recon4d.core import quaternion
from recon4d.export.formats import export_scene
from recon4d.export.request import ExportRequest
from recon4d.export.web import quantize
from recon4d.export.web.motion import sample_tracks, track_at
from recon4d.export.web.page import player_source
from recon4d.synthetic.creature_field import creature_field
from tests.export.clients import node_modules
from tests.export.scenes import layered_scene, object_scene
from tests.export.web.hard_scenes import edited_scene, twisting_scene


def test_turns_are_within_a_quarter_of_a_degree() -> None:
    turns = np.random.default_rng(0).normal(size=(5000, 4))
    turns /= np.linalg.norm(turns, axis=1, keepdims=True)
    packed, read = quantize.turns(turns)
    assert len(packed) == 4 * 5000
    assert np.degrees(2 * np.arccos(np.abs((turns * read).sum(1)).clip(0, 1))).max() < 0.25
    np.testing.assert_allclose(np.linalg.norm(read, axis=1), 1, atol=1e-12)


@pytest.mark.parametrize("bits", [8, 16])
def test_ranges_lose_half_a_step(bits: int) -> None:
    values = np.random.default_rng(1).normal(size=(1000, 3))
    low, high = values.min(0), values.max(0)
    packed, read = quantize.in_range(values, low, high, bits)
    assert len(packed) == 3000 * bits // 8
    assert (np.abs(read - values) <= (high - low) / (2**bits - 1) / 2 + 1e-12).all()
    _, zero = quantize.signed(np.zeros((4, 2)), 1.0, bits)
    assert (zero == 0).all()


def test_planes_put_high_bytes_first() -> None:
    assert quantize.planes(np.array([0x0102, 0x0304], np.uint16)) == bytes([1, 3, 2, 4])


def test_a_cubic_between_samples_is_exact_for_parabolas() -> None:
    times = np.linspace(0, 2, 6)
    samples = np.stack([times**2 - times, 3 * times + 1], -1)
    moments = np.linspace(0, 2, 37)
    np.testing.assert_allclose(
        track_at(samples, 0.0, 0.4, moments), np.stack([moments**2 - moments, 3 * moments + 1], -1), atol=1e-12
    )


def test_tracks_are_sampled_until_they_follow_the_paths() -> None:
    field = creature_field("quadruped", 300)
    tracks = sample_tracks(field.warp, field.canonical.centers, 0.0, 2.4, 12)
    times = np.linspace(0, 2.4, 50)
    turns, shifts = field.warp.to(torch.float64).transforms_at(torch.from_numpy(times))
    pivots = torch.from_numpy(tracks.pivots)
    places = quaternion.rotate(turns, pivots.expand(50, -1, 3)) + shifts
    size = float((field.canonical.centers.amax(0) - field.canonical.centers.amin(0)).norm())
    error = np.linalg.norm(track_at(tracks.places, 0.0, tracks.step, times) - places.numpy(), axis=-1)
    assert len(tracks.places) > 12
    assert error.max() < 2e-4 * size


def test_centres_are_where_the_scene_has_them(tmp_path: Path) -> None:
    for number, make in enumerate((object_scene, layered_scene, twisting_scene, edited_scene)):
        result = export_scene(make(), "web", ExportRequest(path=tmp_path / f"{number}.html"))
        assert result.numbers["largest error of centres, % of the size"] < 0.05


def test_same_scene_same_bytes(tmp_path: Path) -> None:
    scene, pages = twisting_scene(), []
    for _ in range(2):
        export_scene(scene, "web", ExportRequest(path=tmp_path / "a.html", overwrite=True))
        pages.append((tmp_path / "a.html").read_bytes())
    assert pages[0] == pages[1]


def test_page_allows_nothing_but_itself(tmp_path: Path) -> None:
    path = tmp_path / 'a"><b>.html'
    export_scene(twisting_scene(), "web", ExportRequest(path=path))
    text = path.read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    digest = base64.b64encode(hashlib.sha256(player_source().encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; ")
    assert f"script-src 'sha256-{digest}'" in policy
    assert "<title>a&quot;&gt;&lt;b&gt;</title>" in text
    # The namespace of SVG is a name, not an address that anyone goes to.
    assert set(re.findall(r"https?://[^\s\"'`)]+", text)) == {"http://www.w3.org/2000/svg"}
    scene = re.search(r'id="scene">([^<]*)<', text)[1]
    raw = gzip.decompress(base64.b64decode(scene))
    assert raw[:4] == b"R4DW"
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[4:8], "little")])
    assert [layer["count"] for layer in header["layers"]] == [400]


def test_player_is_built_from_its_source(repository: Path, tmp_path: Path) -> None:
    folder = repository / "recon4d" / "export" / "web"
    built = tmp_path / "player.js"
    subprocess.run(["node", folder / "player" / "build.js", node_modules("esbuild"), built], check=True)
    assert built.read_bytes() == (folder / "player.js").read_bytes(), "build it anew: docs/web-player.md"
    assert "</script" not in player_source()
