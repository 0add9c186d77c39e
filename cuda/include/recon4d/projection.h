// From a surfel in the world to the nine numbers that a pixel needs, and back again for gradients.
//
// Seen from the camera, with m the centre, t_u and t_v the unit tangents, n = t_u x t_v, and d = pixel - projected
// centre, the ray through the pixel meets the surfel's plane at depth m_z / (1 + h.d) and at surfel coordinates
// (a.d, b.d) / (1 + h.d), where
//     h = (m_z / n.m) (n_x / f_x, n_y / f_y)
//     a = ((t_ux / f_x, t_uy / f_y) m_z - (t_u.m) h) / s_u        b likewise with t_v and s_v.
// a and b are kept apart instead of as the quadratic form a a^T + b b^T: for a surfel seen at a grazing angle the
// form's condition number is the square of theirs.  Both carry a factor sqrt(log2(e) / 2), see constants.h.
#pragma once
#include "recon4d/constants.h"
#include "recon4d/quaternion.h"

namespace recon4d {
inline namespace R4D_ISA {

template <class T>
struct Intrinsics {
  T fx, fy, cx, cy;
};

template <class T>
struct CameraT {
  Mat3<T> rotation;      // of cam_from_world
  Vec3<T> translation;   // of cam_from_world
  Intrinsics<T> k;
};

template <class T>
struct SurfelInWorld {
  Vec3<T> center;
  Quat<T> rotation;
  T su, sv, opacity;
};

// What a pixel reads.  `log2_opacity` is log2(o); normal faces the camera, camera frame.
template <class T>
struct Projected {
  T cx, cy, ax, ay, bx, by, hx, hy, mz, log2_opacity;
  Vec3<T> normal;
};

// What the footprint and the backward pass need besides.
template <class T>
struct InCamera {
  Quat<T> unit;         // normalised rotation
  T inverse_norm;       // 1 / |q|
  Vec3<T> tu_world, tv_world;
  Vec3<T> m, tu, tv, n;
  T su, sv;             // after the floor
  T flip;               // +1 or -1: facing normal = flip * n
  typename NumberTraits<T>::Mask edge_on, floored_u, floored_v;
};

template <class T>
R4D_HD Projected<T> project(const SurfelInWorld<T>& s, const CameraT<T>& cam, InCamera<T>& c) {
  const T one(1), zero(0);
  c.unit = normalized(s.rotation, c.inverse_norm);
  const Mat3<T> r = rotation_of(c.unit);
  c.tu_world = {r.row[0].x, r.row[1].x, r.row[2].x};
  c.tv_world = {r.row[0].y, r.row[1].y, r.row[2].y};
  c.m = apply(cam.rotation, s.center) + cam.translation;
  c.tu = apply(cam.rotation, c.tu_world);
  c.tv = apply(cam.rotation, c.tv_world);
  c.n = cross(c.tu, c.tv);

  const T nm = dot(c.n, c.m);
  const T distance = square_root(dot(c.m, c.m));
  c.edge_on = absolute(nm) < T(kEdgeOnCosine) * distance;
  c.flip = select(nm < zero, one, -one);

  const T fx_inv = one / cam.k.fx, fy_inv = one / cam.k.fy;
  const T mz_inv = one / c.m.z;
  Projected<T> p;
  p.mz = c.m.z;
  p.cx = fma(cam.k.fx * c.m.x, mz_inv, cam.k.cx);
  p.cy = fma(cam.k.fy * c.m.y, mz_inv, cam.k.cy);

  const T ratio = c.m.z / select(c.edge_on, one, nm);
  p.hx = select(c.edge_on, zero, ratio * c.n.x * fx_inv);
  p.hy = select(c.edge_on, zero, ratio * c.n.y * fy_inv);

  const T floor = T(kMinScalePixels) * c.m.z / maximum(cam.k.fx, cam.k.fy);
  c.floored_u = s.su < floor;
  c.floored_v = s.sv < floor;
  c.su = maximum(s.su, floor);
  c.sv = maximum(s.sv, floor);
  const T iu = T(kSqrtHalfLog2E) / c.su, iv = T(kSqrtHalfLog2E) / c.sv;
  const T um = dot(c.tu, c.m), vm = dot(c.tv, c.m);
  const T dot_scale(kSqrtHalfLog2E / kMinScalePixels);
  p.ax = select(c.edge_on, dot_scale, (c.tu.x * fx_inv * c.m.z - um * p.hx) * iu);
  p.ay = select(c.edge_on, zero, (c.tu.y * fy_inv * c.m.z - um * p.hy) * iu);
  p.bx = select(c.edge_on, zero, (c.tv.x * fx_inv * c.m.z - vm * p.hx) * iv);
  p.by = select(c.edge_on, dot_scale, (c.tv.y * fy_inv * c.m.z - vm * p.hy) * iv);

  p.log2_opacity = logarithm2(s.opacity);
  p.normal = c.flip * c.n;
  return p;
}

template <class T>
struct SurfelGradient {
  Vec3<T> center;
  Quat<T> rotation;
  T su, sv, opacity;
};

// Gradients of the camera from one surfel.
template <class T>
struct CameraGradient {
  Mat3<T> rotation;
  Vec3<T> translation;
  Intrinsics<T> k;
};

// v holds the gradient to every field of Projected; `p` and `c` are what project() returned for `s`.
template <class T>
R4D_HD void project_backward(const SurfelInWorld<T>& s, const CameraT<T>& cam, const Projected<T>& p,
                             const InCamera<T>& c, const Projected<T>& v, SurfelGradient<T>& gs, CameraGradient<T>& gc) {
  const T one(1), zero(0);
  const T fx_inv = one / cam.k.fx, fy_inv = one / cam.k.fy, mz_inv = one / c.m.z;
  const T mz = c.m.z;

  // Edge-on surfels are drawn from constants: nothing flows back through a, b and h.
  const T vax = select(c.edge_on, zero, v.ax), vay = select(c.edge_on, zero, v.ay);
  const T vbx = select(c.edge_on, zero, v.bx), vby = select(c.edge_on, zero, v.by);
  T vhx = select(c.edge_on, zero, v.hx), vhy = select(c.edge_on, zero, v.hy);

  const T iu = T(kSqrtHalfLog2E) / c.su, iv = T(kSqrtHalfLog2E) / c.sv;
  const T um = dot(c.tu, c.m), vm = dot(c.tv, c.m);
  const T wax = vax * iu, way = vay * iu, wbx = vbx * iv, wby = vby * iv;

  const T v_um = -(wax * p.hx + way * p.hy), v_vm = -(wbx * p.hx + wby * p.hy);
  vhx = vhx - um * wax - vm * wbx;
  vhy = vhy - um * way - vm * wby;
  Vec3<T> vtu = v_um * c.m, vtv = v_vm * c.m;
  vtu.x = fma(wax, mz * fx_inv, vtu.x);
  vtu.y = fma(way, mz * fy_inv, vtu.y);
  vtv.x = fma(wbx, mz * fx_inv, vtv.x);
  vtv.y = fma(wby, mz * fy_inv, vtv.y);
  Vec3<T> vm3 = v_um * c.tu + v_vm * c.tv;
  const T along_x = (wax * c.tu.x + wbx * c.tv.x) * fx_inv, along_y = (way * c.tu.y + wby * c.tv.y) * fy_inv;
  vm3.z = vm3.z + along_x + along_y;

  const T nm = select(c.edge_on, one, dot(c.n, c.m));
  const T ratio = mz / nm;
  const T v_ratio = vhx * c.n.x * fx_inv + vhy * c.n.y * fy_inv;
  const T v_nm = select(c.edge_on, zero, -v_ratio * ratio / nm);
  Vec3<T> vn = c.flip * v.normal + v_nm * c.m;
  vn.x = fma(vhx, ratio * fx_inv, vn.x);
  vn.y = fma(vhy, ratio * fy_inv, vn.y);
  vm3 = vm3 + v_nm * c.n;
  vm3.z = vm3.z + select(c.edge_on, zero, v_ratio / nm);

  vtu = vtu + cross(c.tv, vn);
  vtv = vtv + cross(vn, c.tu);

  const T sx = v.cx * mz_inv, sy = v.cy * mz_inv;
  vm3.x = fma(sx, cam.k.fx, vm3.x);
  vm3.y = fma(sy, cam.k.fy, vm3.y);
  vm3.z = vm3.z + v.mz - (sx * cam.k.fx * c.m.x + sy * cam.k.fy * c.m.y) * mz_inv;

  gc.k.cx = v.cx;
  gc.k.cy = v.cy;
  gc.k.fx = sx * c.m.x - (along_x * mz + vhx * p.hx) * fx_inv;
  gc.k.fy = sy * c.m.y - (along_y * mz + vhy * p.hy) * fy_inv;
  gc.translation = vm3;
  gc.rotation = {{{zero, zero, zero}, {zero, zero, zero}, {zero, zero, zero}}};
  add_outer(gc.rotation, vm3, s.center);
  add_outer(gc.rotation, vtu, c.tu_world);
  add_outer(gc.rotation, vtv, c.tv_world);

  gs.center = apply_transposed(cam.rotation, vm3);
  const Vec3<T> vtu_w = apply_transposed(cam.rotation, vtu), vtv_w = apply_transposed(cam.rotation, vtv);
  const Mat3<T> vr = {{{vtu_w.x, vtv_w.x, zero}, {vtu_w.y, vtv_w.y, zero}, {vtu_w.z, vtv_w.z, zero}}};
  gs.rotation = normalized_backward(c.unit, c.inverse_norm, rotation_backward(c.unit, vr));
  gs.su = select(c.floored_u, zero, -(vax * p.ax + vay * p.ay) / c.su);
  gs.sv = select(c.floored_v, zero, -(vbx * p.bx + vby * p.by) / c.sv);
  gs.opacity = v.log2_opacity / (T(kLn2) * s.opacity);
}

}  // namespace R4D_ISA
}  // namespace recon4d
