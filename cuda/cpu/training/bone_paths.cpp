// Everything is computed in double precision: a few hundred poses cost microseconds.  The formulas are those of
// recon4d/core/quaternion.py and _cubic_curve.py, with the same treatment of zero, tiny and half turns.
#include "bone_paths.h"

#include <cmath>
#include <vector>

#include "quaternion_algebra.h"

namespace recon4d {

namespace {

using Q = Quat<double>;
using V = Vec3<double>;

constexpr int kOrder = 4;
constexpr double kZeroLength = 1e-12;
constexpr Q kIdentity = {1, 0, 0, 0};

template <class T>
Q load_quat(const T* p) { return {double(p[0]), double(p[1]), double(p[2]), double(p[3])}; }
template <class T>
V load_vec(const T* p) { return {double(p[0]), double(p[1]), double(p[2])}; }
template <class T>
void store_quat(T* p, const Q& q) { p[0] = T(q.w), p[1] = T(q.x), p[2] = T(q.y), p[3] = T(q.z); }
template <class T>
void store_vec(T* p, const V& v) { p[0] = T(v.x), p[1] = T(v.y), p[2] = T(v.z); }
template <class T>
void add_quat(T* p, const Q& q) { p[0] += T(q.w), p[1] += T(q.x), p[2] += T(q.y), p[3] += T(q.z); }
template <class T>
void add_vec(T* p, double s, const V& v) { p[0] += T(s * v.x), p[1] += T(s * v.y), p[2] += T(s * v.z); }

// A unit quaternion and 1 / the length it had; the identity and 0 for a zero quaternion, which gets no gradient.
struct Unit {
  Q q;
  double inverse_norm;
};

Unit normalize(const Q& q) {
  const double scale = std::fmax(std::fmax(std::fabs(q.w), std::fabs(q.x)), std::fmax(std::fabs(q.y), std::fabs(q.z)));
  if (scale <= kZeroLength) return {kIdentity, 0};
  const Q r = (1 / scale) * q;
  const double inverse = 1 / std::sqrt(squared_norm(r));
  return {inverse * r, inverse / scale};
}

Q normalize_backward(const Unit& u, const Q& v) { return normalized_backward(u.q, u.inverse_norm, v); }

// atan2(s, c) / s for s = sqrt(square) >= 0 and c >= 0, and its derivatives by `square` and c.
struct ArctangentRatio {
  double value, by_square, by_cosine;
};

ArctangentRatio arctangent_ratio(double square, double cosine) {
  const double by_cosine = -1 / (square + cosine * cosine);
  if (square < 0.01 * cosine * cosine) {
    const double x = square / (cosine * cosine);
    double value = 0, rate = 0;  // of the series in x
    for (int j = 8; j >= 0; --j) {
      rate = value + x * rate;
      value = (j % 2 ? -1.0 : 1.0) / (2 * j + 1) + x * value;
    }
    return {value / cosine, rate / (cosine * cosine * cosine), by_cosine};
  }
  const double sine = std::sqrt(square), value = std::atan2(sine, cosine) / sine;
  return {value, (-cosine * by_cosine - value) / (2 * square), by_cosine};
}

// cos a and sin(a) / a as functions of x = a^2, and the second's derivative by x; the first's is minus half the second.
struct Stumpff {
  double cosine, sine_ratio, sine_ratio_rate;
};

Stumpff stumpff(double x) {
  if (x < 1) {
    // 1 / n!, up to rounding in double precision.
    static constexpr double kInverse[20] = {1.0,
                                            1.0,
                                            1 / 2.0,
                                            1 / 6.0,
                                            1 / 24.0,
                                            1 / 120.0,
                                            1 / 720.0,
                                            1 / 5040.0,
                                            1 / 40320.0,
                                            1 / 362880.0,
                                            1 / 3628800.0,
                                            1 / 39916800.0,
                                            1 / 479001600.0,
                                            1 / 6227020800.0,
                                            1 / 87178291200.0,
                                            1 / 1307674368000.0,
                                            1 / 20922789888000.0,
                                            1 / 355687428096000.0,
                                            1 / 6402373705728000.0,
                                            1 / 121645100408832000.0};
    double c0 = 0, c1 = 0, rate = 0;
    for (int j = 9; j >= 0; --j) {
      const double sign = j % 2 ? -1.0 : 1.0;
      rate = c1 + x * rate;
      c0 = sign * kInverse[2 * j] + x * c0;
      c1 = sign * kInverse[2 * j + 1] + x * c1;
    }
    return {c0, c1, rate};
  }
  const double a = std::sqrt(x), c0 = std::cos(a), c1 = std::sin(a) / a;
  return {c0, c1, (c0 - c1) / (2 * x)};
}

// exp(share * log(conj(from) to)), with what its gradient needs.
struct Step {
  double share, sign;
  Unit between;      // conj(from) to
  ArctangentRatio ratio;
  V turn;            // share * log
  Stumpff series;
  Q made;
};

Step make_step(const Q& from, const Q& to, double share) {
  Step s;
  s.share = share;
  s.between = normalize(multiply(conjugate(from), to));
  s.sign = s.between.q.w < 0 ? -1 : 1;
  const V axis = {s.sign * s.between.q.x, s.sign * s.between.q.y, s.sign * s.between.q.z};
  s.ratio = arctangent_ratio(dot(axis, axis), s.sign * s.between.q.w);
  s.turn = (2 * share * s.ratio.value) * axis;
  s.series = stumpff(dot(s.turn, s.turn) / 4);
  const V half = (0.5 * s.series.sine_ratio) * s.turn;
  s.made = {s.series.cosine, half.x, half.y, half.z};
  return s;
}

// Adds the gradients to `from` and `to` of a step whose result has the gradient v.
void step_backward(const Step& s, const Q& from, const Q& to, const Q& v, Q& v_from, Q& v_to) {
  const V v_half = {v.x, v.y, v.z};
  const double v_square = (-0.5 * s.series.sine_ratio * v.w + 0.5 * s.series.sine_ratio_rate * dot(v_half, s.turn)) / 4;
  const V v_turn = (0.5 * s.series.sine_ratio) * v_half + (2 * v_square) * s.turn;
  // turn = 2 share ratio(|axis|^2, cosine) axis
  const V axis = {s.sign * s.between.q.x, s.sign * s.between.q.y, s.sign * s.between.q.z};
  const double v_ratio = 2 * s.share * dot(v_turn, axis);
  const V v_axis = (2 * s.share * s.ratio.value) * v_turn + (2 * v_ratio * s.ratio.by_square) * axis;
  const Q v_unit = {s.sign * v_ratio * s.ratio.by_cosine, s.sign * v_axis.x, s.sign * v_axis.y, s.sign * v_axis.z};
  const Q v_between = normalize_backward(s.between, v_unit);
  v_from = v_from + conjugate(multiply(v_between, conjugate(to)));
  v_to = v_to + multiply(from, v_between);
}

// Which controls act at a time, and how much.
struct Place {
  int64_t first;
  double weights[kOrder];
};

Place locate(double time, double start, double step, int64_t controls) {
  const double last = double(controls - kOrder + 1);
  const double position = std::fmin(std::fmax((time - start) / step, 0.0), last);
  const double first = std::fmin(std::floor(position), double(controls - kOrder));
  const double u = position - first, r = 1 - u;
  return {int64_t(first),
          {r * r * r / 6, (4 - 6 * u * u + 3 * u * u * u) / 6, (1 + 3 * u + 3 * u * u - 3 * u * u * u) / 6, u * u * u / 6}};
}

struct Pose {
  Q rotation;
  V translation;
};

// A path at a time, with what its gradient needs.
struct PathPoint {
  Q controls[kOrder];
  Unit first;
  Step steps[kOrder - 1];
  Q partial[kOrder];  // products up to each step
  Pose pose;
};

template <class T>
void path_at(const Controls<T>& c, int64_t index, const Place& place, PathPoint& p) {
  const int64_t row = index * c.controls + place.first;
  p.pose.translation = {0, 0, 0};
  for (int k = 0; k < kOrder; ++k) {
    p.controls[k] = load_quat(c.rotations + 4 * (row + k));
    p.pose.translation = p.pose.translation + place.weights[k] * load_vec(c.translations + 3 * (row + k));
  }
  p.first = normalize(p.controls[0]);
  p.partial[0] = p.first.q;
  const double shares[3] = {place.weights[1] + place.weights[2] + place.weights[3], place.weights[2] + place.weights[3],
                            place.weights[3]};
  for (int k = 0; k < kOrder - 1; ++k) {
    p.steps[k] = make_step(p.controls[k], p.controls[k + 1], shares[k]);
    p.partial[k + 1] = multiply(p.partial[k], p.steps[k].made);
  }
  p.pose.rotation = p.partial[kOrder - 1];
}

template <class T>
void path_backward(const Controls<T>& c, int64_t index, const Place& place, const PathPoint& p, const Pose& v,
                   const ControlGradients<T>& out) {
  const int64_t row = index * c.controls + place.first;
  if (out.translations)
    for (int k = 0; k < kOrder; ++k) add_vec(out.translations + 3 * (row + k), place.weights[k], v.translation);
  if (!out.rotations) return;
  Q v_controls[kOrder] = {};
  Q v_product = v.rotation;
  for (int k = kOrder - 2; k >= 0; --k) {
    step_backward(p.steps[k], p.controls[k], p.controls[k + 1], multiply(conjugate(p.partial[k]), v_product),
                  v_controls[k], v_controls[k + 1]);
    v_product = multiply(v_product, conjugate(p.steps[k].made));
  }
  v_controls[0] = v_controls[0] + normalize_backward(p.first, v_product);
  for (int k = 0; k < kOrder; ++k) add_quat(out.rotations + 4 * (row + k), v_controls[k]);
}

// Adds the gradient to a unit quaternion of turning x by it.
void turn_backward(const Q& q, const V& x, const V& v, Q& v_q) {
  Mat3<double> m = {};
  add_outer(m, v, x);
  v_q = v_q + normalized_backward(q, 1.0, rotation_backward(q, m));
}

}  // namespace

template <class T>
bool bone_transforms(const Controls<T>& bones, const Controls<T>& root, const T* rest, const double* times,
                     int64_t time_count, T* rotations, T* translations) {
  PathPoint point;
  for (int64_t t = 0; t < time_count; ++t) {
    if (!std::isfinite(times[t])) return false;
    path_at(root, 0, locate(times[t], root.start, root.step, root.controls), point);
    const Pose base = point.pose;
    const Mat3<double> base_matrix = rotation_of(base.rotation);
    const Place place = locate(times[t], bones.start, bones.step, bones.controls);
    for (int64_t b = 0; b < bones.count; ++b) {
      path_at(bones, b, place, point);
      const Q rotation = multiply(base.rotation, point.pose.rotation);
      const V position = apply(base_matrix, point.pose.translation) + base.translation;
      store_quat(rotations + 4 * (t * bones.count + b), rotation);
      store_vec(translations + 3 * (t * bones.count + b), position - apply(rotation_of(rotation), load_vec(rest + 3 * b)));
    }
  }
  return true;
}

template <class T>
void bone_transforms_backward(const Controls<T>& bones, const Controls<T>& root, const T* rest, const double* times,
                              int64_t time_count, const T* v_rotations, const T* v_translations,
                              const ControlGradients<T>& v_bones, const ControlGradients<T>& v_root) {
  PathPoint root_point, point;
  for (int64_t t = 0; t < time_count; ++t) {
    const Place root_place = locate(times[t], root.start, root.step, root.controls);
    path_at(root, 0, root_place, root_point);
    const Pose base = root_point.pose;
    const Mat3<double> base_matrix = rotation_of(base.rotation);
    const Place place = locate(times[t], bones.start, bones.step, bones.controls);
    Pose v_base = {{0, 0, 0, 0}, {0, 0, 0}};
    for (int64_t b = 0; b < bones.count; ++b) {
      path_at(bones, b, place, point);
      const int64_t at = t * bones.count + b;
      const Q rotation = multiply(base.rotation, point.pose.rotation);
      const V v_position = v_translations ? load_vec(v_translations + 3 * at) : V{0, 0, 0};
      Q v_rotation = v_rotations ? load_quat(v_rotations + 4 * at) : Q{0, 0, 0, 0};
      turn_backward(rotation, load_vec(rest + 3 * b), -1.0 * v_position, v_rotation);
      v_base.translation = v_base.translation + v_position;
      turn_backward(base.rotation, point.pose.translation, v_position, v_base.rotation);
      v_base.rotation = v_base.rotation + multiply(v_rotation, conjugate(point.pose.rotation));
      const Pose v_pose = {multiply(conjugate(base.rotation), v_rotation), apply_transposed(base_matrix, v_position)};
      path_backward(bones, b, place, point, v_pose, v_bones);
    }
    path_backward(root, 0, root_place, root_point, v_base, v_root);
  }
}

#define R4D_INSTANTIATE(T)                                                                                          \
  template bool bone_transforms(const Controls<T>&, const Controls<T>&, const T*, const double*, int64_t, T*, T*); \
  template void bone_transforms_backward(const Controls<T>&, const Controls<T>&, const T*, const double*, int64_t, \
                                         const T*, const T*, const ControlGradients<T>&, const ControlGradients<T>&);
R4D_INSTANTIATE(float)
R4D_INSTANTIATE(double)
#undef R4D_INSTANTIATE

}  // namespace recon4d
