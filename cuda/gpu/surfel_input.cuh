// Loading a surfel, a camera, and the view direction for spherical harmonics.
#pragma once
#include "device.h"
#include "frame.h"
#include "recon4d/spherical_harmonics.h"

namespace recon4d::gpu {

template <class T>
__device__ inline Vec3<T> load3(const T* p, int64_t i) {
  return {p[3 * i], p[3 * i + 1], p[3 * i + 2]};
}
template <class T>
__device__ inline Quat<T> load4(const T* p, int64_t i) {
  return {p[4 * i], p[4 * i + 1], p[4 * i + 2], p[4 * i + 3]};
}

template <class T>
__device__ inline SurfelInWorld<T> load_surfel(const Scene<T>& a, int frame, int64_t i) {
  const T* scales = a.scales.of(frame) + 2 * i;
  return {load3(a.centers.of(frame), i), load4(a.rotations.of(frame), i), scales[0], scales[1], a.opacities.of(frame)[i]};
}

template <class T>
__device__ inline CameraT<T> load_camera(const Scene<T>& a, int frame) {
  const T *k = a.K + 9 * frame, *p = a.cam_from_world + 16 * frame;
  return {{{{p[0], p[1], p[2]}, {p[4], p[5], p[6]}, {p[8], p[9], p[10]}}}, {p[3], p[7], p[11]}, {k[0], k[4], k[2], k[5]}};
}

// The direction in which the camera sees the surfel, turned back into the canonical frame.
template <class T>
struct ViewDirection {
  Vec3<T> in_world;      // not normalised
  Quat<T> unit;          // of world_from_canonical
  T unit_inverse_norm;
  T inverse_length;
  Vec3<T> unit_direction;
};

template <class T>
__device__ inline ViewDirection<T> view_direction(const Scene<T>& a, const CameraT<T>& cam, const Vec3<T>& center, int frame,
                                                  int64_t i) {
  ViewDirection<T> d;
  d.in_world = center + apply_transposed(cam.rotation, cam.translation);
  d.unit = {T(1), T(0), T(0), T(0)};
  d.unit_inverse_norm = T(1);
  Vec3<T> in_canonical = d.in_world;
  if (a.canonical) {
    d.unit = normalized(load4(a.canonical.of(frame), i), d.unit_inverse_norm);
    in_canonical = apply_transposed(rotation_of(d.unit), d.in_world);
  }
  // A surfel at the camera's very centre is never drawn; the floor only keeps its colour finite.
  d.inverse_length = T(1) / square_root(maximum(dot(in_canonical, in_canonical), T(1e-37)));
  d.unit_direction = d.inverse_length * in_canonical;
  return d;
}

// 0.5 + sum of basis * coefficients, not yet clamped at 0.  Loops over coefficients run to the largest count with a test
// inside, so that the compiler unrolls them and the basis stays in registers.
template <class T>
__device__ inline Vec3<T> sh_color(const T* sh, int count, const T* basis) {
  Vec3<T> c = {T(0.5), T(0.5), T(0.5)};
#pragma unroll
  for (int k = 0; k < kMaxShCount; ++k)
    if (k < count) {
      c.x = fma(basis[k], sh[3 * k], c.x);
      c.y = fma(basis[k], sh[3 * k + 1], c.y);
      c.z = fma(basis[k], sh[3 * k + 2], c.z);
    }
  return c;
}

}  // namespace recon4d::gpu
