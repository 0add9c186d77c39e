// Projection: one thread per surfel and frame, colours included.
//
// Writes the record that pixels read, its box, its radius, the depth key that orders it and the number of tiles that its
// exact footprint touches.  Memory: 40 to 250 bytes read and 120 written per surfel; nothing is shared between threads.
#pragma once
#include "surfel_input.cuh"
#include "visit.cuh"

namespace recon4d::gpu {

// Values are compared rather than classified: a comparison with NaN is false.
template <class T>
__device__ inline bool finite(T a) {
  return absolute(a) <= T(3e38);
}

template <class T>
__device__ inline bool usable_quaternion(const Quat<T>& q) {
  const T norm = squared_norm(q);
  return T(kMinQuaternionNorm * kMinQuaternionNorm) < norm && finite(norm);
}

template <class T>
__device__ inline bool drawable(const SurfelInWorld<T>& s) {
  return finite(s.center.x) && finite(s.center.y) && finite(s.center.z) && usable_quaternion(s.rotation) && T(0) <= s.su &&
         finite(s.su) && T(0) <= s.sv && finite(s.sv) && T(0) <= s.opacity && s.opacity <= T(1);
}

// The box of a disc that crosses the near plane, in image coordinates without the principal point.
template <class T>
__device__ inline Box<T> crossing_box(const InCamera<T>& c, const CameraT<T>& cam, const DiscAxes<T>& d, T near_plane) {
  const T everything(1e9), epsilon = sizeof(T) == 4 ? T(1.2e-7) : T(2.3e-16);
  Box<T> b = {-everything, everything, -everything, everything};
  if (too_long_for_near_plane(d, near_plane, epsilon)) return b;
  crossing_extent<T>(cam.k.fx, d.a.x, d.b.x, c.m.x, d, c.m.z, near_plane, b.x0, b.x1);
  crossing_extent<T>(cam.k.fy, d.a.y, d.b.y, c.m.y, d, c.m.z, near_plane, b.y0, b.y1);
  // Nothing found means that rounding or overflow ate it (an absurdly large disc): take everything.
  if (!(b.x0 <= b.x1)) b.x0 = -everything, b.x1 = everything;
  if (!(b.y0 <= b.y1)) b.y0 = -everything, b.y1 = everything;
  return b;
}

// The box around the footprint, in pixels, and whether the disc crosses the near plane.
template <class T>
__device__ inline Box<T> footprint_box(const Projected<T>& p, const InCamera<T>& c, const CameraT<T>& cam, T offset_x, T offset_y,
                                       T r, T near_plane, bool& crossing) {
  const DiscAxes<T> d = disc_axes(c, r);
  const T circle = r * T(0.70710678118654752);
  // A hair of slack, so that rounding cannot hide a disc that touches the near plane.
  crossing = nearest_depth(c, d) <= near_plane * T(1.001);
  Box<T> b;
  if (crossing && !c.edge_on) {
    b = crossing_box(c, cam, d, near_plane);
    const T pad_x = T(1) + (b.x1 - b.x0) * T(1e-3), pad_y = T(1) + (b.y1 - b.y0) * T(1e-3);
    const T shift_x = cam.k.cx + offset_x, shift_y = cam.k.cy + offset_y;
    b = {minimum(shift_x + b.x0 - pad_x, p.cx - circle), maximum(shift_x + b.x1 + pad_x, p.cx + circle),
         minimum(shift_y + b.y0 - pad_y, p.cy - circle), maximum(shift_y + b.y1 + pad_y, p.cy + circle)};
  } else {
    T mx(0), hx(0), my(0), hy(0);
    if (!c.edge_on) {  // else drawn as the circle alone
      outline_extent(cam.k.fx, d.a.x, d.b.x, c.m.x, d, c.m.z, mx, hx);
      outline_extent(cam.k.fy, d.a.y, d.b.y, c.m.y, d, c.m.z, my, hy);
    }
    // Grown by a little more than the rounding of the visit's own arithmetic.
    const T slack_x = fma(hx, T(1e-3), T(0.01)), slack_y = fma(hy, T(1e-3), T(0.01));
    b = {p.cx + (minimum(mx - hx, -circle) - slack_x), p.cx + (maximum(mx + hx, circle) + slack_x),
         p.cy + (minimum(my - hy, -circle) - slack_y), p.cy + (maximum(my + hy, circle) + slack_y)};
  }
  // Whatever is not a number (overflow in an absurdly large disc) becomes the whole image: slow but right.
  const T far_away(1e9);
  if (!(b.x0 > -far_away)) b.x0 = -far_away;
  if (!(b.x1 < far_away)) b.x1 = far_away;
  if (!(b.y0 > -far_away)) b.y0 = -far_away;
  if (!(b.y1 < far_away)) b.y1 = far_away;
  return b;
}

__device__ inline uint32_t depth_bits(float z) {
#ifdef __CUDA_ARCH__
  return __float_as_uint(z);
#else
  uint32_t bits;
  __builtin_memcpy(&bits, &z, sizeof bits);
  return bits;
#endif
}
__device__ inline uint64_t depth_bits(double z) {
#ifdef __CUDA_ARCH__
  return static_cast<uint64_t>(__double_as_longlong(z));
#else
  uint64_t bits;
  __builtin_memcpy(&bits, &z, sizeof bits);
  return bits;
#endif
}

template <class T>
__global__ void __launch_bounds__(kFlatThreads) project_kernel(Scene<T> a, Projection<T> out) {
  const int64_t slot = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (slot >= a.slots()) return;
  const int frame = static_cast<int>(slot / a.count);
  const int64_t i = slot % a.count;

  const SurfelInWorld<T> s = load_surfel(a, frame, i);
  const CameraT<T> cam = load_camera(a, frame);
  InCamera<T> c;
  Projected<T> p = project(s, cam, c);
  bool good = drawable(s);
  if (a.canonical) good = good && usable_quaternion(load4(a.canonical.of(frame), i));
  T offset_x(0), offset_y(0);
  if (a.offsets) {
    offset_x = a.offsets.of(frame)[2 * i];
    offset_y = a.offsets.of(frame)[2 * i + 1];
    good = good && finite(offset_x) && finite(offset_y);
    p.cx = p.cx + offset_x;
    p.cy = p.cy + offset_y;
  }

  Vec3<T> color = {T(0), T(0), T(0)};
  if (a.sh) {
    const ViewDirection<T> dir = view_direction(a, cam, s.center, frame, i);
    T basis[kMaxShCount];
    sh_basis(a.sh_count, dir.unit_direction, basis);
    color = sh_color(a.sh.of(frame) + 3 * a.sh_count * i, a.sh_count, basis);
    good = good && finite(color.x) && finite(color.y) && finite(color.z);
    color = {maximum(color.x, T(0)), maximum(color.y, T(0)), maximum(color.z, T(0))};
  } else {
    const T* features = a.features.of(frame) + a.channels * i;
    for (int k = 0; k < a.channels; ++k) good = good && finite(features[k]);
    if (a.channels == 3) color = {features[0], features[1], features[2]};
  }
  if (!good) atomicAdd(reinterpret_cast<unsigned long long*>(out.status), 1ULL);

  // What overflows in single precision (centres beyond 1e30 units) is left out: 0 * infinity must never be blended.
  const bool drawn = good && a.limits.near_plane < p.mz && p.mz < T(1e30) && a.limits.alpha_min <= s.opacity && finite(p.cx) &&
                     finite(p.cy) && finite(p.ax) && finite(p.ay) && finite(p.bx) && finite(p.by) && finite(p.hx) && finite(p.hy);
  uint32_t touched = 0;
  T radius(0);
  if (drawn) {
    const T cut = p.log2_opacity - logarithm2(a.limits.alpha_min);
    const T r = square_root(maximum(cut * T(1 / kHalfLog2E), T(0)));
    bool crossing;
    const Box<T> box = footprint_box(p, c, cam, offset_x, offset_y, r, a.limits.near_plane, crossing);
    // So steep that the low-pass circle reaches depths that are bounded.
    const T steep_reach = r * T(0.70710678118654752) * square_root(fma(p.hx, p.hx, p.hy * p.hy));
    const bool steep = T(1 - 1 / kLowPassDepthRatio) < steep_reach;
    Record<T> record = {p.cx, p.cy, p.ax, p.ay, p.bx, p.by, p.hx, p.hy,
                        p.log2_opacity, cut, crossing || steep ? kSpecial : 0, static_cast<uint32_t>(slot),
                        p.mz, T(1) / p.mz, p.normal.x, p.normal.y, p.normal.z, color.x, color.y, color.z};
    if (!crossing && well_conditioned(record)) record.flags |= kConic;
    out.records[slot] = record;
    out.boxes[slot] = box;
    // Pixel centres lie between 0.5 and size - 0.5; the last tile may reach beyond.
    if (box.x1 >= T(0.5) && box.y1 >= T(0.5) && box.x0 <= T(a.width) - T(0.5) && box.y0 <= T(a.height) - T(0.5)) {
      const TileRange t = tiles_of(box, a.tiles_x, a.tiles_y);
      for (int y = t.y0; y < t.y1; ++y)
        for (int x = t.x0; x < t.x1; ++x) touched += touches_tile(record, box, x, y);
      if (t.x0 < t.x1 && t.y0 < t.y1)
        radius = minimum(T(0.5) * maximum(box.x1 - box.x0, box.y1 - box.y0), T(a.width > a.height ? a.width : a.height));
    }
  }
  out.radii[slot] = radius;
  out.tile_counts[slot] = touched;
  out.slots[slot] = static_cast<uint32_t>(slot);
  // Surfels that touch nothing sort behind all others.
  using Key = typename DepthKey<T>::Type;
  out.keys[slot] = touched ? static_cast<Key>(depth_bits(p.mz)) : ~Key(0);
}

}  // namespace recon4d::gpu
