// From the summed moments of a surfel to the gradients of the caller's arrays: one thread per surfel, all frames in turn.
//
// A thread owns its surfel in every array, shared between frames or not, so nothing here is atomic but the gradients of the
// cameras, which are summed over the warp first.
#pragma once
#include "surfel_input.cuh"
#include "visit.cuh"

namespace recon4d::gpu {

// Gradient to Projected from the moments; their order is that of backward.cuh.
template <class T>
__device__ inline Projected<T> projected_gradient(const T* t, const Projected<T>& p) {
  const T two(2), low(2 * kHalfLog2E * kLowPassInverseVariance);
  Projected<T> v;
  v.ax = two * t[2];
  v.ay = two * t[3];
  v.bx = two * t[4];
  v.by = two * t[5];
  v.hx = t[7];
  v.hy = t[8];
  v.cx = -(two * fma(p.ax, t[0], p.bx * t[1]) + fma(p.hx, t[6], low * t[9]));
  v.cy = -(two * fma(p.ay, t[0], p.by * t[1]) + fma(p.hy, t[6], low * t[10]));
  v.log2_opacity = -t[11];
  v.mz = t[12];
  v.normal = {t[13], t[14], t[15]};
  return v;
}

template <class T>
__device__ inline void add3(const PerFrame<T>& to, int frame, int64_t i, const Vec3<T>& v) {
  if (!to) return;
  T* p = to.of(frame) + 3 * i;
  p[0] += v.x;
  p[1] += v.y;
  p[2] += v.z;
}

template <class T>
__device__ inline void add4(const PerFrame<T>& to, int frame, int64_t i, const Quat<T>& v) {
  if (!to) return;
  T* p = to.of(frame) + 4 * i;
  p[0] += v.w;
  p[1] += v.x;
  p[2] += v.y;
  p[3] += v.z;
}

template <class T>
__device__ inline void add2(const PerFrame<T>& to, int frame, int64_t i, T x, T y) {
  if (!to) return;
  T* p = to.of(frame) + 2 * i;
  p[0] += x;
  p[1] += y;
}

// Through the colour to the coefficients, the canonical rotation, the centre and the camera's position.
template <class T>
__device__ inline void sh_backward(const Scene<T>& a, const SurfelGradients<T>& out, const CameraT<T>& cam, const Vec3<T>& center,
                                   const T* v_color, int frame, int64_t i, SurfelGradient<T>& gs, CameraGradient<T>& gc) {
  const ViewDirection<T> dir = view_direction(a, cam, center, frame, i);
  T basis[kMaxShCount], v_basis[kMaxShCount];
  sh_basis(a.sh_count, dir.unit_direction, basis);
  const T* sh = a.sh.of(frame) + 3 * a.sh_count * i;
  const Vec3<T> color = sh_color(sh, a.sh_count, basis);
  const Vec3<T> v = {color.x > T(0) ? v_color[0] : T(0), color.y > T(0) ? v_color[1] : T(0), color.z > T(0) ? v_color[2] : T(0)};
  T* v_sh = out.sh ? out.sh.of(frame) + 3 * a.sh_count * i : nullptr;
#pragma unroll
  for (int k = 0; k < kMaxShCount; ++k)
    if (k < a.sh_count) {
      v_basis[k] = sh[3 * k] * v.x + sh[3 * k + 1] * v.y + sh[3 * k + 2] * v.z;
      if (v_sh) {
        v_sh[3 * k] += basis[k] * v.x;
        v_sh[3 * k + 1] += basis[k] * v.y;
        v_sh[3 * k + 2] += basis[k] * v.z;
      }
    }
  const Vec3<T> v_unit = sh_basis_backward(a.sh_count, dir.unit_direction, v_basis);
  const T along = dot(v_unit, dir.unit_direction);
  const Vec3<T> v_canonical = dir.inverse_length * (v_unit - along * dir.unit_direction);
  Vec3<T> v_world = v_canonical;
  if (a.canonical) {
    v_world = apply(rotation_of(dir.unit), v_canonical);
    const T zero(0);
    Mat3<T> vr = {{{zero, zero, zero}, {zero, zero, zero}, {zero, zero, zero}}};
    add_outer(vr, dir.in_world, v_canonical);  // in_canonical = r^T in_world
    add4(out.canonical, frame, i, normalized_backward(dir.unit, dir.unit_inverse_norm, rotation_backward(dir.unit, vr)));
  }
  gs.center = gs.center + v_world;
  // in_world = centre + R^T t
  gc.translation = gc.translation + apply(cam.rotation, v_world);
  add_outer(gc.rotation, cam.translation, v_world);
}

template <class T>
__global__ void __launch_bounds__(kFlatThreads) gradients_kernel(Scene<T> a, const T* radii, const T* sums,
                                                                 SurfelGradients<T> out) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int stride = gradient_stride(a.channels);
  for (int frame = 0; frame < a.frames; ++frame) {
    const int64_t slot = static_cast<int64_t>(frame) * a.count + i;
    // Surfels that are not drawn may hold values (behind the camera, zero depth) whose derivative is not finite.
    const bool drawn = i < a.count && radii[slot] > T(0);
    T camera[kCameraGradientSize];
#pragma unroll
    for (int k = 0; k < kCameraGradientSize; ++k) camera[k] = T(0);
    if (drawn) {
      const T* t = sums + slot * stride;
      const CameraT<T> cam = load_camera(a, frame);
      const SurfelInWorld<T> s = load_surfel(a, frame, i);
      InCamera<T> c;
      const Projected<T> p = project(s, cam, c);
      const Projected<T> v = projected_gradient(t, p);
      SurfelGradient<T> gs;
      CameraGradient<T> gc;
      project_backward(s, cam, p, c, v, gs, gc);
      if (a.sh) {
        sh_backward(a, out, cam, s.center, t + kGeometrySums, frame, i, gs, gc);
      } else if (out.features) {
        T* to = out.features.of(frame) + a.channels * i;
        for (int k = 0; k < a.channels; ++k) to[k] += t[kGeometrySums + k];
      }
      add3(out.centers, frame, i, gs.center);
      add4(out.rotations, frame, i, gs.rotation);
      add2(out.scales, frame, i, gs.su, gs.sv);
      if (out.opacities) out.opacities.of(frame)[i] += gs.opacity;
      add2(out.offsets, frame, i, v.cx, v.cy);
#pragma unroll
      for (int k = 0; k < 3; ++k) {
        camera[3 * k] = gc.rotation.row[k].x;
        camera[3 * k + 1] = gc.rotation.row[k].y;
        camera[3 * k + 2] = gc.rotation.row[k].z;
      }
      camera[9] = gc.translation.x;
      camera[10] = gc.translation.y;
      camera[11] = gc.translation.z;
      camera[12] = gc.k.fx;
      camera[13] = gc.k.fy;
      camera[14] = gc.k.cx;
      camera[15] = gc.k.cy;
    }
    if (!__any_sync(kWholeWarp, drawn)) continue;
    const T sum = reduce_scatter<kCameraGradientSize>(camera, lane);
    if (lane % 2 == 0) atomicAdd(out.cameras + frame * kCameraGradientSize + lane / 2, sum);
  }
}

}  // namespace recon4d::gpu
