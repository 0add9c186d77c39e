#include "workspace.h"

#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>

#include "radix_sort.h"
#include "recon4d/constants.h"
#include "threads.h"

namespace recon4d {

namespace {

// Surfels per task of the projection: large enough to hide the scheduling, small enough to balance.
constexpr int64_t kProjectionGrain = 512;

int tile_count(const TileRect& r) { return (r.x1 - r.x0) * (r.y1 - r.y0); }

}  // namespace

template <>
const Kernels<double>& choose_kernels<double>(const char* name) {
  if (name && std::strcmp(name, "double") != 0)
    throw std::invalid_argument(std::string("no double-precision kernels named ") + name);
  return kernels_double();
}

namespace {

// Fastest first.
std::vector<const Kernels<float>*> runnable_kernels() {
  std::vector<const Kernels<float>*> found;
#ifdef R4D_X86
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512bw"))
    found.push_back(&kernels_avx512());
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found.push_back(&kernels_avx2());
#endif
  found.push_back(&kernels_portable());
  return found;
}

}  // namespace

std::vector<std::string> kernel_names() {
  std::vector<std::string> names;
  for (const Kernels<float>* k : runnable_kernels()) names.emplace_back(k->name);
  return names;
}

template <>
const Kernels<float>& choose_kernels<float>(const char* name) {
  for (const Kernels<float>* k : runnable_kernels())
    if (!name || !std::strcmp(name, k->name)) return *k;
  throw std::invalid_argument(std::string("this processor or build has no kernels named ") + name);
}

template <class T>
int64_t Workspace<T>::forward(const SurfelArrays<T>& surfels, const CameraArgs<T>& camera, const Limits<T>& limits,
                              int width, int height, const T* background, const Planes<T>& out, T* radii, int threads) {
  const int64_t n = surfels.count;
  Frame<T>& f = frame_;
  f.surfels = surfels;
  f.camera = camera;
  f.limits = limits;
  f.width = width;
  f.height = height;
  f.tiles_x = (width + kTileSize - 1) / kTileSize;
  f.tiles_y = (height + kTileSize - 1) / kTileSize;
  f.background = background;
  f.out = out;
  f.records = records_.resize(n);
  f.rects = rects_.resize(n);
  f.radii = radii;
  f.mixed_colors = surfels.sh && surfels.features ? mixed_colors_.resize(n * surfels.channels) : nullptr;
  f.colors = f.mixed_colors ? f.mixed_colors : surfels.features;
  drawn_ = false;

  int64_t bad = 0;
  const int64_t groups = (n + kProjectionGrain - 1) / kProjectionGrain;
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1) reduction(+ : bad)
  for (int64_t g = 0; g < groups; ++g) {
    const int64_t begin = g * kProjectionGrain, end = begin + kProjectionGrain < n ? begin + kProjectionGrain : n;
    bad += kernels_->project(f, begin, end);
  }
  if (bad) return bad;

  bin(threads);

  const int tiles = f.tiles_x * f.tiles_y;
  f.hits = hits_.resize(instance_count_);
  f.pixel_sums = pixel_sums_.resize(static_cast<int64_t>(tiles) * kTileSize * kTileSize * kPixelSums);
  const int64_t scratch_size = (kernels_->scratch_bytes(surfels.channels) + 63) / 64 * 64;
  char* scratch = scratch_.resize(scratch_size * threads);
#pragma omp parallel for num_threads(threads) schedule(dynamic, 2)
  for (int t = 0; t < tiles; ++t) kernels_->forward_tile(f, scratch + scratch_size * omp_get_thread_num(), t);
  drawn_ = true;
  return 0;
}

