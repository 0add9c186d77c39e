// Loading a register's worth of surfels, the camera, and the view direction for spherical harmonics.
#pragma once
#include "frame.h"
#include "lanes.h"
#include "recon4d/footprint.h"
#include "recon4d/spherical_harmonics.h"

namespace recon4d {
inline namespace R4D_ISA {

inline Vec3<Lanes> gather3(const Scalar* p, int64_t i, int count) {
  return {gather(p + 3 * i, 3, count), gather(p + 3 * i + 1, 3, count), gather(p + 3 * i + 2, 3, count)};
}
inline Quat<Lanes> gather4(const Scalar* p, int64_t i, int count) {
  return {gather(p + 4 * i, 4, count), gather(p + 4 * i + 1, 4, count), gather(p + 4 * i + 2, 4, count),
          gather(p + 4 * i + 3, 4, count)};
}
inline void scatter3(Scalar* p, int64_t i, int count, bool accumulate, const Vec3<Lanes>& v) {
  scatter(p + 3 * i, 3, count, accumulate, v.x);
  scatter(p + 3 * i + 1, 3, count, accumulate, v.y);
  scatter(p + 3 * i + 2, 3, count, accumulate, v.z);
}
inline void scatter4(Scalar* p, int64_t i, int count, bool accumulate, const Quat<Lanes>& v) {
  scatter(p + 4 * i, 4, count, accumulate, v.w);
  scatter(p + 4 * i + 1, 4, count, accumulate, v.x);
  scatter(p + 4 * i + 2, 4, count, accumulate, v.y);
  scatter(p + 4 * i + 3, 4, count, accumulate, v.z);
}

inline SurfelInWorld<Lanes> load_surfels(const SurfelArrays<Scalar>& a, int64_t i, int count) {
  return {gather3(a.centers, i, count), gather4(a.rotations, i, count), gather(a.scales + 2 * i, 2, count),
          gather(a.scales + 2 * i + 1, 2, count), gather(a.opacities + i, 1, count)};
}

inline CameraT<Lanes> load_camera(const CameraArgs<Scalar>& c) {
  CameraT<Lanes> r;
  for (int i = 0; i < 3; ++i)
    r.rotation.row[i] = {Lanes(c.rotation[3 * i]), Lanes(c.rotation[3 * i + 1]), Lanes(c.rotation[3 * i + 2])};
  r.translation = {Lanes(c.translation[0]), Lanes(c.translation[1]), Lanes(c.translation[2])};
  r.k = {Lanes(c.fx), Lanes(c.fy), Lanes(c.cx), Lanes(c.cy)};
  return r;
}

// The direction in which the camera sees the surfels, turned back into the canonical frame.
struct ViewDirection {
  Vec3<Lanes> in_world;      // not normalised
  Quat<Lanes> unit;          // of world_from_canonical
  Lanes unit_inverse_norm;
  Vec3<Lanes> in_canonical;  // not normalised
  Lanes inverse_length;
  Vec3<Lanes> unit_direction;
};

inline ViewDirection view_direction(const SurfelArrays<Scalar>& a, const CameraT<Lanes>& cam, const Vec3<Lanes>& center,
                                    int64_t i, int count) {
  ViewDirection d;
  const Vec3<Lanes> minus_eye = apply_transposed(cam.rotation, cam.translation);
  d.in_world = center + minus_eye;
  d.in_canonical = d.in_world;
  if (a.canonical) {
    d.unit = normalized(gather4(a.canonical, i, count), d.unit_inverse_norm);
    d.in_canonical = apply_transposed(rotation_of(d.unit), d.in_world);
  }
  // A surfel at the camera's very centre is never drawn; the floor only keeps its colour finite.
  d.inverse_length = Lanes(1) / square_root(maximum(dot(d.in_canonical, d.in_canonical), Lanes(Scalar(1e-37))));
  d.unit_direction = d.inverse_length * d.in_canonical;
  return d;
}

// 0.5 + sum of basis * coefficients, not yet clamped at 0.
inline Vec3<Lanes> sh_color(const SurfelArrays<Scalar>& a, const Lanes* basis, int64_t i, int count) {
  const int64_t stride = 3 * static_cast<int64_t>(a.sh_count);
  Vec3<Lanes> c = {Lanes(0.5), Lanes(0.5), Lanes(0.5)};
  for (int k = 0; k < a.sh_count; ++k) {
    const Scalar* p = a.sh + i * stride + 3 * k;
    c.x = fma(basis[k], gather(p, stride, count), c.x);
    c.y = fma(basis[k], gather(p + 1, stride, count), c.y);
    c.z = fma(basis[k], gather(p + 2, stride, count), c.z);
  }
  return c;
}

}  // namespace R4D_ISA
}  // namespace recon4d
