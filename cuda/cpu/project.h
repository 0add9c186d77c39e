// Projection of a range of surfels: one register at a time from the caller's arrays to records, tile ranges and radii.
#pragma once
#include "surfel_input.h"

namespace recon4d {
inline namespace R4D_ISA {

// Finite and of a size that can be drawn.  Values are compared rather than classified: a comparison with NaN is false.
inline Mask drawable(const SurfelInWorld<Lanes>& s) {
  const Lanes big(Scalar(3e38));
  const Vec3<Lanes>& c = s.center;
  const Lanes norm = squared_norm(s.rotation);
  return (absolute(c.x) <= big) & (absolute(c.y) <= big) & (absolute(c.z) <= big) & (Lanes(Scalar(kMinQuaternionNorm * kMinQuaternionNorm)) < norm) &
         (norm <= big) & (Lanes(0) <= s.su) & (s.su <= big) & (Lanes(0) <= s.sv) & (s.sv <= big) &
         (Lanes(0) <= s.opacity) & (s.opacity <= Lanes(1));
}

inline Mask finite(Lanes a) { return absolute(a) <= Lanes(Scalar(3e38)); }

inline Box<Lanes> footprint_box(const InCamera<Lanes>& c, const CameraT<Lanes>& cam,
                                const Lanes& r, const Limits<Scalar>& limits, Mask& crossing) {
  const DiscAxes<Lanes> d = disc_axes(c, r);
  // A hair of slack, so that rounding cannot hide a disc that touches the near plane.
  crossing = nearest_depth(c, d) <= Lanes(limits.near_plane * Scalar(1.001));
  Lanes mx, hx, my, hy;
  outline_extent(cam.k.fx, d.a.x, d.b.x, c.m.x, d, c.m.z, mx, hx);
  outline_extent(cam.k.fy, d.a.y, d.b.y, c.m.y, d, c.m.z, my, hy);
  const Lanes circle = r * Lanes(0.70710678118654752);
  const Mask flat = c.edge_on;  // drawn as the circle alone
  hx = select(flat, Lanes(0), hx);
  hy = select(flat, Lanes(0), hy);
  mx = select(flat, Lanes(0), mx);
  my = select(flat, Lanes(0), my);
  // Grown by a little more than the rounding of the visit's own arithmetic.
  const Lanes slack_x = fma(hx, Lanes(1e-3), Lanes(0.01)), slack_y = fma(hy, Lanes(1e-3), Lanes(0.01));
  Box<Lanes> b = {minimum(mx - hx, -circle) - slack_x, maximum(mx + hx, circle) + slack_x,
                  minimum(my - hy, -circle) - slack_y, maximum(my + hy, circle) + slack_y};
  return b;
}

// Replaces lane i of the box for a disc that crosses the near plane.  In image coordinates without the principal point.
inline void crossing_box(const InCamera<Lanes>& c, const CameraArgs<Scalar>& cam, const Lanes& r, Scalar near_plane, int i,
                         Scalar* x0, Scalar* x1, Scalar* y0, Scalar* y1) {
  alignas(64) Scalar t[12][kLanes];
  const DiscAxes<Lanes> d = disc_axes(c, r);
  const Lanes all[9] = {d.a.x, d.a.y, d.a.z, d.b.x, d.b.y, d.b.z, c.m.x, c.m.y, c.m.z};
  for (int k = 0; k < 9; ++k) store(t[k], all[k]);
  const DiscAxes<Scalar> s = {{t[0][i], t[1][i], t[2][i]}, {t[3][i], t[4][i], t[5][i]}};
  const Scalar mz = t[8][i];
  const Scalar everything = Scalar(1e9), epsilon = sizeof(Scalar) == 4 ? Scalar(1.2e-7) : Scalar(2.3e-16);
  if (too_long_for_near_plane(s, near_plane, epsilon)) {
    *x0 = *y0 = -everything;
    *x1 = *y1 = everything;
    return;
  }
  crossing_extent<Scalar>(cam.fx, s.a.x, s.b.x, t[6][i], s, mz, near_plane, *x0, *x1);
  crossing_extent<Scalar>(cam.fy, s.a.y, s.b.y, t[7][i], s, mz, near_plane, *y0, *y1);
  // Nothing found means that rounding or overflow ate it (an absurdly large disc): take everything.
  if (!(*x0 <= *x1)) *x0 = -everything, *x1 = everything;
  if (!(*y0 <= *y1)) *y0 = -everything, *y1 = everything;
}

inline int clamp_tile(Scalar value, int tiles) {
  return value <= 0 ? 0 : value >= Scalar(tiles) ? tiles : static_cast<int>(value);
}

inline int64_t project_range(const Frame<Scalar>& f, int64_t begin, int64_t end) {
  const CameraT<Lanes> cam = load_camera(f.camera);
  const SurfelArrays<Scalar>& a = f.surfels;
  const Scalar far_away = Scalar(1e9);  // pixels: beyond any image, but still exact enough to subtract
  int64_t bad = 0;
  for (int64_t i = begin; i < end; i += kLanes) {
    const int count = end - i < kLanes ? static_cast<int>(end - i) : kLanes;
    const SurfelInWorld<Lanes> s = load_surfels(a, i, count);
    InCamera<Lanes> c;
    Projected<Lanes> p = project(s, cam, c);
    Mask good = drawable(s);
    if (a.canonical) {
      const Lanes norm = squared_norm(gather4(a.canonical, i, count));
      good = good & (Lanes(Scalar(kMinQuaternionNorm * kMinQuaternionNorm)) < norm) & finite(norm);
    }
    Lanes offset_x(0), offset_y(0);
    if (a.offsets) {
      offset_x = gather(a.offsets + 2 * i, 2, count);
      offset_y = gather(a.offsets + 2 * i + 1, 2, count);
      good = good & finite(offset_x) & finite(offset_y);
      p.cx = p.cx + offset_x;
      p.cy = p.cy + offset_y;
    }
    const Lanes cut = p.log2_opacity - Lanes(logarithm2(f.limits.alpha_min));
    const Lanes r = square_root(maximum(cut * Lanes(1 / kHalfLog2E), Lanes(0)));
    Mask crossing;
    const Box<Lanes> box = footprint_box(c, cam, r, f.limits, crossing);
    // So steep that the low-pass circle reaches depths that are bounded.
    const Lanes steep_reach = r * Lanes(0.70710678118654752) * square_root(fma(p.hx, p.hx, p.hy * p.hy));
    const Mask steep = Lanes(1 - 1 / kLowPassDepthRatio) < steep_reach;
    // What overflows in single precision (centres beyond 1e30 units) is left out: 0 * infinity must never be blended.
    // Inside the low-pass circle rho3 <= (|a|^2 + |b|^2) |d|^2 / den^2 with den >= 1 - steep_reach; beyond it rho2 is no hit.
    const Lanes den_min = Lanes(1) - steep_reach;
    const Lanes inverse_size = fma(p.ax, p.ax, fma(p.ay, p.ay, fma(p.bx, p.bx, p.by * p.by)));
    const Mask disc_only = inverse_size < Lanes(0.99 * kHalfLog2E * kLowPassInverseVariance) * den_min * den_min;
    const Mask drawn = good & (Lanes(f.limits.near_plane) < p.mz) & (p.mz < Lanes(Scalar(1e30))) &
                       (Lanes(f.limits.alpha_min) <= s.opacity) & finite(p.cx) & finite(p.cy) & finite(p.ax) &
                       finite(p.ay) & finite(p.bx) & finite(p.by) & finite(p.hx) & finite(p.hy);

    Vec3<Lanes> color = {Lanes(0), Lanes(0), Lanes(0)};
    if (a.sh) {
      const ViewDirection dir = view_direction(a, cam, s.center, i, count);
      Lanes basis[kMaxShCount];
      sh_basis(a.sh_count, dir.unit_direction, basis);
      color = sh_color(a, basis, i, count);
      good = good & finite(color.x) & finite(color.y) & finite(color.z);
      const Lanes zero(0);
      color = {maximum(color.x, zero), maximum(color.y, zero), maximum(color.z, zero)};
    }
    if (f.mixed_colors) {
      Scalar* const mixed = f.mixed_colors + i * a.channels;
      scatter(mixed, a.channels, count, false, color.x);
      scatter(mixed + 1, a.channels, count, false, color.y);
      scatter(mixed + 2, a.channels, count, false, color.z);
    }
    for (int ch = 0; ch < a.feature_count; ++ch) {
      const Lanes value = gather(a.features + i * a.feature_count + ch, a.feature_count, count);
      good = good & finite(value);
      if (a.channels == 3) (ch == 0 ? color.x : ch == 1 ? color.y : color.z) = value;
      if (f.mixed_colors) scatter(f.mixed_colors + i * a.channels + 3 + ch, a.channels, count, false, value);
    }

    alignas(64) Scalar fields[22][kLanes];
    const Lanes all[22] = {p.cx, p.cy, p.ax, p.ay, p.bx, p.by, p.hx, p.hy, p.log2_opacity, cut, p.mz, Lanes(1) / p.mz,
                           p.normal.x, p.normal.y, p.normal.z, color.x, color.y, color.z, box.x0, box.x1, box.y0, box.y1};
    for (int k = 0; k < 22; ++k) store(fields[k], all[k]);
    const uint32_t drawn_bits = bits(drawn), special_bits = bits(crossing | steep), good_bits = bits(good);
    const uint32_t crossing_bits = bits(crossing), disc_bits = bits(disc_only);
    for (int l = 0; l < count; ++l) {
      Record<Scalar>& out = f.records[i + l];
      f.rects[i + l] = TileRect{0, 0, 0, 0};
      f.radii[i + l] = 0;
      bad += !((good_bits >> l) & 1);
      if (!((drawn_bits >> l) & 1)) continue;
      Scalar* o = &out.cx;
      for (int k = 0; k < 18; ++k) o[k] = fields[k][l];
      out.id = static_cast<int32_t>(i + l);
      out.kind = (special_bits >> l) & 1 ? kSpecial : (disc_bits >> l) & 1 ? kDiscOnly : kGeneral;
      Scalar x0 = out.cx + fields[18][l], x1 = out.cx + fields[19][l];
      Scalar y0 = out.cy + fields[20][l], y1 = out.cy + fields[21][l];
      if (((crossing_bits >> l) & 1) && !(out.ax == Scalar(kSqrtHalfLog2E / kMinScalePixels))) {
        Scalar cx0, cx1, cy0, cy1;
        crossing_box(c, f.camera, r, f.limits.near_plane, l, &cx0, &cx1, &cy0, &cy1);
        const Scalar shift_x = f.camera.cx + (a.offsets ? a.offsets[2 * (i + l)] : Scalar(0));
        const Scalar shift_y = f.camera.cy + (a.offsets ? a.offsets[2 * (i + l) + 1] : Scalar(0));
        const Scalar pad_x = Scalar(1) + (cx1 - cx0) * Scalar(1e-3), pad_y = Scalar(1) + (cy1 - cy0) * Scalar(1e-3);
        const Scalar reach = fields[9][l] > 0 ? square_root(fields[9][l] / Scalar(kHalfLog2E * kLowPassInverseVariance)) : Scalar(0);
        x0 = minimum(shift_x + cx0 - pad_x, out.cx - reach);
        x1 = maximum(shift_x + cx1 + pad_x, out.cx + reach);
        y0 = minimum(shift_y + cy0 - pad_y, out.cy - reach);
        y1 = maximum(shift_y + cy1 + pad_y, out.cy + reach);
      }
      // Whatever is not a number (overflow in an absurdly large disc) becomes the whole image: slow but right.
      out.x0 = x0 > -far_away ? x0 : -far_away;
      out.x1 = x1 < far_away ? x1 : far_away;
      out.y0 = y0 > -far_away ? y0 : -far_away;
      out.y1 = y1 < far_away ? y1 : far_away;
      // Pixel centres lie between 0.5 and size - 0.5; the last tile may reach beyond.
      if (!(out.x1 >= Scalar(0.5) && out.y1 >= Scalar(0.5) && out.x0 <= Scalar(f.width) - Scalar(0.5) &&
            out.y0 <= Scalar(f.height) - Scalar(0.5)))
        continue;
      const Scalar tile = Scalar(1) / Scalar(kTileSize);
      const int tx0 = clamp_tile((out.x0 + Scalar(0.5)) * tile, f.tiles_x), tx1 = clamp_tile((out.x1 - Scalar(0.5)) * tile + 1, f.tiles_x);
      const int ty0 = clamp_tile((out.y0 + Scalar(0.5)) * tile, f.tiles_y), ty1 = clamp_tile((out.y1 - Scalar(0.5)) * tile + 1, f.tiles_y);
      if (tx0 >= tx1 || ty0 >= ty1) continue;
      f.rects[i + l] = TileRect{static_cast<uint16_t>(tx0), static_cast<uint16_t>(tx1), static_cast<uint16_t>(ty0),
                                static_cast<uint16_t>(ty1)};
      const Scalar radius = Scalar(0.5) * maximum(out.x1 - out.x0, out.y1 - out.y0);
      f.radii[i + l] = minimum(radius, Scalar(f.width > f.height ? f.width : f.height));
    }
  }
  return bad;
}

}  // namespace R4D_ISA
}  // namespace recon4d
