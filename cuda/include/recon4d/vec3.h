// Three-vectors over any number type.
#pragma once
#include "recon4d/scalar.h"

namespace recon4d {
inline namespace R4D_ISA {

template <class T>
struct Vec3 {
  T x, y, z;
};

template <class T>
R4D_HD Vec3<T> operator+(const Vec3<T>& a, const Vec3<T>& b) { return {a.x + b.x, a.y + b.y, a.z + b.z}; }
template <class T>
R4D_HD Vec3<T> operator-(const Vec3<T>& a, const Vec3<T>& b) { return {a.x - b.x, a.y - b.y, a.z - b.z}; }
template <class T>
R4D_HD Vec3<T> operator*(const T& s, const Vec3<T>& a) { return {s * a.x, s * a.y, s * a.z}; }
template <class T>
R4D_HD T dot(const Vec3<T>& a, const Vec3<T>& b) { return fma(a.x, b.x, fma(a.y, b.y, a.z * b.z)); }
template <class T>
R4D_HD Vec3<T> cross(const Vec3<T>& a, const Vec3<T>& b) {
  return {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
}

// A 3x3 matrix by rows.
template <class T>
struct Mat3 {
  Vec3<T> row[3];
};

template <class T>
R4D_HD Vec3<T> apply(const Mat3<T>& m, const Vec3<T>& v) {
  return {dot(m.row[0], v), dot(m.row[1], v), dot(m.row[2], v)};
}
template <class T>
R4D_HD Vec3<T> apply_transposed(const Mat3<T>& m, const Vec3<T>& v) {
  return {fma(m.row[0].x, v.x, fma(m.row[1].x, v.y, m.row[2].x * v.z)),
          fma(m.row[0].y, v.x, fma(m.row[1].y, v.y, m.row[2].y * v.z)),
          fma(m.row[0].z, v.x, fma(m.row[1].z, v.y, m.row[2].z * v.z))};
}
// m += a b^T
template <class T>
R4D_HD void add_outer(Mat3<T>& m, const Vec3<T>& a, const Vec3<T>& b) {
  m.row[0] = {fma(a.x, b.x, m.row[0].x), fma(a.x, b.y, m.row[0].y), fma(a.x, b.z, m.row[0].z)};
  m.row[1] = {fma(a.y, b.x, m.row[1].x), fma(a.y, b.y, m.row[1].y), fma(a.y, b.z, m.row[1].z)};
  m.row[2] = {fma(a.z, b.x, m.row[2].x), fma(a.z, b.y, m.row[2].y), fma(a.z, b.z, m.row[2].z)};
}

}  // namespace R4D_ISA
}  // namespace recon4d
