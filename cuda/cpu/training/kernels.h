// The plain data of the training steps' kernels and their table, as frame.h for the rasterizer.
// No inline functions here: this header is seen by translation units with different instruction sets.
#pragma once
#include <cstdint>

namespace recon4d {

// Bones that a point may follow.
inline constexpr int kSlots = 4;
// Numbers per row of the table of bones: a matrix by rows, a translation and a quaternion; or a dual quaternion and zeros.
inline constexpr int kBoneRow = 16;
// Points per group of the skinning: fixed, so that sums do not depend on the number of threads.
inline constexpr int64_t kPointsPerGroup = 1024;

// Read-only, C-contiguous.
template <class T>
struct SkinInputs {
  int64_t points, times, bones;
  bool dual;                 // blend dual quaternions
  const T* centers;          // [points, 3]
  const T* rotations;        // [points, 4]
  const int64_t* slots;      // [points, 4]
  const T* correction;       // [points, 4]
  const T* places;           // [bones, 8] place at rest, 0, and 1 / radius^2 along each axis, 0
  const T* table;            // [times, bones, kBoneRow]
  const uint8_t* opposite;   // [times, bones, bones] whether two bones' quaternions lie on opposite hemispheres
};

template <class T>
struct SkinOutputs {
  T *centers, *rotations, *turns;  // [times, points, 3 or 4]
  T* weights;                      // [points, 4], kept for the backward pass
};

template <class T>
struct SkinGradients {
  const T* weights;                                     // of the forward pass
  const T *v_centers, *v_rotations, *v_turns;           // of the outputs; null where there is none
  T *centers, *rotations, *correction;                  // overwritten; null where nobody asks
  T* tables;     // [groups, times, bones, kBoneRow], overwritten
  T* log_radii;  // [groups, bones, 4], overwritten
};

// Rows of the image per task, and rows that one sweep of the blur computes at once.
inline constexpr int kStripRows = 32, kSweepRows = 4;
// Reach of the Gaussian window, and zeros kept on either side of a row of scratch; a multiple of every register's size.
inline constexpr int kBlurRadius = 5, kBlurMargin = 16;
inline constexpr int kBlurTaps = 2 * kBlurRadius + 1;
// Quantities that SSIM blurs: x, y, x^2 + y^2, x y; and the gradients by the last three that depend on x.
inline constexpr int kSsimMoments = 4, kSsimPartials = 3;

template <class T>
struct SsimInputs {
  int height, width, padded_width;  // padded to whole registers
  const T *image, *target;          // one plane of [height, width]
  const T* taps;                    // [kBlurTaps]
  const T* zeros;                   // [padded_width]
};

// Sums over one row of one plane.
struct PhotometricSums {
  double absolute, square, similarity;
};

template <class T>
struct NormalInputs {
  int height, width;       // at least 3 each
  const T* normal;         // [3, height, width]
  const T *alpha, *depth;  // [height, width]
  const T *ray_x, *ray_y;  // [width] and [height]: (pixel centre - principal point) / focal length
};

template <class T>
struct TrainingKernels {
  const char* name;
  int lanes;
  // False where a slot names no bone; then the outputs mean nothing.
  bool (*skin)(const SkinInputs<T>&, const SkinOutputs<T>&, int64_t group);
  void (*skin_backward)(const SkinInputs<T>&, const SkinGradients<T>&, int64_t group);
  // Numbers of scratch that the two steps of SSIM need per thread.
  int64_t (*ssim_scratch)(int padded_width);
  // Similarity of a strip of rows: its sums, and unless null its partials [kSsimPartials, height, padded_width].
  void (*ssim_strip)(const SsimInputs<T>&, T* partials, PhotometricSums* rows, T* scratch, int strip);
  // Gradient of a strip: l1 sign(x - y) + ssim (sum of similarity)'.
  void (*ssim_gradient_strip)(const SsimInputs<T>&, const T* partials, T l1, T ssim, T* gradient, T* scratch, int strip);
  // The same without SSIM, for one row: sums, and unless null its gradient.
  void (*absolute_row)(const T* image, const T* target, int width, T l1, T* gradient, PhotometricSums* sums);
  // Sum of the weights of the inner pixels of a row; the others are described in normals.h.
  double (*normal_weight_row)(const NormalInputs<T>&, int row);
  double (*normal_row)(const NormalInputs<T>&, int row, T scale, T* normal, T* shares);
  void (*normal_depth_row)(const NormalInputs<T>&, const T* shares, int row, T* depth);
  void (*compose_row)(const uint8_t* pixels, int width, const T* background, T* color, T* mask, int64_t plane);
};

const TrainingKernels<float>& training_avx512();
const TrainingKernels<float>& training_avx2();
const TrainingKernels<float>& training_portable();
const TrainingKernels<double>& training_double();

}  // namespace recon4d
