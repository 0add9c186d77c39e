// From the slots of the tiles to the gradients of the caller's arrays, for one group of surfels.
#pragma once
#include "surfel_input.h"

namespace recon4d {
inline namespace R4D_ISA {

// Sums a surfel's slots in the order of its tiles; they lie side by side.
inline void sum_slots(const Frame<Scalar>& f, const Backward<Scalar>& g, int64_t surfel, Scalar* total) {
  const int size = g.slot_size;
  const Scalar* slot = g.slots + f.first[surfel] * size;
  const Scalar* const end = g.slots + f.first[surfel + 1] * size;
  for (int c = 0; c < size; ++c) total[c] = slot[c];
  for (slot += size; slot < end; slot += size)
    for (int c = 0; c < size; ++c) total[c] += slot[c];
}

// Gradient to Projected from the moments that the tiles summed (see SurfelSums in backward.h).
inline Projected<Lanes> projected_gradient(const Lanes* t, const Projected<Lanes>& p) {
  const Lanes two(2), low_pass(2 * kHalfLog2E * kLowPassInverseVariance);
  Projected<Lanes> v;
  v.ax = two * t[2];
  v.ay = two * t[3];
  v.bx = two * t[4];
  v.by = two * t[5];
  v.hx = t[7];
  v.hy = t[8];
  v.cx = -(two * fma(p.ax, t[0], p.bx * t[1]) + fma(p.hx, t[6], low_pass * t[9]));
  v.cy = -(two * fma(p.ay, t[0], p.by * t[1]) + fma(p.hy, t[6], low_pass * t[10]));
  v.log2_opacity = -t[11];
  v.mz = t[12];
  v.normal = {t[13], t[14], t[15]};
  return v;
}

// Through the colour to the coefficients, the canonical rotation, the centre and the camera's position.
inline void sh_backward(const Frame<Scalar>& f, const Backward<Scalar>& g, const CameraT<Lanes>& cam,
                        const SurfelInWorld<Lanes>& s, const Lanes* v_color, Mask seen, int64_t i, int count,
                        SurfelGradient<Lanes>& gs, CameraGradient<Lanes>& gc) {
  const SurfelArrays<Scalar>& a = f.surfels;
  const ViewDirection dir = view_direction(a, cam, s.center, i, count);
  Lanes basis[kMaxShCount];
  sh_basis(a.sh_count, dir.unit_direction, basis);
  const Vec3<Lanes> color = sh_color(a, basis, i, count);
  const Lanes zero(0);
  const Lanes v[3] = {keep(zero < color.x, v_color[0]), keep(zero < color.y, v_color[1]), keep(zero < color.z, v_color[2])};
  const int64_t stride = 3 * static_cast<int64_t>(a.sh_count);
  Lanes v_basis[kMaxShCount];
  for (int k = 0; k < a.sh_count; ++k) {
    const Scalar* p = a.sh + i * stride + 3 * k;
    v_basis[k] = gather(p, stride, count) * v[0] + gather(p + 1, stride, count) * v[1] + gather(p + 2, stride, count) * v[2];
    if (g.surfels.sh)
      for (int c = 0; c < 3; ++c)
        scatter(g.surfels.sh + i * stride + 3 * k + c, stride, count, g.surfels.accumulate, keep(seen, basis[k] * v[c]));
  }
  const Vec3<Lanes> v_unit = sh_basis_backward(a.sh_count, dir.unit_direction, v_basis);
  const Lanes along = dot(v_unit, dir.unit_direction);
  const Vec3<Lanes> v_canonical = dir.inverse_length * (v_unit - along * dir.unit_direction);
  Vec3<Lanes> v_world = v_canonical;
  if (a.canonical) {
    const Mat3<Lanes> r = rotation_of(dir.unit);
    v_world = apply(r, v_canonical);
    if (g.surfels.canonical) {
      Mat3<Lanes> vr = {{{zero, zero, zero}, {zero, zero, zero}, {zero, zero, zero}}};
      add_outer(vr, dir.in_world, v_canonical);  // in_canonical = r^T in_world
      const Quat<Lanes> v_q = normalized_backward(dir.unit, dir.unit_inverse_norm, rotation_backward(dir.unit, vr));
      scatter4(g.surfels.canonical, i, count, g.surfels.accumulate,
               {keep(seen, v_q.w), keep(seen, v_q.x), keep(seen, v_q.y), keep(seen, v_q.z)});
    }
  }
  gs.center = gs.center + v_world;
  // in_world = centre + R^T t
  gc.translation = gc.translation + apply(cam.rotation, v_world);
  add_outer(gc.rotation, cam.translation, v_world);
}

inline void surfel_gradients(const Frame<Scalar>& f, const Backward<Scalar>& g, int64_t group) {
  const CameraT<Lanes> cam = load_camera(f.camera);
  const SurfelArrays<Scalar>& a = f.surfels;
  const SurfelGradients<Scalar>& out = g.surfels;
  const bool add = out.accumulate;
  const int64_t begin = group * kSurfelsPerGroup;
  const int64_t end = begin + kSurfelsPerGroup < a.count ? begin + kSurfelsPerGroup : a.count;
  Scalar camera_sums[kCameraGradientSize] = {};
  const int slots = g.slot_size;
  constexpr int kMaxSlots = kGeometrySlots + kMaxChannels;
  Scalar total[kMaxSlots];
  alignas(64) Scalar lanes[kMaxSlots][kLanes];
  for (int64_t i = begin; i < end; i += kLanes) {
    const int count = end - i < kLanes ? static_cast<int>(end - i) : kLanes;
    uint32_t seen = 0;
    for (int c = 0; c < slots; ++c) store(lanes[c], Lanes(0));
    for (int l = 0; l < count; ++l) {
      if (f.first[i + l] == f.first[i + l + 1]) continue;
      sum_slots(f, g, i + l, total);
      seen |= 1u << l;
      for (int c = 0; c < slots; ++c) lanes[c][l] = total[c];
    }
    if (!seen && add) continue;

    // Surfels that no pixel saw may hold values (behind the camera, zero depth) whose derivative is not finite.
    alignas(64) Scalar mask[kLanes];
    for (int l = 0; l < kLanes; ++l) mask[l] = (seen >> l) & 1 ? Scalar(1) : Scalar(0);
    const Mask ok = Lanes(0.5) < load(mask);

    const SurfelInWorld<Lanes> s = load_surfels(a, i, count);
    InCamera<Lanes> c;
    const Projected<Lanes> p = project(s, cam, c);
    Lanes t[kGeometrySlots];
    for (int k = 0; k < kGeometrySlots; ++k) t[k] = load(lanes[k]);
    const Projected<Lanes> v = projected_gradient(t, p);
    SurfelGradient<Lanes> gs;
    CameraGradient<Lanes> gc;
    project_backward(s, cam, p, c, v, gs, gc);
    if (a.sh) {
      const Lanes v_color[3] = {load(lanes[kGeometrySlots]), load(lanes[kGeometrySlots + 1]), load(lanes[kGeometrySlots + 2])};
      sh_backward(f, g, cam, s, v_color, ok, i, count, gs, gc);
    }
    if (out.features) {
      const int first = kGeometrySlots + (a.sh ? 3 : 0);
      for (int ch = 0; ch < a.feature_count; ++ch)
        scatter(out.features + i * a.feature_count + ch, a.feature_count, count, add, load(lanes[first + ch]));
    }

    if (out.centers) scatter3(out.centers, i, count, add, {keep(ok, gs.center.x), keep(ok, gs.center.y), keep(ok, gs.center.z)});
    if (out.rotations)
      scatter4(out.rotations, i, count, add,
               {keep(ok, gs.rotation.w), keep(ok, gs.rotation.x), keep(ok, gs.rotation.y), keep(ok, gs.rotation.z)});
    if (out.scales) {
      scatter(out.scales + 2 * i, 2, count, add, keep(ok, gs.su));
      scatter(out.scales + 2 * i + 1, 2, count, add, keep(ok, gs.sv));
    }
    if (out.opacities) scatter(out.opacities + i, 1, count, add, keep(ok, gs.opacity));
    if (out.offsets) {
      scatter(out.offsets + 2 * i, 2, count, add, keep(ok, v.cx));
      scatter(out.offsets + 2 * i + 1, 2, count, add, keep(ok, v.cy));
    }
    const Lanes camera[kCameraGradientSize] = {
        gc.rotation.row[0].x, gc.rotation.row[0].y, gc.rotation.row[0].z, gc.rotation.row[1].x,
        gc.rotation.row[1].y, gc.rotation.row[1].z, gc.rotation.row[2].x, gc.rotation.row[2].y,
        gc.rotation.row[2].z, gc.translation.x,     gc.translation.y,     gc.translation.z,
        gc.k.fx,              gc.k.fy,              gc.k.cx,              gc.k.cy};
    for (int k = 0; k < kCameraGradientSize; ++k) camera_sums[k] += sum_first(keep(ok, camera[k]), count);
  }
  for (int k = 0; k < kCameraGradientSize; ++k) g.camera_partials[group * kCameraGradientSize + k] = camera_sums[k];
}

}  // namespace R4D_ISA
}  // namespace recon4d
