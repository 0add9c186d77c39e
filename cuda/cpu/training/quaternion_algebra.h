// Products of quaternions (w, x, y, z), of any length.  The product by q and the product by its conjugate are each other's
// transpose, so gradients need nothing else.
#pragma once
#include "recon4d/quaternion.h"

namespace recon4d {
inline namespace R4D_ISA {

template <class T>
R4D_HD Quat<T> operator+(const Quat<T>& a, const Quat<T>& b) {
  return {a.w + b.w, a.x + b.x, a.y + b.y, a.z + b.z};
}
template <class T>
R4D_HD Quat<T> operator*(const T& s, const Quat<T>& a) {
  return {s * a.w, s * a.x, s * a.y, s * a.z};
}
template <class T>
R4D_HD T dot(const Quat<T>& a, const Quat<T>& b) {
  return fma(a.w, b.w, fma(a.x, b.x, fma(a.y, b.y, a.z * b.z)));
}
template <class T>
R4D_HD Quat<T> conjugate(const Quat<T>& a) {
  return {a.w, -a.x, -a.y, -a.z};
}
template <class T>
R4D_HD Quat<T> multiply(const Quat<T>& a, const Quat<T>& b) {
  return {a.w * b.w - a.x * b.x - a.y * b.y - a.z * b.z, a.w * b.x + a.x * b.w + a.y * b.z - a.z * b.y,
          a.w * b.y - a.x * b.z + a.y * b.w + a.z * b.x, a.w * b.z + a.x * b.y - a.y * b.x + a.z * b.w};
}

}  // namespace R4D_ISA
}  // namespace recon4d
