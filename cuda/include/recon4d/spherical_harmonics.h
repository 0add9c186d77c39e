// Real spherical harmonics of degree 0 to 3 in the sign and order that Gaussian splatting files use.
#pragma once
#include "recon4d/vec3.h"

namespace recon4d {
inline namespace R4D_ISA {

inline constexpr int kMaxShCount = 16;

// The first `count` (1, 4, 9 or 16) basis functions at the unit vector d.
template <class T>
R4D_HD void sh_basis(int count, const Vec3<T>& d, T* b) {
  const T x = d.x, y = d.y, z = d.z;
  b[0] = T(0.28209479177387814);
  if (count < 4) return;
  b[1] = T(-0.4886025119029199) * y;
  b[2] = T(0.4886025119029199) * z;
  b[3] = T(-0.4886025119029199) * x;
  if (count < 9) return;
  const T xx = x * x, yy = y * y, zz = z * z;
  b[4] = T(1.0925484305920792) * x * y;
  b[5] = T(-1.0925484305920792) * y * z;
  b[6] = T(0.31539156525252005) * (T(2) * zz - xx - yy);
  b[7] = T(-1.0925484305920792) * x * z;
  b[8] = T(0.5462742152960396) * (xx - yy);
  if (count < 16) return;
  b[9] = T(-0.5900435899266435) * y * (T(3) * xx - yy);
  b[10] = T(2.890611442640554) * x * y * z;
  b[11] = T(-0.4570457994644658) * y * (T(4) * zz - xx - yy);
  b[12] = T(0.3731763325901154) * z * (T(2) * zz - T(3) * xx - T(3) * yy);
  b[13] = T(-0.4570457994644658) * x * (T(4) * zz - xx - yy);
  b[14] = T(1.445305721320277) * z * (xx - yy);
  b[15] = T(-0.5900435899266435) * x * (xx - T(3) * yy);
}

// Gradient to the (unnormalised) arguments x, y, z from gradients g to the basis functions.
template <class T>
R4D_HD Vec3<T> sh_basis_backward(int count, const Vec3<T>& d, const T* g) {
  const T x = d.x, y = d.y, z = d.z, zero(0);
  Vec3<T> v = {zero, zero, zero};
  if (count < 4) return v;
  v.y = T(-0.4886025119029199) * g[1];
  v.z = T(0.4886025119029199) * g[2];
  v.x = T(-0.4886025119029199) * g[3];
  if (count < 9) return v;
  const T c4 = T(1.0925484305920792) * g[4], c5 = T(-1.0925484305920792) * g[5];
  const T c6 = T(0.6307831305050401) * g[6], c7 = T(-1.0925484305920792) * g[7];
  const T c8 = T(1.0925484305920792) * g[8];
  v.x = v.x + c4 * y - c6 * x + c7 * z + c8 * x;
  v.y = v.y + c4 * x + c5 * z - c6 * y - c8 * y;
  v.z = v.z + c5 * y + T(2) * c6 * z + c7 * x;
  if (count < 16) return v;
  const T xx = x * x, yy = y * y, zz = z * z;
  const T c9 = T(-0.5900435899266435) * g[9], c10 = T(2.890611442640554) * g[10];
  const T c11 = T(-0.4570457994644658) * g[11], c12 = T(0.3731763325901154) * g[12];
  const T c13 = T(-0.4570457994644658) * g[13], c14 = T(1.445305721320277) * g[14];
  const T c15 = T(-0.5900435899266435) * g[15];
  v.x = v.x + c9 * (T(6) * x * y) + c10 * (y * z) - c11 * (T(2) * x * y) - c12 * (T(6) * x * z) +
        c13 * (T(4) * zz - T(3) * xx - yy) + c14 * (T(2) * x * z) + c15 * (T(3) * (xx - yy));
  v.y = v.y + c9 * (T(3) * (xx - yy)) + c10 * (x * z) + c11 * (T(4) * zz - xx - T(3) * yy) - c12 * (T(6) * y * z) -
        c13 * (T(2) * x * y) - c14 * (T(2) * y * z) - c15 * (T(6) * x * y);
  v.z = v.z + c10 * (x * y) + c11 * (T(8) * y * z) + c12 * (T(6) * zz - T(3) * xx - T(3) * yy) + c13 * (T(8) * x * z) +
        c14 * (xx - yy);
  return v;
}

}  // namespace R4D_ISA
}  // namespace recon4d
