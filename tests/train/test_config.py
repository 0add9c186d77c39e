"""Settings: presets, changes, and wrong values."""

from __future__ import annotations

from dataclasses import replace

import pytest

from recon4d.core import InputError
from recon4d.train import PRESETS, FitConfig, preset


def test_presets_grow():
    draft, standard, high = (PRESETS[name] for name in ("draft", "standard", "high"))
    assert standard == FitConfig()
    assert draft.iterations < standard.iterations < high.iterations
    assert draft.surfels < standard.surfels < high.surfels
    assert preset("draft", seed=5) == replace(draft, seed=5)


def test_unknown_presets_and_settings():
    with pytest.raises(InputError, match="expected draft or standard or high, got 'best'"):
        preset("best")
    with pytest.raises(InputError, match="surfel_count"):
        preset("draft", surfel_count=5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("iterations", 0),
        ("iterations", True),
        ("bones", 0),
        ("seed", 2**31),
        ("sh_degree", 4),
        ("initial_surfels", 40_000),
        ("hull_window", 1.5),
        ("density_growth", 0.5),
        ("final_rate", float("nan")),
        ("frames_per_control", 0.0),
        ("levels", ()),
        ("levels", ((0.5, 2),)),
        ("levels", ((0.0, 2), (0.6, 0))),
        ("checkpoint_seconds", -1.0),
    ],
)
def test_wrong_values_name_the_setting(name: str, value: object):
    with pytest.raises(InputError, match=f"FitConfig.{name}"):
        FitConfig(**{name: value})  # type: ignore[arg-type]


def test_levels_follow_the_steps():
    config = FitConfig(iterations=100, levels=((0.0, 4), (0.15, 2), (0.5, 1)))
    assert [config.level_at(step) for step in (0, 14, 15, 49, 50, 99)] == [4, 4, 2, 2, 1, 1]
