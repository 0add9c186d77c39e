// Forward pass over one tile.
//
// Work plan: the tile's surfels are taken in chunks that fit the L2 cache; each chunk is dealt out to the blocks that its
// footprints touch; each block then runs through its own list with all state in registers.  Within a block the list is
// worked off in short runs of two phases: first the Gaussian of every candidate, keeping only those that hit at least one
// pixel (a third of the candidates do not), then the blending of what is left.  Neither phase has a branch per pixel.
//
// It leaves one bit per (surfel, block) that was blended, so the backward pass visits exactly those.
#pragma once
#include "blocks.h"

namespace recon4d {
inline namespace R4D_ISA {

constexpr int kChunk = 512;
constexpr int kRun = 64;

struct BlockState {
  Lanes transmittance, red, green, blue, nx, ny, nz, depth, m1, m2, median, shift;
};

struct ForwardScratch {
  BlockState state[kBlocks];
  Lanes rho[kRun], den[kRun];
  const Record<Scalar>* records[kChunk];
  uint32_t hits[kChunk];
  uint32_t marks[kChunk + 16];  // the blocks that each footprint touches
  uint16_t list[kBlocks][kChunk + 16];
  int list_size[kBlocks];
  uint16_t run[kRun + 1];
};

// One bit for each block whose pixel centres the box meets; the box is relative to the tile's corner.
R4D_HD uint32_t blocks_of_box(Scalar x0, Scalar x1, Scalar y0, Scalar y1) {
  // Block i holds the centres size * i + 0.5 ... size * (i + 1) - 0.5.
  auto first_of = [](Scalar low, int size) {
    const Scalar a = (low + Scalar(0.5)) * (Scalar(1) / Scalar(size));
    return static_cast<int>(maximum(a, Scalar(0)));
  };
  auto end_of = [](Scalar high, int size, int blocks) {
    const Scalar b = (high - Scalar(0.5)) * (Scalar(1) / Scalar(size)) + Scalar(1);
    return static_cast<int>(minimum(maximum(b, Scalar(0)), Scalar(blocks)));
  };
  const int bx0 = first_of(x0, kBlockWidth), bx1 = end_of(x1, kBlockWidth, kBlocksX);
  const int by0 = first_of(y0, kBlockHeight), by1 = end_of(y1, kBlockHeight, kBlocksY);
  if (bx0 >= bx1 || by0 >= by1) return 0;
  const uint64_t columns = (uint64_t{1} << bx1) - (uint64_t{1} << bx0);
  const uint64_t rows = ((uint64_t{1} << (kBlocksX * by1)) - (uint64_t{1} << (kBlocksX * by0))) & 0x11111111u;
  return static_cast<uint32_t>(columns * rows);  // a copy of `columns` in every one of the rows
}
static_assert(kBlocksX == 4, "the pattern 0x1111... picks the first block of every row of four");

// Deals the chunk's surfels out to the live blocks.
inline void deal_chunk(const Frame<Scalar>& f, ForwardScratch& w, const uint32_t* instances, int count, uint32_t live,
                       Scalar corner_x, Scalar corner_y) {
  constexpr int kAhead = 12;
  for (int b = 0; b < kBlocks; ++b) w.list_size[b] = 0;
  for (int j = 0; j < count; ++j) {
    if (j + kAhead < count) {
      const char* next = reinterpret_cast<const char*>(&f.records[instances[j + kAhead]]);
      __builtin_prefetch(next);
      __builtin_prefetch(next + 64);
    }
    const Record<Scalar>& s = f.records[instances[j]];
    w.records[j] = &s;
    w.hits[j] = 0;
    const uint32_t marks =
        blocks_of_box(s.x0 - corner_x, s.x1 - corner_x, s.y0 - corner_y, s.y1 - corner_y) & live;
    if (kHasListMarked) {
      w.marks[j] = marks;
    } else {
      for (uint32_t rest = marks; rest; rest &= rest - 1) {
        const int b = __builtin_ctz(rest);
        w.list[b][w.list_size[b]++] = static_cast<uint16_t>(j);
      }
    }
  }
  if (kHasListMarked)
    for (uint32_t rest = live; rest; rest &= rest - 1) {
      const int b = __builtin_ctz(rest);
      w.list_size[b] = list_marked(w.marks, count, 1u << b, w.list[b]);
    }
}

// Blends the chunk's surfels into one block.  Returns false when no pixel of the block can take any more.
template <int kChannels>
inline bool blend_block(const Frame<Scalar>& f, ForwardScratch& w, Lanes* color, int block, Lanes x, Lanes y) {
  const Lanes min_transmittance(f.limits.min_transmittance), alpha_max(f.limits.alpha_max);
  const Scalar near_plane = f.limits.near_plane;
  const uint16_t* list = w.list[block];
  const int size = w.list_size[block];
  BlockState st = w.state[block];
  bool alive = true;
  for (int start = 0; start < size && alive; start += kRun) {
    const int end = size - start < kRun ? size : start + kRun;
    int found = 0;
    for (int k = start; k < end; ++k) {
      const Record<Scalar>& s = *w.records[list[k]];
      Visit h = visit<kGeneral>(s, x, y, near_plane);
      if (__builtin_expect(s.kind == kSpecial, 0)) h = visit<kSpecial>(s, x, y, near_plane);
      const Lanes rho = minimum(h.rho3, h.rho2);
      w.rho[found] = rho;
      w.den[found] = h.depth_den;
      w.run[found] = list[k];
      found += any(rho <= Lanes(s.cut));
    }
    for (int k = 0; k < found; ++k) {
      const int j = w.run[k];
      const Record<Scalar>& s = *w.records[j];
      const Lanes rho = w.rho[k], t = st.transmittance;
      const Mask hit = (rho <= Lanes(s.cut)) & (min_transmittance < t);
      const Lanes alpha = minimum(exponential2(Lanes(s.log2_opacity) - rho), alpha_max);
      const Lanes weight = keep(hit, alpha * t);
      const Lanes left = t - weight;
      const Lanes z = Lanes(s.mz) * reciprocal(w.den[k]);
      const Lanes inverse_z = w.den[k] * Lanes(s.mz_inverse);
      w.hits[j] |= static_cast<uint32_t>(any(hit)) << block;
      // s is measured from the first hit's, or the difference of two close layers would drown in rounding.
      st.shift = select(hit & (Lanes(1) <= t), inverse_z, st.shift);
      st.median = select((Lanes(kMedianTransmittance) < t) & (left <= Lanes(kMedianTransmittance)), z, st.median);
      st.transmittance = left;
      if (kChannels == 3) {
        st.red = fma(weight, Lanes(s.red), st.red);
        st.green = fma(weight, Lanes(s.green), st.green);
        st.blue = fma(weight, Lanes(s.blue), st.blue);
      } else {
        const Scalar* features = f.colors + static_cast<int64_t>(s.id) * f.surfels.channels;
        for (int c = 0; c < f.surfels.channels; ++c) color[c] = fma(weight, Lanes(features[c]), color[c]);
      }
      st.nx = fma(weight, Lanes(s.nx), st.nx);
      st.ny = fma(weight, Lanes(s.ny), st.ny);
      st.nz = fma(weight, Lanes(s.nz), st.nz);
      st.depth = fma(weight, z, st.depth);
      const Lanes ws = weight * (inverse_z - st.shift);
      st.m1 = st.m1 + ws;
      st.m2 = fma(ws, inverse_z - st.shift, st.m2);
    }
    alive = any(min_transmittance < st.transmittance);
  }
  w.state[block] = st;
  return alive;
}

template <int kChannels>
inline void write_block(const Frame<Scalar>& f, const BlockState& st, const Lanes* color, int tile, int block,
                        const BlockPlace& place) {
  const int width = f.width, height = f.height;
  const int64_t plane = static_cast<int64_t>(width) * height;
  const Lanes alpha = Lanes(1) - st.transmittance;
  const int channels = kChannels ? kChannels : f.surfels.channels;
  for (int c = 0; c < channels; ++c) {
    Lanes value = kChannels == 3 ? (c == 0 ? st.red : c == 1 ? st.green : st.blue) : color[c];
    if (f.background) value = fma(st.transmittance, Lanes(f.background[c]), value);
    store_block(f.out.color + c * plane, place, width, height, value);
  }
  const Mask seen = Lanes(0) < alpha;
  store_block(f.out.alpha, place, width, height, alpha);
  store_block(f.out.depth, place, width, height, keep(seen, st.depth / select(seen, alpha, Lanes(1))));
  store_block(f.out.median, place, width, height, st.median);
  store_block(f.out.normal, place, width, height, st.nx);
  store_block(f.out.normal + plane, place, width, height, st.ny);
  store_block(f.out.normal + 2 * plane, place, width, height, st.nz);
  store_block(f.out.distortion, place, width, height, alpha * st.m2 - st.m1 * st.m1);
  Scalar* sums = block_sums(f, tile, block);
  store(sums, st.m1);
  store(sums + kLanes, st.m2);
  store(sums + 2 * kLanes, st.shift);
}

template <int kChannels>
inline void forward_tile(const Frame<Scalar>& f, void* scratch, int tile) {
  ForwardScratch& w = *static_cast<ForwardScratch*>(scratch);
  Lanes* color = reinterpret_cast<Lanes*>(&w + 1);  // [kBlocks, channels], used unless there are three channels
  const int tile_x = tile % f.tiles_x, tile_y = tile / f.tiles_x;
  const int channels = f.surfels.channels;
  const int64_t begin = f.tile_begin[tile], end = f.tile_begin[tile + 1];
  const Scalar* const single[4] = {f.out.alpha, f.out.depth, f.out.median, f.out.distortion};
  for (const Scalar* plane : single) prefetch_tile<true>(plane, 1, tile_x, tile_y, f.width, f.height);
  prefetch_tile<true>(f.out.color, channels, tile_x, tile_y, f.width, f.height);
  prefetch_tile<true>(f.out.normal, 3, tile_x, tile_y, f.width, f.height);
  const PixelGrid grid;
  BlockPlace place[kBlocks];
  for (int b = 0; b < kBlocks; ++b) {
    place[b] = block_place(tile_x, tile_y, b, f.width, f.height);
    // A pixel outside the image starts used up: nothing is ever blended there.
    BlockState st;
    st.red = st.green = st.blue = st.nx = st.ny = st.nz = st.depth = st.m1 = st.m2 = st.median = st.shift = Lanes(0);
    st.transmittance = inside_block(place[b], f.width, f.height);
    w.state[b] = st;
    if (kChannels != 3)
      for (int c = 0; c < channels; ++c) color[b * channels + c] = Lanes(0);
  }
  uint32_t live = kAllBlocks;
  int64_t at = begin;
  for (; at < end && live; at += kChunk) {
    const int count = end - at < kChunk ? static_cast<int>(end - at) : kChunk;
    deal_chunk(f, w, f.instances + at, count, live, Scalar(tile_x * kTileSize), Scalar(tile_y * kTileSize));
    for (int b = 0; b < kBlocks; ++b) {
      if (!w.list_size[b]) continue;
      const Lanes x = grid.x + Lanes(place[b].x), y = grid.y + Lanes(place[b].y);
      if (!blend_block<kChannels>(f, w, color + b * channels, b, x, y)) live &= ~(1u << b);
    }
    for (int j = 0; j < count; ++j) f.hits[at + j] = w.hits[j];
  }
  for (; at < end; ++at) f.hits[at] = 0;
  for (int b = 0; b < kBlocks; ++b)
    if (place[b].x < f.width && place[b].y < f.height)
      write_block<kChannels>(f, w.state[b], color + b * channels, tile, b, place[b]);
}

}  // namespace R4D_ISA
}  // namespace recon4d
