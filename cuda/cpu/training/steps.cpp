#include "steps.h"

#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "../memory.h"
#include "../threads.h"
#include "../workspace.h"
#include "quaternion_algebra.h"

namespace recon4d {

template <>
const TrainingKernels<double>& choose_training_kernels<double>(const char* name) {
  // Says no to unknown names, as the rasterizer does.
  choose_kernels<double>(name);
  return training_double();
}

template <>
const TrainingKernels<float>& choose_training_kernels<float>(const char* name) {
  const std::string chosen = choose_kernels<float>(name).name;
#ifdef R4D_X86
  if (chosen == "avx512") return training_avx512();
  if (chosen == "avx2") return training_avx2();
#endif
  return training_portable();
}

namespace {

// Memory of one call, from the pool that frames come from.
template <class T>
class Scratch {
 public:
  explicit Scratch(int64_t count) : data_(static_cast<T*>(take_pooled(static_cast<size_t>(count) * sizeof(T)))) {}
  ~Scratch() { give_back_pooled(data_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  T* data() { return data_; }

 private:
  T* data_;
};

// No more threads than there are tasks: waking one costs more than a small task.  Results do not depend on it.
int team(int threads, int64_t tasks) { return tasks < threads ? static_cast<int>(tasks < 1 ? 1 : tasks) : threads; }

// Pixels that are worth a thread of their own where little is done with each.
constexpr int64_t kPixelsPerTask = 8192;

// ------------------------------------------------------------------------------------------------------------ skinning

template <class T>
Quat<T> quat_at(const T* p, int64_t i) {
  return {p[4 * i], p[4 * i + 1], p[4 * i + 2], p[4 * i + 3]};
}

// The dual part of a rotation followed by a translation.
template <class T>
Quat<T> dual_part(const Quat<T>& rotation, const T* translation) {
  return T(0.5) * multiply(Quat<T>{T(0), translation[0], translation[1], translation[2]}, rotation);
}

// What the kernels read of the bones, computed once.
template <class T>
struct BoneTables {
  std::vector<T> places, rows;
  std::vector<uint8_t> opposite;

  explicit BoneTables(const Skin<T>& in)
      : places(static_cast<size_t>(in.bones * 8)),
        rows(static_cast<size_t>(in.times * in.bones * kBoneRow)),
        opposite(static_cast<size_t>(in.times * in.bones * in.bones)) {
    for (int64_t b = 0; b < in.bones; ++b)
      for (int c = 0; c < 3; ++c) {
        places[static_cast<size_t>(8 * b + c)] = in.rest[3 * b + c];
        places[static_cast<size_t>(8 * b + 4 + c)] = std::exp(T(-2) * in.log_radii[3 * b + c]);
      }
    for (int64_t i = 0; i < in.times * in.bones; ++i) {
      const Quat<T> q = quat_at(in.bone_rotations, i);
      const T* translation = in.bone_translations + 3 * i;
      T* row = &rows[static_cast<size_t>(i * kBoneRow)];
      if (in.dual) {
        const Quat<T> dual = dual_part(q, translation);
        const T values[8] = {q.w, q.x, q.y, q.z, dual.w, dual.x, dual.y, dual.z};
        std::memcpy(row, values, sizeof(values));
      } else {
        T inverse_norm;
        const Mat3<T> m = rotation_of(normalized(q, inverse_norm));
        for (int r = 0; r < 3; ++r) row[3 * r] = m.row[r].x, row[3 * r + 1] = m.row[r].y, row[3 * r + 2] = m.row[r].z;
        std::memcpy(row + 9, translation, 3 * sizeof(T));
        row[12] = q.w, row[13] = q.x, row[14] = q.y, row[15] = q.z;
      }
      const int64_t first = i / in.bones * in.bones;
      for (int64_t b = 0; b < in.bones; ++b)
        opposite[static_cast<size_t>(i * in.bones + b)] = !(dot(q, quat_at(in.bone_rotations, first + b)) >= 0);
    }
  }

  SkinInputs<T> inputs(const Skin<T>& in) const {
    return {in.points, in.times,      in.bones,      in.dual,     in.centers,     in.rotations,
            in.slots,  in.correction, places.data(), rows.data(), opposite.data()};
  }
};

// Gradients of a bone's transform from that of its row.
template <class T>
void row_backward(const Skin<T>& in, int64_t i, const T* v, const SkinResults<T>& out) {
  const Quat<T> q = quat_at(in.bone_rotations, i);
  Quat<T> v_q;
  Vec3<T> v_t;
  if (in.dual) {
    const T* t = in.bone_translations + 3 * i;
    const Quat<T> v_dual = {T(0.5) * v[4], T(0.5) * v[5], T(0.5) * v[6], T(0.5) * v[7]};
    const Quat<T> v_pure = multiply(v_dual, conjugate(q));
    v_q = Quat<T>{v[0], v[1], v[2], v[3]} + multiply(Quat<T>{T(0), -t[0], -t[1], -t[2]}, v_dual);
    v_t = {v_pure.x, v_pure.y, v_pure.z};
  } else {
    T inverse_norm;
    const Quat<T> unit = normalized(q, inverse_norm);
    const Mat3<T> v_m = {{{v[0], v[1], v[2]}, {v[3], v[4], v[5]}, {v[6], v[7], v[8]}}};
    v_q = Quat<T>{v[12], v[13], v[14], v[15]} + normalized_backward(unit, inverse_norm, rotation_backward(unit, v_m));
    v_t = {v[9], v[10], v[11]};
  }
  if (out.bone_rotations) {
    T* p = out.bone_rotations + 4 * i;
    p[0] = v_q.w, p[1] = v_q.x, p[2] = v_q.y, p[3] = v_q.z;
  }
  if (out.bone_translations) {
    T* p = out.bone_translations + 3 * i;
    p[0] = v_t.x, p[1] = v_t.y, p[2] = v_t.z;
  }
}

int64_t group_count(int64_t points) { return (points + kPointsPerGroup - 1) / kPointsPerGroup; }

}  // namespace

template <class T>
bool skin(const TrainingKernels<T>& kernels, const Skin<T>& in, const SkinOutputs<T>& out, int threads) {
  const BoneTables<T> tables(in);
  const SkinInputs<T> inputs = tables.inputs(in);
  const int64_t groups = group_count(in.points);
  int64_t wrong = 0;
#pragma omp parallel for num_threads(team(threads, groups)) schedule(dynamic, 1) reduction(+ : wrong)
  for (int64_t g = 0; g < groups; ++g) wrong += kernels.skin(inputs, out, g) ? 0 : 1;
  return !wrong;
}

template <class T>
void skin_backward(const TrainingKernels<T>& kernels, const Skin<T>& in, const T* weights, const T* v_centers,
                   const T* v_rotations, const T* v_turns, const SkinResults<T>& out, int threads) {
  const BoneTables<T> tables(in);
  const SkinInputs<T> inputs = tables.inputs(in);
  const int64_t groups = group_count(in.points), table_size = in.times * in.bones * kBoneRow, radii_size = in.bones * 4;
  Scratch<T> scratch(groups * (table_size + radii_size));
  T* const radii = scratch.data() + groups * table_size;
  const SkinGradients<T> g = {weights,    v_centers,      v_rotations,    v_turns, out.centers,
                              out.rotations, out.correction, scratch.data(), radii};
#pragma omp parallel for num_threads(team(threads, groups)) schedule(dynamic, 1)
  for (int64_t i = 0; i < groups; ++i) kernels.skin_backward(inputs, g, i);

  // In the order of the groups, whoever computed them.
  std::vector<T> rows(static_cast<size_t>(table_size)), bones(static_cast<size_t>(radii_size));
  for (int64_t i = 0; i < groups; ++i) {
    for (int64_t c = 0; c < table_size; ++c) rows[static_cast<size_t>(c)] += scratch.data()[i * table_size + c];
    for (int64_t c = 0; c < radii_size; ++c) bones[static_cast<size_t>(c)] += radii[i * radii_size + c];
  }
  for (int64_t i = 0; i < in.times * in.bones; ++i) row_backward(in, i, &rows[static_cast<size_t>(i * kBoneRow)], out);
  if (out.log_radii)
    for (int64_t b = 0; b < in.bones; ++b)
      for (int c = 0; c < 3; ++c) out.log_radii[3 * b + c] = bones[static_cast<size_t>(4 * b + c)];
}

// ---------------------------------------------------------------------------------------------------------- photometric

template <class T>
PhotometricValue photometric(const TrainingKernels<T>& kernels, const ImagePair<T>& images, double share, T* gradient,
                             int threads) {
  const int height = images.height, width = images.width, channels = images.channels;
  const int64_t plane = static_cast<int64_t>(height) * width;
  const double count = double(plane) * channels;
  const T l1 = T((1 - share) / count), ssim = T(-0.5 * share / count);
  std::vector<PhotometricSums> rows(static_cast<size_t>(channels) * static_cast<size_t>(height));
  if (share == 0) {
#pragma omp parallel for num_threads(team(threads, channels * plane / kPixelsPerTask)) schedule(static)
    for (int64_t r = 0; r < static_cast<int64_t>(rows.size()); ++r)
      kernels.absolute_row(images.image + r * width, images.target + r * width, width, l1,
                           gradient ? gradient + r * width : nullptr, &rows[static_cast<size_t>(r)]);
  } else {
    const int padded = (width + kernels.lanes - 1) / kernels.lanes * kernels.lanes;
    const int strips = (height + kStripRows - 1) / kStripRows;
    const int64_t per_thread = (kernels.ssim_scratch(padded) + 15) / 16 * 16;
    const int64_t partial_count = gradient ? kSsimPartials * static_cast<int64_t>(height) * padded : 0;
    Scratch<T> scratch(per_thread * threads + partial_count + padded);
    T* const partials = gradient ? scratch.data() + per_thread * threads : nullptr;
    T* const zeros = scratch.data() + per_thread * threads + partial_count;
    for (int x = 0; x < padded; ++x) zeros[x] = 0;
    T taps[kBlurTaps];
    double weights[kBlurTaps], sum = 0;
    for (int j = 0; j < kBlurTaps; ++j) {
      weights[j] = std::exp(-(j - kBlurRadius) * (j - kBlurRadius) / (2 * 1.5 * 1.5));
      sum += weights[j];
    }
    for (int j = 0; j < kBlurTaps; ++j) taps[j] = T(weights[j] / sum);
#pragma omp parallel num_threads(team(threads, strips))
    for (int c = 0; c < channels; ++c) {
      const SsimInputs<T> in = {height, width, padded, images.image + c * plane, images.target + c * plane, taps, zeros};
      T* const mine = scratch.data() + per_thread * omp_get_thread_num();
      // The end of each loop waits: the gradient reads its neighbours' partials, and the next channel writes over them.
#pragma omp for schedule(dynamic, 1)
      for (int s = 0; s < strips; ++s)
        kernels.ssim_strip(in, partials, &rows[static_cast<size_t>(c) * static_cast<size_t>(height)], mine, s);
      if (!gradient) continue;
#pragma omp for schedule(dynamic, 1)
      for (int s = 0; s < strips; ++s)
        kernels.ssim_gradient_strip(in, partials, l1, ssim, gradient + c * plane, mine, s);
    }
  }
  PhotometricSums total = {0, 0, 0};
  for (const PhotometricSums& r : rows) {
    total.absolute += r.absolute;
    total.square += r.square;
    total.similarity += r.similarity;
  }
  const double dissimilarity = share == 0 ? 0 : 0.5 - 0.5 * total.similarity / count;
  return {(1 - share) * total.absolute / count + share * dissimilarity, total.square / count};
}

// -------------------------------------------------------------------------------------------------------------- normals

template <class T>
double normal_consistency(const TrainingKernels<T>& kernels, const NormalMaps<T>& maps, T* v_normal, T* v_depth,
                          int threads) {
  const int height = maps.height, width = maps.width;
  const int64_t plane = static_cast<int64_t>(height) * width;
  Scratch<T> scratch((v_depth ? 4 * plane : 0) + height + width);
  T* const shares = v_depth ? scratch.data() + height + width : nullptr;
  T *const ray_x = scratch.data(), *const ray_y = scratch.data() + width;
  for (int x = 0; x < width; ++x) ray_x[x] = (T(x) + T(0.5) - T(maps.cx)) / T(maps.fx);
  for (int y = 0; y < height; ++y) ray_y[y] = (T(y) + T(0.5) - T(maps.cy)) / T(maps.fy);
  const NormalInputs<T> in = {height, width, maps.normal, maps.alpha, maps.depth, ray_x, ray_y};
  std::vector<double> rows(static_cast<size_t>(height));
  double total = 0;
#pragma omp parallel num_threads(team(threads, plane / kPixelsPerTask))
  {
#pragma omp for schedule(static)
    for (int y = 1; y < height - 1; ++y) rows[static_cast<size_t>(y)] = kernels.normal_weight_row(in, y);
#pragma omp single
    {
      for (const double row : rows) total += row;
      total = total > 1 ? total : 1;
    }
    const T scale = T(1 / total);
#pragma omp for schedule(dynamic, 8)
    for (int y = 1; y < height - 1; ++y) rows[static_cast<size_t>(y)] = kernels.normal_row(in, y, scale, v_normal, shares);
    if (shares) {
#pragma omp for schedule(static)
      for (int y = 0; y < height; ++y) kernels.normal_depth_row(in, shares, y, v_depth);
    }
  }
  if (v_normal)
    for (int k = 0; k < 3; ++k)
      for (int x = 0; x < width; ++x) v_normal[k * plane + x] = v_normal[(k + 1) * plane - width + x] = 0;
  double sum = 0;
  for (const double row : rows) sum += row;
  return sum / total;
}

// -------------------------------------------------------------------------------------------------------------- compose

template <class T>
void compose(const TrainingKernels<T>& kernels, const uint8_t* pixels, int64_t stride, int height, int width,
             const T* background, T* color, T* mask, int threads) {
  const int64_t plane = static_cast<int64_t>(height) * width;
#pragma omp parallel for num_threads(team(threads, plane / kPixelsPerTask)) schedule(static)
  for (int y = 0; y < height; ++y) {
    const int64_t row = static_cast<int64_t>(y) * width;
    kernels.compose_row(pixels + y * stride, width, background, color + row, mask + row, plane);
  }
}

#define R4D_INSTANTIATE(T)                                                                                           \
  template bool skin(const TrainingKernels<T>&, const Skin<T>&, const SkinOutputs<T>&, int);                         \
  template void skin_backward(const TrainingKernels<T>&, const Skin<T>&, const T*, const T*, const T*, const T*,     \
                              const SkinResults<T>&, int);                                                           \
  template PhotometricValue photometric(const TrainingKernels<T>&, const ImagePair<T>&, double, T*, int);             \
  template double normal_consistency(const TrainingKernels<T>&, const NormalMaps<T>&, T*, T*, int);                  \
  template void compose(const TrainingKernels<T>&, const uint8_t*, int64_t, int, int, const T*, T*, T*, int);
R4D_INSTANTIATE(float)
R4D_INSTANTIATE(double)
#undef R4D_INSTANTIATE

}  // namespace recon4d
