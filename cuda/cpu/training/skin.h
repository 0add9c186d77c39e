// Skinning of one group of points: weights by distance to the bones, blended transforms, and the gradients of both.
//
// What every point does by itself runs on registers full of points.  What depends on its bones runs point by point on
// whole rows of the table of bones, because gathering single numbers from it would take longer than the arithmetic.
#pragma once
#include <cstring>

#include "../lanes.h"
#include "../surfel_input.h"
#include "kernels.h"
#include "quaternion_algebra.h"

namespace recon4d {
inline namespace R4D_ISA {

typedef Scalar Row __attribute__((vector_size(kBoneRow * sizeof(Scalar)), aligned(sizeof(Scalar))));
typedef Scalar Four __attribute__((vector_size(4 * sizeof(Scalar)), aligned(sizeof(Scalar))));

R4D_HD Row load_row(const Scalar* p) {
  Row r;
  std::memcpy(&r, p, sizeof(Row));
  return r;
}
R4D_HD void store_row(Scalar* p, const Row& r) { std::memcpy(p, &r, sizeof(Row)); }
R4D_HD Four load_four(const Scalar* p) {
  Four r;
  std::memcpy(&r, p, sizeof(Four));
  return r;
}
R4D_HD void store_four(Scalar* p, const Four& r) { std::memcpy(p, &r, sizeof(Four)); }

// The sums of four vectors.
R4D_HD Four sums_of(const Four& a, const Four& b, const Four& c, const Four& d) {
  const Four ab = __builtin_shufflevector(a, b, 0, 4, 1, 5) + __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const Four cd = __builtin_shufflevector(c, d, 0, 4, 1, 5) + __builtin_shufflevector(c, d, 2, 6, 3, 7);
  return __builtin_shufflevector(ab, cd, 0, 1, 4, 5) + __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
}

#if defined(R4D_LANES_AVX512)

// A row fills a register.
static_assert(kLanes == kBoneRow, "the transposition below is square");

R4D_HD void transpose(const __m512* in, __m512* out) {
  __m512 a[16], b[16];
  for (int i = 0; i < 16; i += 2) {
    a[i] = _mm512_unpacklo_ps(in[i], in[i + 1]);
    a[i + 1] = _mm512_unpackhi_ps(in[i], in[i + 1]);
  }
  // b[4 g + c]: numbers c, c + 4, c + 8 and c + 12 of rows 4 g to 4 g + 3, a quarter each.
  for (int g = 0; g < 4; ++g)
    for (int h = 0; h < 2; ++h) {
      const __m512d x = _mm512_castps_pd(a[4 * g + h]), y = _mm512_castps_pd(a[4 * g + 2 + h]);
      b[4 * g + 2 * h] = _mm512_castpd_ps(_mm512_unpacklo_pd(x, y));
      b[4 * g + 2 * h + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(x, y));
    }
  for (int c = 0; c < 4; ++c) {
    const __m512 low0 = _mm512_shuffle_f32x4(b[c], b[4 + c], 0x88), low1 = _mm512_shuffle_f32x4(b[8 + c], b[12 + c], 0x88);
    const __m512 high0 = _mm512_shuffle_f32x4(b[c], b[4 + c], 0xDD), high1 = _mm512_shuffle_f32x4(b[8 + c], b[12 + c], 0xDD);
    out[c] = _mm512_shuffle_f32x4(low0, low1, 0x88);
    out[8 + c] = _mm512_shuffle_f32x4(low0, low1, 0xDD);
    out[4 + c] = _mm512_shuffle_f32x4(high0, high1, 0x88);
    out[12 + c] = _mm512_shuffle_f32x4(high0, high1, 0xDD);
  }
}

// Between rows of points and registers of one number of many points.
R4D_HD void numbers_of(const Scalar (*rows)[kBoneRow], Lanes* numbers) {
  __m512 in[16], out[16];
  for (int i = 0; i < 16; ++i) in[i] = load(rows[i]).v;
  transpose(in, out);
  for (int i = 0; i < 16; ++i) numbers[i] = out[i];
}
R4D_HD void points_of(const Lanes* numbers, Scalar (*rows)[kBoneRow]) {
  __m512 in[16], out[16];
  for (int i = 0; i < 16; ++i) in[i] = numbers[i].v;
  transpose(in, out);
  for (int i = 0; i < 16; ++i) store(rows[i], Lanes(out[i]));
}

// The sums of sixteen rows.
R4D_HD void sums_of_rows(const Row* rows, Scalar* sums) {
  Lanes all[16];
  for (int i = 0; i < 16; ++i) std::memcpy(&all[i], &rows[i], sizeof(Row));
  sum16(all, sums);
}

#else

R4D_HD void numbers_of(const Scalar (*rows)[kBoneRow], Lanes* numbers) {
  for (int c = 0; c < kBoneRow; ++c) numbers[c] = gather(&rows[0][c], kBoneRow, kLanes);
}
R4D_HD void points_of(const Lanes* numbers, Scalar (*rows)[kBoneRow]) {
  for (int c = 0; c < kBoneRow; ++c) scatter(&rows[0][c], kBoneRow, kLanes, false, numbers[c]);
}

R4D_HD Four folded(const Row& r) {
  return (__builtin_shufflevector(r, r, 0, 1, 2, 3) + __builtin_shufflevector(r, r, 4, 5, 6, 7)) +
         (__builtin_shufflevector(r, r, 8, 9, 10, 11) + __builtin_shufflevector(r, r, 12, 13, 14, 15));
}
R4D_HD void sums_of_rows(const Row* rows, Scalar* sums) {
  for (int i = 0; i < 16; i += 4)
    store_four(sums + i, sums_of(folded(rows[i]), folded(rows[i + 1]), folded(rows[i + 2]), folded(rows[i + 3])));
}

#endif

// A register's worth of points: their bones and weights.  kCount is how many there are; 0 for fewer than a register holds,
// with the number in `partial`.  Known in advance it saves a comparison with every number that is loaded.
template <int kCount>
struct SkinBlock {
  int partial;
  R4D_HD int count() const { return kCount ? kCount : partial; }
  R4D_HD int64_t point(int64_t first, int lane) const { return first + (lane < count() ? lane : count() - 1); }
  int32_t bones[kLanes][kSlots];
  alignas(64) Scalar weights[kLanes][kSlots];
  alignas(64) Scalar squares[kLanes][kSlots][4];  // squared distances to the bones along each axis
  int32_t strongest[kLanes];                      // the bone of the largest weight
  bool known;                                     // every slot names a bone
};

template <int kCount>
R4D_HD void load_bones(const SkinInputs<Scalar>& in, int64_t i, SkinBlock<kCount>& b) {
  b.known = true;
  for (int l = 0; l < kLanes; ++l) {
    const int64_t point = b.point(i, l);
    const Four center = {in.centers[3 * point], in.centers[3 * point + 1], in.centers[3 * point + 2], 0};
    for (int k = 0; k < kSlots; ++k) {
      int64_t bone = in.slots[kSlots * point + k];
      if (static_cast<uint64_t>(bone) >= static_cast<uint64_t>(in.bones)) b.known = false, bone = 0;
      b.bones[l][k] = static_cast<int32_t>(bone);
      const Four away = center - load_four(in.places + 8 * bone);
      store_four(b.squares[l][k], away * away);
    }
  }
}

// The first of the largest weights decides the hemisphere.
template <int kCount>
R4D_HD void find_strongest(SkinBlock<kCount>& b) {
  for (int l = 0; l < kLanes; ++l) {
    const Scalar* w = b.weights[l];
    int best = w[1] > w[0] ? 1 : 0;
    best = w[2] > w[best] ? 2 : best;
    best = w[3] > w[best] ? 3 : best;
    b.strongest[l] = b.bones[l][best];
  }
}

// Softmax over the slots of correction - squared Mahalanobis distance; slots that only repeat a bone weigh nothing.
template <int kCount>
R4D_HD void weigh(const SkinInputs<Scalar>& in, int64_t i, SkinBlock<kCount>& b) {
  for (int l = 0; l < kLanes; ++l) {
    const int64_t point = b.point(i, l);
    Four terms[kSlots];
    for (int k = 0; k < kSlots; ++k)
      terms[k] = load_four(b.squares[l][k]) * load_four(in.places + 8 * static_cast<int64_t>(b.bones[l][k]) + 4);
    store_four(b.weights[l], load_four(in.correction + kSlots * point) - sums_of(terms[0], terms[1], terms[2], terms[3]));
  }
  const int used = in.bones < kSlots ? static_cast<int>(in.bones) : kSlots;
  Lanes w[kSlots];
  for (int k = 0; k < used; ++k) w[k] = gather(&b.weights[0][k], kSlots, kLanes);
  Lanes most = w[0];
  for (int k = 1; k < used; ++k) most = maximum(most, w[k]);
  Lanes sum(0);
  for (int k = 0; k < used; ++k) {
    w[k] = exponential2((w[k] - most) * Lanes(1.4426950408889634));
    sum = sum + w[k];
  }
  const Lanes share = Lanes(1) / sum;
  for (int k = 0; k < kSlots; ++k) scatter(&b.weights[0][k], kSlots, kLanes, false, k < used ? w[k] * share : Lanes(0));
  find_strongest(b);
}

// Factors for a row of the table whose quaternion lies on the other hemisphere, and for any other.
struct Flips {
  Row rows[2];
  R4D_HD explicit Flips(bool dual) {
    for (int c = 0; c < kBoneRow; ++c) {
      rows[0][c] = 1;
      rows[1][c] = dual || c >= 12 ? -1 : 1;
    }
  }
};

// weight * flip for each slot of point l at time t.
template <int kCount>
R4D_HD void signed_weights(const SkinInputs<Scalar>& in, const SkinBlock<kCount>& b, const Flips& flips, int64_t t, int l,
                           Row* factors) {
  const uint8_t* opposite = in.opposite + (t * in.bones + b.strongest[l]) * in.bones;
  for (int k = 0; k < kSlots; ++k) factors[k] = flips.rows[opposite[b.bones[l][k]]] * b.weights[l][k];
}

R4D_HD const Scalar* bone_row(const SkinInputs<Scalar>& in, int64_t t, int32_t bone) {
  return in.table + (t * in.bones + bone) * kBoneRow;
}

// The blended rows of a block, number by number.
template <int kCount>
R4D_HD void blend(const SkinInputs<Scalar>& in, const SkinBlock<kCount>& b, const Flips& flips, int64_t t, Lanes* row) {
  alignas(64) Scalar rows[kLanes][kBoneRow];
  for (int l = 0; l < kLanes; ++l) {
    Row factors[kSlots];
    signed_weights(in, b, flips, t, l, factors);
    Row r = factors[0] * load_row(bone_row(in, t, b.bones[l][0]));
    for (int k = 1; k < kSlots; ++k) r += factors[k] * load_row(bone_row(in, t, b.bones[l][k]));
    store_row(rows[l], r);
  }
  numbers_of(rows, row);
}

// A blended transform, from a blended row.
struct BlendedTransform {
  Quat<Lanes> turn;  // of unit length
  Lanes inverse_length;
  Mat3<Lanes> matrix;
  Quat<Lanes> dual;  // the dual part over the length; of the dual blend only
  Vec3<Lanes> shift;
};

R4D_HD BlendedTransform transform_of(const Lanes* row, bool dual) {
  BlendedTransform r;
  if (dual) {
    r.turn = normalized(Quat<Lanes>{row[0], row[1], row[2], row[3]}, r.inverse_length);
    r.dual = r.inverse_length * Quat<Lanes>{row[4], row[5], row[6], row[7]};
    r.matrix = rotation_of(r.turn);
    const Quat<Lanes> half = multiply(r.dual, conjugate(r.turn));
    r.shift = Lanes(2) * Vec3<Lanes>{half.x, half.y, half.z};
  } else {
    r.turn = normalized(Quat<Lanes>{row[12], row[13], row[14], row[15]}, r.inverse_length);
    r.matrix = {{{row[0], row[1], row[2]}, {row[3], row[4], row[5]}, {row[6], row[7], row[8]}}};
    r.shift = {row[9], row[10], row[11]};
  }
  return r;
}

inline int64_t group_end(const SkinInputs<Scalar>& in, int64_t group) {
  const int64_t end = (group + 1) * kPointsPerGroup;
  return end < in.points ? end : in.points;
}

// Whether every slot names a bone.
template <int kCount>
inline bool skin_block(const SkinInputs<Scalar>& in, const SkinOutputs<Scalar>& out, const Flips& flips, int64_t i, int left) {
  SkinBlock<kCount> b;
  b.partial = left;
  load_bones(in, i, b);
  weigh(in, i, b);
  const int count = b.count();
  std::memcpy(out.weights + kSlots * i, b.weights, sizeof(Scalar) * kSlots * static_cast<size_t>(count));
  const Vec3<Lanes> center = gather3(in.centers, i, count);
  const Quat<Lanes> rotation = gather4(in.rotations, i, count);
  for (int64_t t = 0; t < in.times; ++t) {
    Lanes row[kBoneRow];
    blend(in, b, flips, t, row);
    const BlendedTransform m = transform_of(row, in.dual);
    const int64_t at = t * in.points + i;
    scatter3(out.centers, at, count, false, apply(m.matrix, center) + m.shift);
    scatter4(out.rotations, at, count, false, multiply(m.turn, rotation));
    scatter4(out.turns, at, count, false, m.turn);
  }
  return b.known;
}

inline bool skin_group(const SkinInputs<Scalar>& in, const SkinOutputs<Scalar>& out, int64_t group) {
  const Flips flips(in.dual);
  const int64_t end = group_end(in, group);
  bool known = true;
  int64_t i = group * kPointsPerGroup;
  for (; i + kLanes <= end; i += kLanes) known &= skin_block<kLanes>(in, out, flips, i, 0);
  if (i < end) known &= skin_block<0>(in, out, flips, i, static_cast<int>(end - i));
  return known;
}

// Gradient to a blended row from those to the transform's results; also to the point itself.
R4D_HD void transform_backward(const BlendedTransform& m, bool dual, const Vec3<Lanes>& center, const Vec3<Lanes>& v_center,
                               Quat<Lanes> v_turn, Lanes* v_row) {
  const Lanes zero(0);
  Mat3<Lanes> v_matrix = {{{zero, zero, zero}, {zero, zero, zero}, {zero, zero, zero}}};
  add_outer(v_matrix, v_center, center);
  if (dual) {
    v_turn = v_turn + rotation_backward(m.turn, v_matrix);
    const Quat<Lanes> v_half = {zero, Lanes(2) * v_center.x, Lanes(2) * v_center.y, Lanes(2) * v_center.z};
    v_turn = v_turn + conjugate(multiply(conjugate(m.dual), v_half));
    const Quat<Lanes> v_dual = multiply(v_half, m.turn);
    // Both parts are divided by the length of the first.
    const Lanes along = dot(v_turn, m.turn) + dot(v_dual, m.dual);
    const Quat<Lanes> v_real = m.inverse_length * (v_turn + (-along) * m.turn), v_rest = m.inverse_length * v_dual;
    v_row[0] = v_real.w, v_row[1] = v_real.x, v_row[2] = v_real.y, v_row[3] = v_real.z;
    v_row[4] = v_rest.w, v_row[5] = v_rest.x, v_row[6] = v_rest.y, v_row[7] = v_rest.z;
    for (int c = 8; c < kBoneRow; ++c) v_row[c] = zero;
    return;
  }
  for (int r = 0; r < 3; ++r) {
    v_row[3 * r] = v_matrix.row[r].x;
    v_row[3 * r + 1] = v_matrix.row[r].y;
    v_row[3 * r + 2] = v_matrix.row[r].z;
  }
  v_row[9] = v_center.x, v_row[10] = v_center.y, v_row[11] = v_center.z;
  const Quat<Lanes> v = normalized_backward(m.turn, m.inverse_length, v_turn);
  v_row[12] = v.w, v_row[13] = v.x, v_row[14] = v.y, v_row[15] = v.z;
}

template <int kCount>
inline void skin_block_backward(const SkinInputs<Scalar>& in, const SkinGradients<Scalar>& g, const Flips& flips, int64_t i,
                                int left, Scalar* v_table, Scalar* v_radii) {
  SkinBlock<kCount> b;
  b.partial = left;
  load_bones(in, i, b);
  for (int l = 0; l < kLanes; ++l) store_four(b.weights[l], load_four(g.weights + kSlots * b.point(i, l)));
  find_strongest(b);
  const int count = b.count();
  const Vec3<Lanes> center = gather3(in.centers, i, count);
  const Quat<Lanes> rotation = gather4(in.rotations, i, count);
  const Lanes zero(0);
  Vec3<Lanes> v_center = {zero, zero, zero};
  Quat<Lanes> v_rotation = {zero, zero, zero, zero};
  alignas(64) Scalar v_weights[kLanes][kSlots] = {};
  for (int64_t t = 0; t < in.times; ++t) {
    Lanes row[kBoneRow];
    blend(in, b, flips, t, row);
    const BlendedTransform m = transform_of(row, in.dual);
    const int64_t at = t * in.points + i;
    const Vec3<Lanes> v_place = g.v_centers ? gather3(g.v_centers, at, count) : Vec3<Lanes>{zero, zero, zero};
    Quat<Lanes> v_turn = g.v_turns ? gather4(g.v_turns, at, count) : Quat<Lanes>{zero, zero, zero, zero};
    if (g.v_rotations) {
      const Quat<Lanes> v = gather4(g.v_rotations, at, count);
      v_turn = v_turn + multiply(v, conjugate(rotation));
      v_rotation = v_rotation + multiply(conjugate(m.turn), v);
    }
    v_center = v_center + apply_transposed(m.matrix, v_place);
    Lanes v_row[kBoneRow];
    transform_backward(m, in.dual, center, v_place, v_turn, v_row);
    alignas(64) Scalar v_rows[kLanes][kBoneRow];
    points_of(v_row, v_rows);
    // Four points at a time, whose 16 sums are folded together; those beyond the last repeat it and are not counted.
    for (int l = 0; l < count; l += 4) {
      Row products[4 * kSlots];
      for (int p = l; p < l + 4; ++p) {
        const Row v = load_row(v_rows[p]);
        const uint8_t* opposite = in.opposite + (t * in.bones + b.strongest[p]) * in.bones;
        for (int k = 0; k < kSlots; ++k) {
          const int32_t bone = b.bones[p][k];
          const Row turned = flips.rows[opposite[bone]] * v;
          products[(p - l) * kSlots + k] = turned * load_row(bone_row(in, t, bone));
          if (p >= count) continue;
          Scalar* const sum = v_table + (t * in.bones + bone) * kBoneRow;
          store_row(sum, load_row(sum) + turned * b.weights[p][k]);
        }
      }
      alignas(64) Scalar sums[4 * kSlots];
      sums_of_rows(products, sums);
      for (int p = 0; p < 4; ++p) store_four(v_weights[l + p], load_four(v_weights[l + p]) + load_four(sums + 4 * p));
    }
  }
  if (g.centers) scatter3(g.centers, i, count, false, v_center);
  if (g.rotations) scatter4(g.rotations, i, count, false, v_rotation);
  // Through the softmax to the logits.
  for (int l = 0; l < count; ++l) {
    const Four w = load_four(b.weights[l]), v = load_four(v_weights[l]), wv = w * v;
    const Scalar mean = (wv[0] + wv[1]) + (wv[2] + wv[3]);
    const Four v_logits = w * (v - mean);
    if (g.correction) store_four(g.correction + kSlots * (i + l), v_logits);
    for (int k = 0; k < kSlots; ++k) {
      Scalar* const sum = v_radii + 4 * static_cast<int64_t>(b.bones[l][k]);
      store_four(sum, load_four(sum) + v_logits[k] * load_four(b.squares[l][k]));
    }
  }
}

inline void skin_group_backward(const SkinInputs<Scalar>& in, const SkinGradients<Scalar>& g, int64_t group) {
  const Flips flips(in.dual);
  const int64_t end = group_end(in, group), rows = in.times * in.bones;
  Scalar* const v_table = g.tables + group * rows * kBoneRow;
  Scalar* const v_radii = g.log_radii + group * in.bones * 4;
  std::memset(v_table, 0, sizeof(Scalar) * static_cast<size_t>(rows * kBoneRow));
  std::memset(v_radii, 0, sizeof(Scalar) * static_cast<size_t>(in.bones * 4));
  int64_t i = group * kPointsPerGroup;
  for (; i + kLanes <= end; i += kLanes) skin_block_backward<kLanes>(in, g, flips, i, 0, v_table, v_radii);
  if (i < end) skin_block_backward<0>(in, g, flips, i, static_cast<int>(end - i), v_table, v_radii);
  // The logit holds -square * exp(-2 log radius).
  for (int64_t bone = 0; bone < in.bones; ++bone)
    store_four(v_radii + 4 * bone, Scalar(2) * load_four(v_radii + 4 * bone) * load_four(in.places + 8 * bone + 4));
}

}  // namespace R4D_ISA
}  // namespace recon4d
