// SSIM (Wang et al. 2004) with an 11 x 11 Gaussian window of sigma 1.5, pixels outside the image counting as zeros.
//
// Thread plan: 256 threads per tile of 16 x 16 pixels.  Memory plan: the tile and a border of 5 are staged once; the window
// is applied along rows into shared memory, then along columns in registers.  Both passes go through the same code: forward
// blurs x, y, x^2, y^2 and xy, backward blurs the three partial derivatives times the incoming gradient.
#include "ssim.h"

#include "device.h"
#include "recon4d/scalar.h"

namespace recon4d::gpu {

namespace {

constexpr int kSide = 16, kRadius = 5, kTaps = 2 * kRadius + 1, kStaged = kSide + 2 * kRadius;
constexpr int kThreads = kSide * kSide;
constexpr double kC1 = 0.01 * 0.01, kC2 = 0.03 * 0.03;  // for values in [0, 1]

// exp(-i^2 / (2 1.5^2)), normalised over the eleven taps, for i = 0 .. 5.
template <class T>
__device__ inline T tap(int i) {
  const int distance = i < 0 ? -i : i;
  return distance == 0   ? T(0.26601172486179436)
         : distance == 1 ? T(0.21300553771125372)
         : distance == 2 ? T(0.10936068950970002)
         : distance == 3 ? T(0.036000772128430831)
         : distance == 4 ? T(0.0075987581352391847)
                         : T(0.0010283800844791101);
}

struct Place {
  int plane, x, y, left, top;
  bool inside;
};

__device__ inline Place place_of(int height, int width) {
  const int columns = (width + kSide - 1) / kSide, rows = (height + kSide - 1) / kSide;
  const int block = static_cast<int>(blockIdx.x), thread = static_cast<int>(threadIdx.x);
  Place p;
  p.plane = block / (columns * rows);
  p.left = block % columns * kSide;
  p.top = block / columns % rows * kSide;
  p.x = p.left + thread % kSide;
  p.y = p.top + thread / kSide;
  p.inside = p.x < width && p.y < height;
  return p;
}


// out[m] = map m blurred at this thread's pixel; value(m, x, y) is map m at a pixel of the image.
template <int kInputs, int kMaps, class T, class Load, class Combine>
__device__ inline void blur(T (&inputs)[kInputs][kStaged][kStaged], T (&rows)[kMaps][kStaged][kSide], const Place& p, int height,
                            int width, Load load, Combine combine, T* out) {
  const int thread = static_cast<int>(threadIdx.x);
  for (int i = thread; i < kStaged * kStaged; i += kThreads) {
    const int x = p.left + i % kStaged - kRadius, y = p.top + i / kStaged - kRadius;
    const bool inside = x >= 0 && x < width && y >= 0 && y < height;
#pragma unroll
    for (int k = 0; k < kInputs; ++k)
      inputs[k][i / kStaged][i % kStaged] = inside ? load(k, static_cast<int64_t>(y) * width + x) : T(0);
  }
  __syncthreads();
  for (int i = thread; i < kStaged * kSide; i += kThreads) {
    const int row = i / kSide, column = i % kSide;
    T sums[kMaps];
#pragma unroll
    for (int m = 0; m < kMaps; ++m) sums[m] = T(0);
#pragma unroll
    for (int t = 0; t < kTaps; ++t) {
      T values[kInputs], maps[kMaps];
#pragma unroll
      for (int k = 0; k < kInputs; ++k) values[k] = inputs[k][row][column + t];
      combine(values, maps);
#pragma unroll
      for (int m = 0; m < kMaps; ++m) sums[m] = fma(tap<T>(t - kRadius), maps[m], sums[m]);
    }
#pragma unroll
    for (int m = 0; m < kMaps; ++m) rows[m][row][column] = sums[m];
  }
  __syncthreads();
#pragma unroll
  for (int m = 0; m < kMaps; ++m) out[m] = T(0);
#pragma unroll
  for (int t = 0; t < kTaps; ++t)
#pragma unroll
    for (int m = 0; m < kMaps; ++m)
      out[m] = fma(tap<T>(t - kRadius), rows[m][thread / kSide + t][thread % kSide], out[m]);
}

template <class T>
struct ForwardShared {
  T inputs[2][kStaged][kStaged], rows[5][kStaged][kSide];
};

template <class T>
__global__ void __launch_bounds__(kThreads) ssim_forward_kernel(int planes, int height, int width, const T* image,
                                                                const T* target, T* similarity, T* partials) {
  R4D_SHARED(ForwardShared<T>, shared);
  const Place p = place_of(height, width);
  const int64_t size = static_cast<int64_t>(height) * width, base = p.plane * size;
  T b[5];
  blur(
      shared.inputs, shared.rows, p, height, width,
      [&](int k, int64_t at) { return (k == 0 ? image : target)[base + at]; },
      [](const T* v, T* m) {
        m[0] = v[0];
        m[1] = v[1];
        m[2] = v[0] * v[0];
        m[3] = v[1] * v[1];
        m[4] = v[0] * v[1];
      },
      b);
  if (!p.inside) return;
  const T mx = b[0], my = b[1], xx = b[2], yy = b[3], xy = b[4];
  const T c1(kC1), c2(kC2);
  // similarity = (A1 A2) / (B1 B2)
  const T a1 = T(2) * mx * my + c1, a2 = T(2) * (xy - mx * my) + c2;
  const T b1 = mx * mx + my * my + c1, b2 = (xx - mx * mx) + (yy - my * my) + c2;
  const T inverse = T(1) / (b1 * b2), s = a1 * a2 * inverse;
  const int64_t at = base + static_cast<int64_t>(p.y) * width + p.x;
  similarity[at] = s;
  if (!partials) return;
  const int64_t all = planes * size;
  partials[at] = T(2) * inverse * my * (a2 - a1) + T(2) * s * mx * (T(1) / b2 - T(1) / b1);  // by the mean of x
  partials[all + at] = -s / b2;                                                             // by the mean of x^2
  partials[2 * all + at] = T(2) * a1 * inverse;                                             // by the mean of x y
}

template <class T>
struct BackwardShared {
  T inputs[3][kStaged][kStaged], rows[3][kStaged][kSide];
};

template <class T>
__global__ void __launch_bounds__(kThreads) ssim_backward_kernel(int planes, int height, int width, const T* image,
                                                                 const T* target, const T* partials, const T* v_similarity,
                                                                 T* v_image) {
  R4D_SHARED(BackwardShared<T>, shared);
  const Place p = place_of(height, width);
  const int64_t size = static_cast<int64_t>(height) * width, base = p.plane * size, all = planes * size;
  T b[3];
  blur(
      shared.inputs, shared.rows, p, height, width,
      [&](int k, int64_t at) { return partials[k * all + base + at] * v_similarity[base + at]; },
      [](const T* v, T* m) {
        m[0] = v[0];
        m[1] = v[1];
        m[2] = v[2];
      },
      b);
  if (!p.inside) return;
  const int64_t at = base + static_cast<int64_t>(p.y) * width + p.x;
  v_image[at] = b[0] + T(2) * image[at] * b[1] + target[at] * b[2];
}

unsigned blocks_for(int planes, int height, int width) {
  return static_cast<unsigned>(planes) * static_cast<unsigned>((width + kSide - 1) / kSide) *
         static_cast<unsigned>((height + kSide - 1) / kSide);
}

}  // namespace

template <class T>
void ssim_forward(int planes, int height, int width, const T* image, const T* target, T* similarity, T* partials,
                  int64_t stream) {
  const unsigned blocks = blocks_for(planes, height, width);
  if (!blocks) return;
  R4D_LAUNCH(ssim_forward_kernel<T>, blocks, kThreads, stream_of(stream), planes, height, width, image, target, similarity,
             partials);
}

template <class T>
void ssim_backward(int planes, int height, int width, const T* image, const T* target, const T* partials,
                   const T* v_similarity, T* v_image, int64_t stream) {
  const unsigned blocks = blocks_for(planes, height, width);
  if (!blocks) return;
  R4D_LAUNCH(ssim_backward_kernel<T>, blocks, kThreads, stream_of(stream), planes, height, width, image, target, partials,
             v_similarity, v_image);
}

#define R4D_INSTANTIATE(T)                                                                         \
  template void ssim_forward<T>(int, int, int, const T*, const T*, T*, T*, int64_t);               \
  template void ssim_backward<T>(int, int, int, const T*, const T*, const T*, const T*, T*, int64_t);
R4D_INSTANTIATE(float)
R4D_INSTANTIATE(double)
#undef R4D_INSTANTIATE

}  // namespace recon4d::gpu
