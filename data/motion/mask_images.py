"""Steps on single masks that several ways of finding the subject share: cleaning, thresholds, GrabCut, a plain border.

GrabCut is Rother et al. (SIGGRAPH 2004) as in OpenCV, its k-means seeded, so that results repeat.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, UInt8

_BORDER_SHARE = 0.03  # Width of the border band as a share of the short side.


def clean(mask: Bool[np.ndarray, "h w"], keep: float = 0.25) -> Bool[np.ndarray, "h w"]:
    """Without specks: opened by 3 x 3, and only parts of at least `keep` times the area of the largest."""
    import cv2

    opened = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(opened)
    if count < 2:
        return opened > 0
    areas = stats[1:, cv2.CC_STAT_AREA]
    return np.isin(labels, 1 + np.flatnonzero(areas >= keep * areas.max()))


def otsu(values: Float32[np.ndarray, "..."]) -> float:
    """Otsu's threshold of values in [0, 1], at least 0.1."""
    import cv2

    levels = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8).reshape(-1, 1)
    threshold, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return max(threshold / 255, 0.1)


def grab_cut(image: UInt8[np.ndarray, "h w 3"], hints: UInt8[np.ndarray, "h w"], rounds: int = 3) -> Any:
    """Subject by colour models and edges, from hints per pixel.

    Args:
        image: [H, W, 3].
        hints: [H, W] OpenCV's GC_BGD 0, GC_FGD 1 (fixed), GC_PR_BGD 2, GC_PR_FGD 3 (to start from).
        rounds: of re-estimating colours and cutting.

    Returns:
        bool [H, W], or None where the hints leave too little to model.
    """
    import cv2

    subject = ((hints == cv2.GC_FGD) | (hints == cv2.GC_PR_FGD)).sum()
    if min(subject, hints.size - subject) < 50:
        return None
    cut = hints.copy()
    cv2.setRNGSeed(0)
    try:
        models = (np.zeros((1, 65)), np.zeros((1, 65)))
        cv2.grabCut(np.ascontiguousarray(image), cut, None, *models, rounds, cv2.GC_INIT_WITH_MASK)  # type: ignore[call-overload]
    except cv2.error:
        return None
    return (cut == cv2.GC_FGD) | (cut == cv2.GC_PR_FGD)


def ellipse(size: int) -> UInt8[np.ndarray, "k k"]:
    """Round structuring element of an odd size."""
    import cv2

    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)), np.uint8)


def refine(
    image: UInt8[np.ndarray, "h w 3"], score: Float32[np.ndarray, "h w"], threshold: float
) -> Bool[np.ndarray, "h w"]:
    """A rough score made to follow the picture's edges.

    Far from everything above the threshold is background; the inside of the clearest part is subject; GrabCut decides
    the rest.  Where its answer loses most of the rough mask, the rough mask stands.
    """
    import cv2

    rough = clean(score > threshold)
    hints = np.full(rough.shape, cv2.GC_PR_BGD, np.uint8)
    reach = max(9, 2 * (max(rough.shape) // 28) + 1)
    hints[cv2.dilate(rough.astype(np.uint8), ellipse(reach)) == 0] = cv2.GC_BGD
    hints[rough] = cv2.GC_PR_FGD
    if rough.any():
        high = min(0.95, threshold + 0.5 * (float(np.percentile(score[rough], 90)) - threshold))
        hints[cv2.erode((rough & (score > high)).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0] = cv2.GC_FGD
    cut = grab_cut(image, hints)
    return clean(cut) if cut is not None and cut.sum() > 0.3 * rough.sum() else rough


def plain_score(image: UInt8[np.ndarray, "h w 3"]) -> tuple[Float32[np.ndarray, "h w"], float]:
    """How unlike the border each pixel is, and the share of the border that is of one colour.

    The border's colour (CIE Lab) may change linearly over the image; it is fitted with the worst third left out, so
    that a subject may leave the image on one side.

    Returns:
        [H, W] colour difference in units of 3 robust deviations, at least 6 and at most 9 Lab levels, and the share in
        [0, 1] of the border band with a difference below 1.
    """
    import cv2

    lab = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2LAB).astype(np.float32)
    height, width = lab.shape[:2]
    band = max(2, round(_BORDER_SHARE * min(height, width)))
    border = np.ones((height, width), bool)
    border[band:-band, band:-band] = False
    x, y = np.meshgrid(np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32))
    terms = np.stack([np.ones_like(x), x, y], -1)
    design, colors = terms[border], lab[border]
    # From the median colour, not from a fit to all: a subject at the border would pull that.
    difference = np.abs(colors - np.median(colors, axis=0)).max(-1)
    for _ in range(4):
        best = difference <= max(float(np.percentile(difference, 67)), 1.0)
        solution = np.linalg.lstsq(design[best], colors[best], rcond=None)[0]
        difference = np.linalg.norm(colors - design @ solution, axis=-1)
    # Noise may widen it a little; a textured background must not pass for a noisy plain one.
    unit = float(np.clip(3 * 1.4826 * float(np.median(difference[best])), 6.0, 9.0))
    unlike = np.linalg.norm(lab - terms @ solution, axis=-1) / unit
    return unlike.astype(np.float32), float((unlike[border] < 1).mean())


def plain_mask(image: UInt8[np.ndarray, "h w 3"], unlike: Float32[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """The subject before a plain background, edges and enclosed holes settled by GrabCut."""
    import cv2

    different = clean(unlike > 1.0, keep=0.05)
    hints = np.full(different.shape, cv2.GC_PR_BGD, np.uint8)
    # Alike and joined to the border: background for certain.  Alike but enclosed: a hole, or a pale part.
    alike = (unlike < 0.6).astype(np.uint8)
    _, labels = cv2.connectedComponents(alike)
    edge = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    hints[np.isin(labels, edge[edge > 0])] = cv2.GC_BGD
    hints[different] = cv2.GC_PR_FGD
    hints[different & (unlike > 3.0)] = cv2.GC_FGD
    cut = grab_cut(image, hints, rounds=2)
    return clean(cut, keep=0.05) if cut is not None and cut.sum() > 0.3 * different.sum() else different
