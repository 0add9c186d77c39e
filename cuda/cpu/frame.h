// The plain data that the host and the kernels of every instruction set share: one frame of one camera.
// No inline functions here: this header is seen by translation units with different instruction sets.
#pragma once
#include <cstdint>

namespace recon4d {

template <class T>
struct Limits {
  T near_plane, alpha_min, alpha_max, min_transmittance;
};

template <class T>
struct CameraArgs {
  T rotation[9];  // of cam_from_world, by rows
  T translation[3];
  T fx, fy, cx, cy;
};

// Read-only arrays of N surfels, C-contiguous.  At least one of sh and features is set; the colour of sh comes first.
template <class T>
struct SurfelArrays {
  int64_t count;
  const T* centers;     // [N, 3]
  const T* rotations;   // [N, 4] wxyz
  const T* scales;      // [N, 2]
  const T* opacities;   // [N]
  const T* sh;          // [N, sh_count, 3] or null
  const T* features;    // [N, feature_count] or null
  const T* canonical;   // [N, 4] world_from_canonical_wxyz or null
  const T* offsets;     // [N, 2] screen offsets in pixels or null
  int sh_count;
  int feature_count;
  int channels;         // of the image: feature_count, and 3 more with sh
};

// Where the gradients of those arrays go; null where nobody asks.
template <class T>
struct SurfelGradients {
  T *centers, *rotations, *scales, *opacities, *sh, *features, *canonical, *offsets;
  bool accumulate;  // add to what is there instead of overwriting it
};

// How a visit can be shortened, or must not be.
enum SurfelKind : int32_t {
  kGeneral = 0,
  kDiscOnly = 1,  // so large on screen that the low pass never decides
  kSpecial = 2,   // crosses the near plane, or so steep that the depth under the low-pass circle must be bounded
};

// What a pixel reads of a surfel.  a, b and h as in recon4d/projection.h.
template <class T>
struct alignas(sizeof(T) * 8) Record {  // 96 bytes in single precision
  T cx, cy, ax, ay, bx, by, hx, hy;
  T log2_opacity, cut;   // rho in log2 units is a hit up to cut = log2(opacity / alpha_min)
  T mz, mz_inverse;
  T nx, ny, nz, red, green, blue;
  T x0, x1, y0, y1;      // footprint
  int32_t id;
  SurfelKind kind;
};
static_assert(sizeof(Record<float>) == 96, "one and a half cache lines, no padding");

// Half-open range of tiles.
struct TileRect {
  uint16_t x0, x1, y0, y1;
};

// Planes of H x W numbers, channel by channel; null where there is no such output or nobody asks for its gradient.
template <class T>
struct Planes {
  T *color, *alpha, *depth, *median, *normal, *distortion;
};

template <class T>
struct Frame {
  SurfelArrays<T> surfels;
  CameraArgs<T> camera;
  Limits<T> limits;
  int width, height, tiles_x, tiles_y;
  const T* background;  // [channels] or null for black

  // Projection.
  Record<T>* records;     // [N]
  TileRect* rects;        // [N], empty where not drawn
  T* mixed_colors;        // [N, channels] where there are both sh and features, else null
  T* radii;               // [N]
  const T* colors;        // [N, channels]: mixed_colors or features; not read where a record holds all three channels

  // Binning: the surfels of tile t, front to back, are instances[tile_begin[t] .. tile_begin[t + 1]).
  const int64_t* tile_begin;
  const uint32_t* instances;
  // The same pairs by surfel: slot_of[i] is the place of instance i in the list of all surfels' instances, in which those
  // of surfel n are [first[n] .. first[n + 1]).
  const uint32_t* slot_of;
  const int64_t* first;
  uint32_t* hits;            // [instances] the blocks of the tile in which the surfel was blended

  // Sums per pixel that the backward pass needs: per tile, per block, M1, M2 and the shift of s.
  T* pixel_sums;

  Planes<T> out;
};

template <class T>
struct Backward {
  Planes<T> upstream;        // gradients of the outputs
  T* slots;                  // [instances by surfel, slot_size] gradients of one surfel in one tile
  int slot_size;
  SurfelGradients<T> surfels;
  T* camera_partials;        // [groups, kCameraGradientSize]
};

// rotation 9, translation 3, fx, fy, cx, cy
inline constexpr int kCameraGradientSize = 16;
// Gradients per slot before the colour channels; SurfelSums in backward.h lists them.
inline constexpr int kGeometrySlots = 16;
// Sums per pixel kept for the backward pass.
inline constexpr int kPixelSums = 3;
// Surfels per group of the gradient pass: fixed, so that sums do not depend on the number of threads.
inline constexpr int64_t kSurfelsPerGroup = 1024;

template <class T>
struct Kernels {
  const char* name;
  int lanes;
  int64_t (*scratch_bytes)(int channels);
  // Returns the number of surfels with values that cannot be drawn.
  int64_t (*project)(const Frame<T>&, int64_t begin, int64_t end);
  void (*forward_tile)(const Frame<T>&, void* scratch, int tile);
  void (*backward_tile)(const Frame<T>&, const Backward<T>&, void* scratch, int tile);
  void (*surfel_gradients)(const Frame<T>&, const Backward<T>&, int64_t group);
};

const Kernels<float>& kernels_avx512();
const Kernels<float>& kernels_avx2();
const Kernels<float>& kernels_portable();
const Kernels<double>& kernels_double();

}  // namespace recon4d
