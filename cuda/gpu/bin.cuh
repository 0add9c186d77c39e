// Binning: from surfels ordered by depth to lists of surfels by frame and tile.
//
// The depth order comes first, over all frames at once; instances are then listed in that order and sorted by frame and
// tile with a stable sort, which keeps it.  So no key holds both, and the second sort looks at 16 to 24 bits.
#pragma once
#include "visit.cuh"

namespace recon4d::gpu {

// Tile counts in depth order, with a zero behind the last, whose exclusive sum is the number of instances.
template <class T>
__global__ void __launch_bounds__(kFlatThreads) gather_counts_kernel(Projection<T> p, int64_t slots) {
  const int64_t k = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (k > slots) return;
  p.counts_sorted[k] = k < slots ? p.tile_counts[p.slots_sorted[k]] : 0;
}

template <class T>
__global__ void total_kernel(Projection<T> p, int64_t slots) {
  p.status[1] = static_cast<int64_t>(p.offsets[slots]);
}

template <class T>
__global__ void __launch_bounds__(kFlatThreads) list_instances_kernel(Scene<T> a, Projection<T> p, Binning b) {
  const int64_t k = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (k >= a.slots()) return;
  const uint32_t slot = p.slots_sorted[k];
  // Never past what was counted, and never past the capacity: an instance too many is dropped, not written elsewhere.
  int64_t at = static_cast<int64_t>(p.offsets[k]);
  const int64_t counted = at + p.tile_counts[slot];
  const int64_t end = counted < b.capacity ? counted : b.capacity;
  if (at >= end) return;
  const Record<T> record = p.records[slot];
  const Box<T> box = p.boxes[slot];
  const uint32_t first = static_cast<uint32_t>(slot / static_cast<uint32_t>(a.count)) * static_cast<uint32_t>(a.tiles());
  const TileRange t = tiles_of(box, a.tiles_x, a.tiles_y);
  for (int y = t.y0; y < t.y1; ++y)
    for (int x = t.x0; x < t.x1 && at < end; ++x)
      if (touches_tile(record, box, x, y)) {
        b.keys[at] = first + static_cast<uint32_t>(y * a.tiles_x + x);
        b.slots[at] = slot;
        ++at;
      }
}

// tile_begin[t] = the first instance whose key is t or more.
static __global__ void __launch_bounds__(kFlatThreads) tile_begin_kernel(Binning b, int64_t tiles) {
  const int64_t tile = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (tile > tiles) return;
  int64_t low = 0, high = b.capacity;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (b.keys_sorted[middle] < static_cast<uint32_t>(tile)) low = middle + 1;
    else high = middle;
  }
  b.tile_begin[tile] = static_cast<uint32_t>(low);
}

}  // namespace recon4d::gpu