// Lists the surfels of every tile front to back, and the instances of every surfel.
template <class T>
void Workspace<T>::bin(int threads) {
  Frame<T>& f = frame_;
  const int64_t n = f.surfels.count;
  const int tiles = f.tiles_x * f.tiles_y;

  // Surfels that touch the image, by depth.  A positive float orders like its bits.
  Key* keys = keys_.resize(n);
  uint32_t* order = order_.resize(n);
  int64_t* first = first_.resize(n + 1);
  int64_t visible = 0, total = 0;
  for (int64_t i = 0; i < n; ++i) {
    first[i] = total;
    const int count = tile_count(f.rects[i]);
    if (!count) continue;
    total += count;
    std::memcpy(&keys[visible], &f.records[i].mz, sizeof(T));
    order[visible++] = static_cast<uint32_t>(i);
  }
  first[n] = total;
  if (total > static_cast<int64_t>(std::numeric_limits<uint32_t>::max()) - 8)
    throw std::length_error("the surfels cover more than 2^32 tiles");
  instance_count_ = total;
  order = sort_pairs(keys, keys_other_.resize(n), order, order_other_.resize(n), visible, threads);

  uint32_t* instances = instances_.resize(total);
  uint32_t* slot_of = slot_of_.resize(total);
  int64_t* tile_begin = tile_begin_.resize(tiles + 1);
  int64_t* cursors = cursors_.resize(static_cast<int64_t>(threads) * tiles);
#pragma omp parallel num_threads(threads)
  {
    const int t = omp_get_thread_num(), team = omp_get_num_threads();
    const int64_t begin = visible * t / team, end = visible * (t + 1) / team;
    int64_t* mine = cursors + static_cast<int64_t>(t) * tiles;
    for (int k = 0; k < tiles; ++k) mine[k] = 0;
    for (int64_t i = begin; i < end; ++i) {
      const TileRect r = f.rects[order[i]];
      for (int y = r.y0; y < r.y1; ++y)
        for (int x = r.x0; x < r.x1; ++x) ++mine[y * f.tiles_x + x];
    }
#pragma omp barrier
#pragma omp single
    {
      int64_t sum = 0;
      for (int k = 0; k < tiles; ++k) {
        tile_begin[k] = sum;
        for (int u = 0; u < team; ++u) {
          int64_t& c = cursors[static_cast<int64_t>(u) * tiles + k];
          const int64_t size = c;
          c = sum;
          sum += size;
        }
      }
      tile_begin[tiles] = sum;
    }
    for (int64_t i = begin; i < end; ++i) {
      const uint32_t id = order[i];
      const TileRect r = f.rects[id];
      int64_t slot = first[id];
      for (int y = r.y0; y < r.y1; ++y)
        for (int x = r.x0; x < r.x1; ++x) {
          const int64_t at = mine[y * f.tiles_x + x]++;
          instances[at] = id;
          slot_of[at] = static_cast<uint32_t>(slot++);
        }
    }
  }
  f.tile_begin = tile_begin;
  f.instances = instances;
  f.slot_of = slot_of;
  f.first = first;
}

template <class T>
void Workspace<T>::backward(const SurfelArrays<T>& surfels, const T* background, const Planes<T>& out,
                            const Planes<T>& upstream, const SurfelGradients<T>& gradients, T* camera_gradient,
                            int threads) {
  Frame<T>& f = frame_;
  f.surfels = surfels;
  f.colors = f.mixed_colors ? f.mixed_colors : surfels.features;
  f.background = background;
  f.out = out;
  Backward<T> g;
  g.upstream = upstream;
  g.slot_size = kGeometrySlots + surfels.channels;
  g.slots = slots_.resize(instance_count_ * g.slot_size);
  g.surfels = gradients;
  const int64_t groups = (surfels.count + kSurfelsPerGroup - 1) / kSurfelsPerGroup;
  g.camera_partials = camera_partials_.resize(groups * kCameraGradientSize);

  const int tiles = f.tiles_x * f.tiles_y;
  const int64_t scratch_size = (kernels_->scratch_bytes(surfels.channels) + 63) / 64 * 64;
  char* scratch = scratch_.resize(scratch_size * threads);
#pragma omp parallel num_threads(threads)
  {
#pragma omp for schedule(dynamic, 2)
    for (int t = 0; t < tiles; ++t) kernels_->backward_tile(f, g, scratch + scratch_size * omp_get_thread_num(), t);
#pragma omp for schedule(dynamic, 1)
    for (int64_t i = 0; i < groups; ++i) kernels_->surfel_gradients(f, g, i);
  }
  for (int k = 0; k < kCameraGradientSize; ++k) camera_gradient[k] = 0;
  for (int64_t i = 0; i < groups; ++i)
    for (int k = 0; k < kCameraGradientSize; ++k) camera_gradient[k] += g.camera_partials[i * kCameraGradientSize + k];
}

template <class T>
int64_t Workspace<T>::bytes() const {
  return records_.bytes() + rects_.bytes() + keys_.bytes() + keys_other_.bytes() + order_.bytes() + order_other_.bytes() +
         instances_.bytes() + hits_.bytes() + slot_of_.bytes() + first_.bytes() + tile_begin_.bytes() +
         cursors_.bytes() + pixel_sums_.bytes() + slots_.bytes() + camera_partials_.bytes() + mixed_colors_.bytes() +
         scratch_.bytes();
}

template <class T>
int64_t Workspace<T>::visit_count() const {
  int64_t visits = 0;
  for (int64_t i = 0; i < instance_count_; ++i) visits += __builtin_popcount(frame_.hits[i]);
  return visits;
}

template class Workspace<float>;
template class Workspace<double>;

}  // namespace recon4d
