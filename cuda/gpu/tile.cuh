// What the forward and the backward kernel share: a block of threads walks through a tile's list of surfels.
//
// Thread plan: 128 threads, four warps, each with a subtile of 8 x 4 pixels, one pixel a thread.  Memory plan: 128 records
// and boxes at a time are staged in shared memory (12 KB in single precision).  Each lane of a warp tests one of 32 staged
// surfels against the warp's subtile; the ballot of the answers lists those that the warp visits, so a visit costs nothing
// where no pixel of the subtile can be hit.  Records are then read by all lanes at once, a broadcast.
#pragma once
#include "visit.cuh"

namespace recon4d::gpu {

template <class T>
struct Stage {
  Record<T> records[kStage];
  Box<T> boxes[kStage];
};

// Where a thread's pixel is.
template <class T>
struct PixelPlace {
  int frame, column, row, lane;
  bool inside;
  T x, y;                             // pixel centre
  T left, right, top, bottom;         // first and last pixel centres of the warp's subtile
  int64_t pixel, plane;               // index in a plane, and the size of one
};

template <class T>
__device__ inline PixelPlace<T> pixel_place(const Scene<T>& a) {
  PixelPlace<T> p;
  const int key = static_cast<int>(blockIdx.x), thread = static_cast<int>(threadIdx.x);
  const int tile = key % a.tiles(), warp = thread / 32;
  p.frame = key / a.tiles();
  p.lane = thread % 32;
  const int left = tile % a.tiles_x * kTileWidth + warp % 2 * kSubtileWidth;
  const int top = tile / a.tiles_x * kTileHeight + warp / 2 * kSubtileHeight;
  p.column = left + p.lane % kSubtileWidth;
  p.row = top + p.lane / kSubtileWidth;
  p.inside = p.column < a.width && p.row < a.height;
  p.x = T(p.column) + T(0.5);
  p.y = T(p.row) + T(0.5);
  p.left = T(left) + T(0.5);
  p.right = T(left + kSubtileWidth) - T(0.5);
  p.top = T(top) + T(0.5);
  p.bottom = T(top + kSubtileHeight) - T(0.5);
  p.plane = static_cast<int64_t>(a.width) * a.height;
  p.pixel = static_cast<int64_t>(p.row) * a.width + p.column;
  return p;
}

// Stages the tile's surfels chunk by chunk and calls visit(record) for each that may hit the warp's subtile, front to
// back, by all lanes of the warp together.  alive() says whether this thread's pixel takes any more; a warp without one
// stops visiting, a block without one stops staging.
template <class T, class Alive, class Visitor>
__device__ inline void walk_tile(const PixelPlace<T>& p, const Record<T>* records, const Box<T>* boxes, const Binning& bin,
                                 Stage<T>& stage, Alive alive, Visitor visitor) {
  const uint32_t begin = bin.tile_begin[blockIdx.x], end = bin.tile_begin[blockIdx.x + 1];
  const int thread = static_cast<int>(threadIdx.x);
  for (uint32_t first = begin; first < end; first += kStage) {
    // Also keeps the stage from being refilled while a warp still reads it.
    if (!__syncthreads_or(alive())) return;
    const int count = end - first < static_cast<uint32_t>(kStage) ? static_cast<int>(end - first) : kStage;
    if (thread < count) {
      const uint32_t slot = bin.slots_sorted[first + thread];
      stage.records[thread] = records[slot];
      stage.boxes[thread] = boxes[slot];
    }
    __syncthreads();
    for (int group = 0; group < count; group += 32) {
      if (!__any_sync(kWholeWarp, alive())) break;
      const int mine = group + p.lane;
      const bool near_by =
          mine < count && touches(stage.records[mine], stage.boxes[mine], p.left, p.right, p.top, p.bottom);
      unsigned candidates = __ballot_sync(kWholeWarp, near_by);
      while (candidates) {
        const int j = group + __ffs(static_cast<int>(candidates)) - 1;
        candidates &= candidates - 1;
        visitor(stage.records[j]);
      }
    }
  }
}

}  // namespace recon4d::gpu
