// Host side of the rasterizer: lays out the caller's memory, launches the kernels in order.
#include "api.h"
#include "backward.cuh"
#include "bin.cuh"
#include "forward.cuh"
#include "gradients.cuh"
#include "project.cuh"
#include "sort.h"

namespace recon4d::gpu {

namespace {

// Cuts arrays out of one piece of memory; with a null base it only adds up their sizes.
class Arena {
 public:
  explicit Arena(const void* base) : base_(static_cast<char*>(const_cast<void*>(base))) {}
  template <class U>
  U* take(int64_t count) {
    char* at = base_ ? base_ + used_ : nullptr;
    used_ += (count * static_cast<int64_t>(sizeof(U)) + 255) / 256 * 256;
    return reinterpret_cast<U*>(at);
  }
  int64_t used() const { return used_; }

 private:
  char* base_;
  int64_t used_ = 0;
};

struct Temp {
  void* data;
  size_t bytes;
};

// Blocks for `count` threads.
unsigned blocks_for(int64_t count) { return static_cast<unsigned>((count + kFlatThreads - 1) / kFlatThreads); }

int bits_for(int64_t largest) {
  int bits = 1;
  while (bits < 32 && (int64_t{1} << bits) <= largest) ++bits;
  return bits;
}

template <class T>
void lay_out_kept(Arena& arena, int64_t slots, Projection<T>& p) {
  p.records = arena.take<Record<T>>(slots);
  p.boxes = arena.take<Box<T>>(slots);
}

template <class T>
Temp lay_out_scratch(Arena& arena, int64_t slots, Projection<T>& p) {
  using Key = typename DepthKey<T>::Type;
  p.keys = arena.take<Key>(slots);
  p.keys_sorted = arena.take<Key>(slots);
  p.slots = arena.take<uint32_t>(slots);
  p.slots_sorted = arena.take<uint32_t>(slots);
  p.tile_counts = arena.take<uint32_t>(slots);
  p.counts_sorted = arena.take<uint64_t>(slots + 1);
  p.offsets = arena.take<uint64_t>(slots + 1);
  size_t sort = 0, sum = 0;
  sort_pairs<Key>(nullptr, sort, p.keys, p.keys_sorted, p.slots, p.slots_sorted, slots, 8 * sizeof(Key), Stream{});
  exclusive_sum(nullptr, sum, p.counts_sorted, p.offsets, slots + 1, Stream{});
  const size_t bytes = sort > sum ? sort : sum;
  return {arena.take<char>(static_cast<int64_t>(bytes)), bytes};
}

void lay_out_kept(Arena& arena, int64_t capacity, int64_t tiles, Binning& b) {
  b.capacity = capacity;
  b.slots_sorted = arena.take<uint32_t>(capacity);
  b.tile_begin = arena.take<uint32_t>(tiles + 1);
}

Temp lay_out_scratch(Arena& arena, int64_t capacity, int64_t tiles, Binning& b) {
  b.keys = arena.take<uint32_t>(capacity);
  b.keys_sorted = arena.take<uint32_t>(capacity);
  b.slots = arena.take<uint32_t>(capacity);
  size_t bytes = 0;
  sort_pairs<uint32_t>(nullptr, bytes, b.keys, b.keys_sorted, b.slots, b.slots_sorted, capacity, bits_for(tiles), Stream{});
  return {arena.take<char>(static_cast<int64_t>(bytes)), bytes};
}

template <class T>
int64_t tiles_of_all(const Scene<T>& scene) {
  return static_cast<int64_t>(scene.frames) * scene.tiles();
}

}  // namespace

template <class T>
int64_t projection_bytes(int64_t slots) {
  Arena arena(nullptr);
  Projection<T> p{};
  lay_out_kept(arena, slots, p);
  return arena.used();
}

template <class T>
int64_t projection_scratch_bytes(int64_t slots) {
  Arena arena(nullptr);
  Projection<T> p{};
  lay_out_scratch(arena, slots, p);
  return arena.used();
}

int64_t binning_bytes(int64_t capacity, int64_t tiles) {
  Arena arena(nullptr);
  Binning b{};
  lay_out_kept(arena, capacity, tiles, b);
  return arena.used();
}

int64_t binning_scratch_bytes(int64_t capacity, int64_t tiles) {
  Arena arena(nullptr);
  Binning b{};
  lay_out_scratch(arena, capacity, tiles, b);
  return arena.used();
}

template <class T>
void project(const Scene<T>& scene, void* kept, void* scratch, T* radii, int64_t* status, int64_t stream_handle) {
  const Stream stream = stream_of(stream_handle);
  const int64_t slots = scene.slots();
  fill_bytes(status, 0, 2 * sizeof(int64_t), stream);
  if (!slots) return;
  Arena kept_arena(kept), arena(scratch);
  Projection<T> p{};
  lay_out_kept(kept_arena, slots, p);
  const Temp temp = lay_out_scratch(arena, slots, p);
  p.radii = radii;
  p.status = status;
  R4D_LAUNCH(project_kernel<T>, blocks_for(slots), kFlatThreads, stream, scene, p);
  size_t bytes = temp.bytes;
  sort_pairs(temp.data, bytes, p.keys, p.keys_sorted, p.slots, p.slots_sorted, slots,
             8 * static_cast<int>(sizeof(typename DepthKey<T>::Type)), stream);
  R4D_LAUNCH(gather_counts_kernel<T>, blocks_for(slots + 1), kFlatThreads, stream, p, slots);
  bytes = temp.bytes;
  exclusive_sum(temp.data, bytes, p.counts_sorted, p.offsets, slots + 1, stream);
  R4D_LAUNCH(total_kernel<T>, 1, 1, stream, p, slots);
}

template <class T>
void draw(const Scene<T>& scene, const void* kept, void* scratch, int64_t capacity, void* binned, void* bin_scratch,
          const Planes<T>& out, T* pixel_sums, int64_t stream_handle) {
  const Stream stream = stream_of(stream_handle);
  const int64_t slots = scene.slots(), tiles = tiles_of_all(scene);
  Arena kept_arena(kept), arena(scratch), bin_arena(binned), bin_scratch_arena(bin_scratch);
  Projection<T> p{};
  lay_out_kept(kept_arena, slots, p);
  Binning b{};
  lay_out_kept(bin_arena, capacity, tiles, b);
  if (slots && capacity) {
    lay_out_scratch(arena, slots, p);
    const Temp temp = lay_out_scratch(bin_scratch_arena, capacity, tiles, b);
    // Keys that nobody writes stay behind the last tile.
    fill_bytes(b.keys, 0xff, static_cast<size_t>(capacity) * sizeof(uint32_t), stream);
    R4D_LAUNCH(list_instances_kernel<T>, blocks_for(slots), kFlatThreads, stream, scene, p, b);
    size_t bytes = temp.bytes;
    sort_pairs(temp.data, bytes, b.keys, b.keys_sorted, b.slots, b.slots_sorted, capacity, bits_for(tiles), stream);
    R4D_LAUNCH(tile_begin_kernel, blocks_for(tiles + 1), kFlatThreads, stream, b, tiles);
  } else {
    fill_bytes(b.tile_begin, 0, static_cast<size_t>(tiles + 1) * sizeof(uint32_t), stream);
  }
  const unsigned blocks = static_cast<unsigned>(tiles);
  if (scene.channels == 3)
    R4D_LAUNCH((forward_kernel<T, 3>), blocks, kTileThreads, stream, scene, p.records, p.boxes, b, out, pixel_sums);
  else
    R4D_LAUNCH((forward_kernel<T, kMostChannels>), blocks, kTileThreads, stream, scene, p.records, p.boxes, b, out, pixel_sums);
}

template <class T>
void backward(const Scene<T>& scene, const void* kept, const T* radii, int64_t capacity, const void* binned,
              const Planes<T>& out, const T* pixel_sums, const Planes<T>& upstream, T* sums,
              const SurfelGradients<T>& gradients, int64_t stream_handle) {
  const Stream stream = stream_of(stream_handle);
  const int64_t slots = scene.slots(), tiles = tiles_of_all(scene);
  if (!slots) return;
  Arena kept_arena(kept), bin_arena(binned);
  Projection<T> p{};
  lay_out_kept(kept_arena, slots, p);
  Binning b{};
  lay_out_kept(bin_arena, capacity, tiles, b);
  const unsigned blocks = static_cast<unsigned>(tiles);
  if (scene.channels == 3)
    R4D_LAUNCH((backward_kernel<T, 3>), blocks, kTileThreads, stream, scene, p.records, p.boxes, b, out, pixel_sums, upstream,
               sums);
  else
    R4D_LAUNCH((backward_kernel<T, kMostChannels>), blocks, kTileThreads, stream, scene, p.records, p.boxes, b, out, pixel_sums,
               upstream, sums);
  R4D_LAUNCH(gradients_kernel<T>, blocks_for(scene.count), kFlatThreads, stream, scene, radii, sums, gradients);
}

#define R4D_INSTANTIATE(T)                                                                                                  \
  template int64_t projection_bytes<T>(int64_t);                                                                            \
  template int64_t projection_scratch_bytes<T>(int64_t);                                                                    \
  template void project<T>(const Scene<T>&, void*, void*, T*, int64_t*, int64_t);                                           \
  template void draw<T>(const Scene<T>&, const void*, void*, int64_t, void*, void*, const Planes<T>&, T*, int64_t);         \
  template void backward<T>(const Scene<T>&, const void*, const T*, int64_t, const void*, const Planes<T>&, const T*,       \
                            const Planes<T>&, T*, const SurfelGradients<T>&, int64_t);
R4D_INSTANTIATE(float)
R4D_INSTANTIATE(double)
#undef R4D_INSTANTIATE

}  // namespace recon4d::gpu
