// Rotations from quaternions (w, x, y, z) that need not be normalised, and their gradients.
#pragma once
#include "recon4d/vec3.h"

namespace recon4d {
inline namespace R4D_ISA {

template <class T>
struct Quat {
  T w, x, y, z;
};

template <class T>
R4D_HD T squared_norm(const Quat<T>& q) {
  return fma(q.w, q.w, fma(q.x, q.x, fma(q.y, q.y, q.z * q.z)));
}

// q / |q| and 1 / |q|.
template <class T>
R4D_HD Quat<T> normalized(const Quat<T>& q, T& inverse_norm) {
  inverse_norm = T(1) / square_root(squared_norm(q));
  return {q.w * inverse_norm, q.x * inverse_norm, q.y * inverse_norm, q.z * inverse_norm};
}

// Gradient to q from the gradient to the normalised quaternion u = q / |q|.
template <class T>
R4D_HD Quat<T> normalized_backward(const Quat<T>& u, const T& inverse_norm, const Quat<T>& v) {
  const T along = fma(u.w, v.w, fma(u.x, v.x, fma(u.y, v.y, u.z * v.z)));
  return {(v.w - along * u.w) * inverse_norm, (v.x - along * u.x) * inverse_norm, (v.y - along * u.y) * inverse_norm,
          (v.z - along * u.z) * inverse_norm};
}

// Rotation matrix of a unit quaternion, by rows.
template <class T>
R4D_HD Mat3<T> rotation_of(const Quat<T>& u) {
  const T two(2), one(1);
  const T xx = two * u.x * u.x, yy = two * u.y * u.y, zz = two * u.z * u.z;
  const T xy = two * u.x * u.y, xz = two * u.x * u.z, yz = two * u.y * u.z;
  const T wx = two * u.w * u.x, wy = two * u.w * u.y, wz = two * u.w * u.z;
  return {{{one - yy - zz, xy - wz, xz + wy}, {xy + wz, one - xx - zz, yz - wx}, {xz - wy, yz + wx, one - xx - yy}}};
}

// Gradient to the unit quaternion from the gradient to its rotation matrix.
template <class T>
R4D_HD Quat<T> rotation_backward(const Quat<T>& u, const Mat3<T>& v) {
  const T two(2);
  const T a = v.row[2].y - v.row[1].z, b = v.row[0].z - v.row[2].x, c = v.row[1].x - v.row[0].y;
  const T sxy = v.row[0].y + v.row[1].x, sxz = v.row[0].z + v.row[2].x, syz = v.row[1].z + v.row[2].y;
  const T dx = v.row[1].y + v.row[2].z, dy = v.row[0].x + v.row[2].z, dz = v.row[0].x + v.row[1].y;
  return {two * (u.x * a + u.y * b + u.z * c),
          two * (u.w * a + u.y * sxy + u.z * sxz - two * u.x * dx),
          two * (u.w * b + u.x * sxy + u.z * syz - two * u.y * dy),
          two * (u.w * c + u.x * sxz + u.y * syz - two * u.z * dz)};
}

}  // namespace R4D_ISA
}  // namespace recon4d
