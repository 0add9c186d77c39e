// The plain data that the host and the kernels share: a batch of frames of one set of surfels.
#pragma once
#include <cstdint>

#include "recon4d/footprint.h"
#include "recon4d/projection.h"

namespace recon4d::gpu {

// Tiles of 16 x 8 pixels: four warps, each with a subtile of 8 x 4.
constexpr int kTileWidth = 16, kTileHeight = 8;
constexpr int kSubtileWidth = 8, kSubtileHeight = 4;
constexpr int kTileThreads = kTileWidth * kTileHeight;
// Surfels that a tile holds in shared memory at a time: one a thread.
constexpr int kStage = kTileThreads;
// Threads a block of the kernels that run over surfels or instances.
constexpr int kFlatThreads = 128;
// Most channels of one pass; three have kernels of their own.
constexpr int kMostChannels = 16;

// An array that is shared by all frames (stride 0) or has a part for each.
template <class T>
struct PerFrame {
  T* data;
  int64_t stride;
  R4D_HD T* of(int frame) const { return data + frame * stride; }
  R4D_HD explicit operator bool() const { return data != nullptr; }
};

template <class T>
struct Limits {
  T near_plane, alpha_min, alpha_max, min_transmittance;
};

// Read-only; exactly one of sh and features is set.
template <class T>
struct Scene {
  int frames, count, width, height, tiles_x, tiles_y;
  Limits<T> limits;
  PerFrame<const T> centers;    // [N, 3]
  PerFrame<const T> rotations;  // [N, 4] wxyz
  PerFrame<const T> scales;     // [N, 2]
  PerFrame<const T> opacities;  // [N]
  PerFrame<const T> sh;         // [N, sh_count, 3] or null
  PerFrame<const T> features;   // [N, channels] or null
  PerFrame<const T> canonical;  // [N, 4] world_from_canonical_wxyz or null
  PerFrame<const T> offsets;    // [N, 2] screen offsets in pixels or null
  int sh_count, channels;
  const T* background;          // [channels] or null for black
  const T* K;                   // [B, 3, 3]
  const T* cam_from_world;      // [B, 4, 4]

  R4D_HD int tiles() const { return tiles_x * tiles_y; }
  // Surfels of all frames; slot = frame * count + surfel.
  R4D_HD int64_t slots() const { return static_cast<int64_t>(frames) * count; }
};

// Bits of Record::flags.
constexpr int32_t kSpecial = 1;  // crosses the near plane, or so steep that the depth under the low-pass circle is bounded
constexpr int32_t kConic = 2;    // the outline is a well-conditioned ellipse: touches() may use it

// What a pixel reads of a surfel; a, b and h as in recon4d/projection.h.  80 bytes in single precision, five loads of 16:
// the first three tell whether the pixel is hit.
template <class T>
struct alignas(16) Record {
  T cx, cy, ax, ay, bx, by, hx, hy;
  T log2_opacity, cut;  // rho in log2 units is a hit up to cut = log2(opacity / alpha_min)
  int32_t flags;
  uint32_t slot;
  T mz, mz_inverse;
  T nx, ny, nz, red, green, blue;
};
static_assert(sizeof(Record<float>) == 80, "five 16-byte loads");

// Bits of a positive float order like the float.
template <class T>
struct DepthKey;
template <>
struct DepthKey<float> {
  using Type = uint32_t;
};
template <>
struct DepthKey<double> {
  using Type = uint64_t;
};

template <class T>
struct Projection {
  Record<T>* records;  // [slots]
  Box<T>* boxes;       // [slots]
  T* radii;            // [slots], 0 where not drawn
  // What follows is needed until the instances are listed.
  typename DepthKey<T>::Type *keys, *keys_sorted;  // [slots]
  uint32_t *slots, *slots_sorted;                  // [slots]
  uint32_t* tile_counts;                           // [slots]
  uint64_t *counts_sorted, *offsets;               // [slots + 1]
  int64_t* status;                                 // [2]: surfels that cannot be drawn, instances
};

// Instances are (surfel, tile) pairs, sorted by frame and tile and within a tile front to back.
struct Binning {
  int64_t capacity;
  uint32_t *keys, *keys_sorted;    // [capacity] frame * tiles + tile; all ones where unused
  uint32_t *slots, *slots_sorted;  // [capacity]
  uint32_t* tile_begin;            // [frames * tiles + 1]
};

// Planes [B, channels, H, W]; null where there is no such output or nobody asks for its gradient.
template <class T>
struct Planes {
  T *color, *alpha, *depth, *median, *normal, *distortion;
};

// Gradients of a surfel's record, summed over pixels: moments as in SurfelSums below, then the channels.
constexpr int kGeometrySums = 16;
R4D_HD int gradient_stride(int channels) { return kGeometrySums + (channels == 3 ? 4 : kMostChannels); }

// rotation 9, translation 3, fx, fy, cx, cy
constexpr int kCameraGradientSize = 16;

// Where gradients are added; null where nobody asks.
template <class T>
struct SurfelGradients {
  PerFrame<T> centers, rotations, scales, opacities, sh, features, canonical, offsets;
  T* cameras;  // [B, kCameraGradientSize]
};

// Per-pixel sums kept for the backward pass, as planes [B, 3, H, W]: M1, M2 and the shift of s.
constexpr int kPixelSums = 3;

}  // namespace recon4d::gpu
