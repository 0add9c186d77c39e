// How one surfel meets a pixel, and whether it meets a rectangle of pixels at all.
#pragma once
#include "device.h"
#include "frame.h"

namespace recon4d::gpu {

// One instruction each, where the library's functions also treat denormal numbers, which do not come up here (what is
// inverted is far above them, a power that is one is no hit), and NaN, which projection has kept out.
__device__ inline float reciprocal(float a) {
#ifdef __CUDA_ARCH__
  float r;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(a));
  return r;
#else
  return 1.0f / a;
#endif
}
__device__ inline double reciprocal(double a) { return 1.0 / a; }
__device__ inline float exponential2(float a) {
#ifdef __CUDA_ARCH__
  float r;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(a));
  return r;
#else
  return exp2f(a);
#endif
}
__device__ inline double exponential2(double a) { return exp2(a); }
__device__ inline float least(float a, float b) {
#ifdef __CUDA_ARCH__
  return fminf(a, b);
#else
  return minimum(a, b);
#endif
}
__device__ inline double least(double a, double b) { return minimum(a, b); }

// rho2 in log2 units per square pixel.
template <class T>
__device__ constexpr T low_pass() {
  return T(kHalfLog2E * kLowPassInverseVariance);
}

template <class T>
struct Visit {
  T dx, dy;                 // pixel - projected centre
  T u, v;                   // a.d and b.d
  T den, den_inverse;       // 1 + h.d of the ray-plane intersection
  T depth_den, depth_den_inverse;  // the same, kept within kLowPassDepthRatio where only the low pass hits
  T rho3, rho2;             // log2 units
  bool on_disc;
};

template <class T>
__device__ inline Visit<T> visit(const Record<T>& s, T x, T y, T near_plane) {
  Visit<T> h;
  h.dx = x - s.cx;
  h.dy = y - s.cy;
  h.u = fma(s.ax, h.dx, s.ay * h.dy);
  h.v = fma(s.bx, h.dx, s.by * h.dy);
  const T den = fma(s.hx, h.dx, fma(s.hy, h.dy, T(1)));
  // Beyond the plane's horizon nothing hits, but what is computed must stay finite: 0 * infinity is not 0.
  h.den = maximum(den, T(1e-6));
  h.den_inverse = reciprocal(h.den);
  h.rho3 = fma(h.u, h.u, h.v * h.v) * (h.den_inverse * h.den_inverse);
  h.rho2 = low_pass<T>() * fma(h.dx, h.dx, h.dy * h.dy);
  h.depth_den = h.den;
  h.depth_den_inverse = h.den_inverse;
  if (s.flags & kSpecial) {
    const bool in_front = T(0) < den && den * near_plane < s.mz;
    h.rho3 = in_front ? h.rho3 : T(1e30);
    if (!(h.rho3 <= h.rho2)) {
      h.depth_den = minimum(maximum(h.den, T(1 / kLowPassDepthRatio)), T(kLowPassDepthRatio));
      h.depth_den_inverse = reciprocal(h.depth_den);
    }
  }
  h.on_disc = h.rho3 <= h.rho2;
  return h;
}

// The outline at cut (a little more, for rounding) as a conic around the projected centre:
// a00 x^2 + 2 a01 x y + a11 y^2 - 2 (b0 x + b1 y) <= c.
template <class T>
struct Conic {
  T a00, a01, a11, b0, b1, c;
};

template <class T>
R4D_HD Conic<T> outline(const Record<T>& s) {
  const T cut = s.cut * T(1.002) + T(1e-3);
  return {s.ax * s.ax + s.bx * s.bx - cut * s.hx * s.hx, s.ax * s.ay + s.bx * s.by - cut * s.hx * s.hy,
          s.ay * s.ay + s.by * s.by - cut * s.hy * s.hy, cut * s.hx, cut * s.hy, cut};
}

// Whether the outline is an ellipse whose coefficients have lost no digits that touches() needs.  Where planes are seen at
// a grazing angle, or lie near the camera's own plane, the box alone decides.
template <class T>
R4D_HD bool well_conditioned(const Record<T>& s) {
  const Conic<T> q = outline(s);
  return q.a00 > T(0.05) * (s.ax * s.ax + s.bx * s.bx) && q.a11 > T(0.05) * (s.ay * s.ay + s.by * s.by) &&
         q.a00 * q.a11 - q.a01 * q.a01 > T(0.01) * q.a00 * q.a11 && q.a00 * q.a11 < T(1e30);
}

// Whether the surfel can hit a pixel centre of the rectangle [x0, x1] x [y0, y1].  Never says no wrongly.
//
// The footprint (ellipse or circle, both convex and around the projected centre) meets the rectangle exactly if it
// contains the centre, or if it meets an edge that is visible from the centre.
template <class T>
R4D_HD bool touches(const Record<T>& s, const Box<T>& box, T x0, T x1, T y0, T y1) {
  if (!(box.x0 <= x1 && x0 <= box.x1 && box.y0 <= y1 && y0 <= box.y1)) return false;
  if (!(s.flags & kConic)) return true;
  x0 -= s.cx, x1 -= s.cx, y0 -= s.cy, y1 -= s.cy;
  const T nx = maximum(x0, minimum(x1, T(0))), ny = maximum(y0, minimum(y1, T(0)));
  const Conic<T> q = outline(s);
  if (T(kHalfLog2E * kLowPassInverseVariance) * (nx * nx + ny * ny) <= q.c) return true;
  auto value = [&](T x, T y) { return q.a00 * x * x + T(2) * (q.a01 * x - q.b1) * y + q.a11 * y * y - T(2) * q.b0 * x; };
  if (nx != T(0)) {
    const T y = maximum(y0, minimum(y1, (q.b1 - q.a01 * nx) / q.a11));
    if (value(nx, y) <= q.c) return true;
  }
  if (ny != T(0)) {
    const T x = maximum(x0, minimum(x1, (q.b0 - q.a01 * ny) / q.a00));
    if (value(x, ny) <= q.c) return true;
  }
  return false;
}

// First and last pixel centres of a tile along one axis are tile * size + 0.5 and (tile + 1) * size - 0.5.
struct TileRange {
  int x0, x1, y0, y1;  // half-open
};

template <class T>
R4D_HD int clamped(T value, int limit) {
  return value <= T(0) ? 0 : value >= T(limit) ? limit : static_cast<int>(value);
}

template <class T>
R4D_HD TileRange tiles_of(const Box<T>& b, int tiles_x, int tiles_y) {
  return {clamped((b.x0 + T(0.5)) * (T(1) / kTileWidth), tiles_x), clamped((b.x1 - T(0.5)) * (T(1) / kTileWidth) + 1, tiles_x),
          clamped((b.y0 + T(0.5)) * (T(1) / kTileHeight), tiles_y), clamped((b.y1 - T(0.5)) * (T(1) / kTileHeight) + 1, tiles_y)};
}

template <class T>
R4D_HD bool touches_tile(const Record<T>& s, const Box<T>& box, int tile_x, int tile_y) {
  return touches(s, box, T(tile_x * kTileWidth) + T(0.5), T((tile_x + 1) * kTileWidth) - T(0.5),
                 T(tile_y * kTileHeight) + T(0.5), T((tile_y + 1) * kTileHeight) - T(0.5));
}

}  // namespace recon4d::gpu
