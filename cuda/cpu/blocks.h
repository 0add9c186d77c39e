// The geometry of a tile: kTileSize x kTileSize pixels, cut into blocks of one register of pixels each.
#pragma once
#include "frame.h"
#include "lanes.h"
#include "recon4d/constants.h"

namespace recon4d {
inline namespace R4D_ISA {

constexpr int kBlockWidth = 4;
constexpr int kBlockHeight = kLanes / kBlockWidth;
constexpr int kBlocksX = kTileSize / kBlockWidth;
constexpr int kBlocksY = kTileSize / kBlockHeight;
constexpr int kBlocks = kBlocksX * kBlocksY;
static_assert(kBlocks <= 32, "the blocks of a tile are the bits of a uint32_t");
constexpr uint32_t kAllBlocks = kBlocks == 32 ? 0xffffffffu : (1u << (kBlocks % 32)) - 1;

constexpr Scalar kLowPass = Scalar(kHalfLog2E * kLowPassInverseVariance);  // rho2 in log2 units per square pixel

// Pixel centres of the first block of a tile, relative to the tile's corner.
struct PixelGrid {
  Lanes x, y;
  PixelGrid() {
    alignas(64) Scalar tx[kLanes], ty[kLanes];
    for (int i = 0; i < kLanes; ++i) {
      tx[i] = Scalar(i % kBlockWidth) + Scalar(0.5);
      ty[i] = Scalar(i / kBlockWidth) + Scalar(0.5);
    }
    x = load(tx);
    y = load(ty);
  }
};

// A block of the image: its corner in pixels and how much of it lies inside.
struct BlockPlace {
  int x, y;
  bool whole;
};
inline BlockPlace block_place(int tile_x, int tile_y, int block, int width, int height) {
  const int x = tile_x * kTileSize + (block % kBlocksX) * kBlockWidth;
  const int y = tile_y * kTileSize + (block / kBlocksX) * kBlockHeight;
  return {x, y, x + kBlockWidth <= width && y + kBlockHeight <= height};
}

// A block of a plane [height, width]; pixels outside the image, and all of a null plane, read as 0.
inline Lanes load_block(const Scalar* plane, const BlockPlace& b, int width, int height) {
  if (!plane) return Lanes(0);
  if (b.whole) return load_rows(plane + static_cast<int64_t>(b.y) * width + b.x, width);
  alignas(64) Scalar t[kLanes];
  for (int i = 0; i < kLanes; ++i) {
    const int x = b.x + i % kBlockWidth, y = b.y + i / kBlockWidth;
    t[i] = x < width && y < height ? plane[static_cast<int64_t>(y) * width + x] : Scalar(0);
  }
  return load(t);
}

inline void store_block(Scalar* plane, const BlockPlace& b, int width, int height, Lanes a) {
  if (b.whole) return store_rows(plane + static_cast<int64_t>(b.y) * width + b.x, width, a);
  alignas(64) Scalar t[kLanes];
  store(t, a);
  for (int i = 0; i < kLanes; ++i) {
    const int x = b.x + i % kBlockWidth, y = b.y + i / kBlockWidth;
    if (x < width && y < height) plane[static_cast<int64_t>(y) * width + x] = t[i];
  }
}

// Asks for a tile's part of a plane ahead of time: a tile touches sixteen short rows of each of a dozen planes, more
// streams than the hardware's own prefetcher follows.
template <bool kForWriting>
inline void prefetch_tile(const Scalar* plane, int planes, int tile_x, int tile_y, int width, int height) {
  if (!plane) return;
  const int x = tile_x * kTileSize, y = tile_y * kTileSize;
  const int rows = height - y < kTileSize ? height - y : kTileSize;
  for (int c = 0; c < planes; ++c)
    for (int r = 0; r < rows; ++r)
      __builtin_prefetch(plane + (static_cast<int64_t>(c) * height + y + r) * width + x, kForWriting, 2);
}

// 1 where the pixel is inside the image, else 0.
inline Lanes inside_block(const BlockPlace& b, int width, int height) {
  if (b.whole) return Lanes(1);
  alignas(64) Scalar t[kLanes];
  for (int i = 0; i < kLanes; ++i)
    t[i] = b.x + i % kBlockWidth < width && b.y + i / kBlockWidth < height ? Scalar(1) : Scalar(0);
  return load(t);
}

// Where the sums of a block are kept for the backward pass.
inline Scalar* block_sums(const Frame<Scalar>& f, int tile, int block) {
  return f.pixel_sums + (static_cast<int64_t>(tile) * kBlocks + block) * kPixelSums * kLanes;
}

// How one surfel meets the pixels of a block.
struct Visit {
  Lanes dx, dy;      // pixel - projected centre
  Lanes u, v;        // a.d and b.d
  Lanes den, den_inverse;      // 1 + h.d of the ray-plane intersection
  Lanes depth_den, depth_den_inverse;  // the same, kept within kLowPassDepthRatio where only the low pass hits
  Lanes rho3, rho2;  // log2 units
};

template <SurfelKind kKind>
R4D_HD Visit visit(const Record<Scalar>& s, Lanes x, Lanes y, Scalar near_plane) {
  Visit h;
  h.dx = x - Lanes(s.cx);
  h.dy = y - Lanes(s.cy);
  h.u = fma(Lanes(s.ax), h.dx, Lanes(s.ay) * h.dy);
  h.v = fma(Lanes(s.bx), h.dx, Lanes(s.by) * h.dy);
  const Lanes den = fma(Lanes(s.hx), h.dx, fma(Lanes(s.hy), h.dy, Lanes(1)));
  // Lanes beyond the plane's horizon never hit, but what they compute must stay finite: 0 * infinity is not 0.
  h.den = maximum(den, Lanes(Scalar(1e-6)));
  h.den_inverse = reciprocal(h.den);
  h.rho3 = fma(h.u, h.u, h.v * h.v) * (h.den_inverse * h.den_inverse);
  h.rho2 = Lanes(kLowPass) * fma(h.dx, h.dx, h.dy * h.dy);
  h.depth_den = h.den;
  h.depth_den_inverse = h.den_inverse;
  if (kKind == kSpecial) {
    const Mask in_front = (Lanes(0) < den) & (den * Lanes(near_plane) < Lanes(s.mz));
    h.rho3 = select(in_front, h.rho3, Lanes(Scalar(1e30)));
    const Lanes bounded = minimum(maximum(h.den, Lanes(1 / kLowPassDepthRatio)), Lanes(kLowPassDepthRatio));
    const Mask on_disc = h.rho3 <= h.rho2;
    h.depth_den = select(on_disc, h.den, bounded);
    h.depth_den_inverse = reciprocal(h.depth_den);
  }
  return h;
}

}  // namespace R4D_ISA
}  // namespace recon4d
