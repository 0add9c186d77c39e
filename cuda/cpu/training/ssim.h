// SSIM of one plane (Wang et al. 2004, 11 x 11 Gaussian of sigma 1.5, zeros outside) and its gradient, a strip of rows at a
// time.  The variances only appear as a sum, so four blurs do for the value, and three more for the gradient.
#pragma once
#include <cstring>

#include "../lanes.h"
#include "kernels.h"

namespace recon4d {
inline namespace R4D_ISA {

// Rows that one sweep reads.
constexpr int kSweepReach = kSweepRows + 2 * kBlurRadius;

// Blurs kSweepRows rows down the columns: out[r] from rows[r .. r + 10].
inline void blur_down(const Scalar* const* rows, int padded_width, const Scalar* taps, Scalar* out, int64_t out_stride) {
  const Lanes g0(taps[0]), g1(taps[1]), g2(taps[2]), g3(taps[3]), g4(taps[4]), g5(taps[5]);
  const Lanes g[kBlurTaps] = {g0, g1, g2, g3, g4, g5, g4, g3, g2, g1, g0};
  for (int x = 0; x < padded_width; x += kLanes) {
    Lanes sum[kSweepRows];
    for (int r = 0; r < kSweepRows; ++r) sum[r] = Lanes(0);
#pragma GCC unroll 16
    for (int j = 0; j < kSweepReach; ++j) {
      const Lanes v = load_unaligned(rows[j] + x);
#pragma GCC unroll 4
      for (int r = 0; r < kSweepRows; ++r)
        if (j >= r && j - r < kBlurTaps) sum[r] = fma(v, g[j - r], sum[r]);
    }
    for (int r = 0; r < kSweepRows; ++r) store_unaligned(out + r * out_stride + x, sum[r]);
  }
}

// The blur along the row at x; p has margins.
R4D_HD Lanes blur_along(const Scalar* p, const Lanes* g) {
  Lanes sum = load_unaligned(p) * g[5];
#pragma GCC unroll 5
  for (int j = 1; j <= kBlurRadius; ++j) sum = fma(load_unaligned(p - j) + load_unaligned(p + j), g[5 - j], sum);
  return sum;
}

inline int64_t ssim_scratch(int padded_width) {
  const int64_t rows = static_cast<int64_t>(kStripRows + 2 * kBlurRadius) * kSsimMoments;
  const int64_t blurred = static_cast<int64_t>(kSweepRows) * kSsimMoments * (padded_width + 2 * kBlurMargin);
  return rows * padded_width + blurred + 2 * padded_width;
}

// Copies a row of the image and fills it up with zeros.
inline void copy_row(Scalar* to, const Scalar* from, int width, int padded_width) {
  std::memcpy(to, from, sizeof(Scalar) * static_cast<size_t>(width));
  for (int x = width; x < padded_width; ++x) to[x] = 0;
}

// Zeros on both sides of the blurred rows.
inline void clear_margins(Scalar* blurred, int count, int padded_width) {
  for (int r = 0; r < count; ++r) {
    Scalar* row = blurred + static_cast<int64_t>(r) * (padded_width + 2 * kBlurMargin);
    for (int x = 0; x < kBlurMargin; ++x) row[x] = row[kBlurMargin + padded_width + x] = 0;
  }
}

inline void ssim_strip(const SsimInputs<Scalar>& in, Scalar* partials, PhotometricSums* sums, Scalar* scratch, int strip) {
  const int width = in.width, padded = in.padded_width;
  const int begin = strip * kStripRows, end = begin + kStripRows < in.height ? begin + kStripRows : in.height;
  // Moments of the strip and what is around it; rows outside of the image are the same zeros.
  const Scalar* rows[kSsimMoments][kStripRows + 2 * kBlurRadius + kSweepRows];
  const int count = end - begin + 2 * kBlurRadius;
  for (int r = 0; r < count + kSweepRows; ++r) {
    const int y = begin - kBlurRadius + r;
    if (r >= count || y < 0 || y >= in.height) {
      for (auto& moment : rows) moment[r] = in.zeros;
      continue;
    }
    Scalar* const mine = scratch + static_cast<int64_t>(r) * kSsimMoments * padded;
    for (int m = 0; m < kSsimMoments; ++m) rows[m][r] = mine + m * padded;
    copy_row(mine, in.image + static_cast<int64_t>(y) * width, width, padded);
    copy_row(mine + padded, in.target + static_cast<int64_t>(y) * width, width, padded);
    const bool own = y >= begin && y < end;
    Lanes absolute_sum(0), square_sum(0);
    for (int x = 0; x < padded; x += kLanes) {
      const Lanes a = load_unaligned(mine + x), b = load_unaligned(mine + padded + x), d = a - b;
      store_unaligned(mine + 2 * padded + x, fma(a, a, b * b));
      store_unaligned(mine + 3 * padded + x, a * b);
      absolute_sum = absolute_sum + absolute(d);
      square_sum = fma(d, d, square_sum);
    }
    if (own) sums[y].absolute = sum(absolute_sum), sums[y].square = sum(square_sum);
  }

  const int64_t stride = padded + 2 * kBlurMargin;
  Scalar* const blurred = scratch + static_cast<int64_t>(kStripRows + 2 * kBlurRadius) * kSsimMoments * padded;
  clear_margins(blurred, kSsimMoments * kSweepRows, padded);
  Lanes g[kBlurRadius + 1];
  for (int j = 0; j <= kBlurRadius; ++j) g[j] = Lanes(in.taps[j]);
  const Lanes one(1), two(2), c1(0.01 * 0.01), c2(0.03 * 0.03);
  const int64_t plane = static_cast<int64_t>(in.height) * padded;
  for (int y = begin; y < end; y += kSweepRows) {
    for (int m = 0; m < kSsimMoments; ++m)
      blur_down(rows[m] + (y - begin), padded, in.taps, blurred + m * kSweepRows * stride + kBlurMargin, stride);
    for (int r = 0; r < kSweepRows && y + r < end; ++r) {
      const Scalar* const p = blurred + r * stride + kBlurMargin;
      Lanes similarity_sum(0);
      Scalar last = 0;
      for (int x = 0; x < padded; x += kLanes) {
        const Lanes mean_x = blur_along(p + x, g), mean_y = blur_along(p + kSweepRows * stride + x, g);
        const Lanes squares = blur_along(p + 2 * kSweepRows * stride + x, g);
        const Lanes product = blur_along(p + 3 * kSweepRows * stride + x, g);
        const Lanes mean_product = mean_x * mean_y, squared_means = fma(mean_x, mean_x, mean_y * mean_y);
        const Lanes luminance_above = fma(two, mean_product, c1), luminance_below = squared_means + c1;
        const Lanes structure_above = fma(two, product - mean_product, c2), structure_below = squares - squared_means + c2;
        const Lanes inverse = one / (luminance_below * structure_below);
        const Lanes similarity = luminance_above * structure_above * inverse;
        const int inside = width - x;
        if (inside >= kLanes)
          similarity_sum = similarity_sum + similarity;
        else
          last = inside > 0 ? sum_first(similarity, inside) : Scalar(0);
        if (!partials) continue;
        // By the mean of x, by the mean of x^2 + y^2, and by the mean of x y.
        const Lanes by_luminance = similarity * structure_below * inverse;  // similarity / luminance_below
        const Lanes by_structure = similarity * luminance_below * inverse;  // similarity / structure_below
        Lanes by[kSsimPartials] = {
            two * fma(mean_y, (structure_above - luminance_above) * inverse, mean_x * (by_structure - by_luminance)),
            -by_structure, two * luminance_above * inverse};
        Scalar* const out = partials + static_cast<int64_t>(y + r) * padded + x;
        for (int k = 0; k < kSsimPartials; ++k) {
          store_unaligned(out + k * plane, by[k]);
          for (int i = inside > 0 ? inside : 0; i < kLanes; ++i) out[k * plane + i] = 0;
        }
      }
      sums[y + r].similarity = double(sum(similarity_sum)) + double(last);
    }
  }
}

inline void ssim_gradient_strip(const SsimInputs<Scalar>& in, const Scalar* partials, Scalar l1, Scalar ssim,
                                Scalar* gradient, Scalar* scratch, int strip) {
  const int width = in.width, padded = in.padded_width;
  const int begin = strip * kStripRows, end = begin + kStripRows < in.height ? begin + kStripRows : in.height;
  const int64_t stride = padded + 2 * kBlurMargin, plane = static_cast<int64_t>(in.height) * padded;
  Scalar* const blurred = scratch;
  clear_margins(blurred, kSsimPartials * kSweepRows, padded);
  Scalar* const x_row = scratch + kSsimPartials * kSweepRows * stride;
  Scalar* const y_row = x_row + padded;
  Lanes g[kBlurRadius + 1];
  for (int j = 0; j <= kBlurRadius; ++j) g[j] = Lanes(in.taps[j]);
  const Lanes zero(0), step(l1), factor(ssim);
  for (int y = begin; y < end; y += kSweepRows) {
    for (int k = 0; k < kSsimPartials; ++k) {
      const Scalar* rows[kSweepReach];
      for (int j = 0; j < kSweepReach; ++j) {
        const int from = y - kBlurRadius + j;
        rows[j] = from < 0 || from >= in.height ? in.zeros : partials + k * plane + static_cast<int64_t>(from) * padded;
      }
      blur_down(rows, padded, in.taps, blurred + k * kSweepRows * stride + kBlurMargin, stride);
    }
    for (int r = 0; r < kSweepRows && y + r < end; ++r) {
      copy_row(x_row, in.image + static_cast<int64_t>(y + r) * width, width, padded);
      copy_row(y_row, in.target + static_cast<int64_t>(y + r) * width, width, padded);
      Scalar* const out = gradient + static_cast<int64_t>(y + r) * width;
      const Scalar* const p = blurred + r * stride + kBlurMargin;
      for (int x = 0; x < width; x += kLanes) {
        const Lanes a = load_unaligned(x_row + x), b = load_unaligned(y_row + x);
        const Lanes by_mean = blur_along(p + x, g), by_squares = blur_along(p + kSweepRows * stride + x, g);
        const Lanes by_product = blur_along(p + 2 * kSweepRows * stride + x, g);
        const Lanes of_ssim = fma(Lanes(2) * a, by_squares, fma(b, by_product, by_mean));
        const Lanes of_l1 = keep(b < a, step) - keep(a < b, step);
        const Lanes all = fma(factor, of_ssim, of_l1);
        if (width - x >= kLanes) {
          store_unaligned(out + x, all);
        } else {
          scatter(out + x, 1, width - x, false, all);
        }
      }
    }
  }
}

inline void absolute_row(const Scalar* image, const Scalar* target, int width, Scalar l1, Scalar* gradient,
                         PhotometricSums* sums) {
  const Lanes step(l1), zero(0);
  Lanes absolutes(0), squares(0);
  auto add = [&](Lanes a, Lanes b) {
    const Lanes d = a - b;
    absolutes = absolutes + absolute(d);
    squares = fma(d, d, squares);
    return keep(zero < d, step) - keep(d < zero, step);
  };
  int x = 0;
  for (; x + kLanes <= width; x += kLanes) {
    const Lanes sign = add(load_unaligned(image + x), load_unaligned(target + x));
    if (gradient) store_unaligned(gradient + x, sign);
  }
  if (x < width) {
    alignas(64) Scalar a[kLanes] = {}, b[kLanes] = {};
    std::memcpy(a, image + x, sizeof(Scalar) * static_cast<size_t>(width - x));
    std::memcpy(b, target + x, sizeof(Scalar) * static_cast<size_t>(width - x));
    const Lanes sign = add(load(a), load(b));
    if (gradient) scatter(gradient + x, 1, width - x, false, sign);
  }
  *sums = {double(sum(absolutes)), double(sum(squares)), 0};
}

}  // namespace R4D_ISA
}  // namespace recon4d
