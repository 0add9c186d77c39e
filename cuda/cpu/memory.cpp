#include "memory.h"

#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <new>
#include <vector>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace recon4d {

namespace {

constexpr size_t kHugePage = size_t{1} << 21;
// Idle blocks beyond these are freed, the oldest first; of bytes, a program may choose fewer.
constexpr size_t kMaxIdleBlocks = 6, kMaxIdleBytes = size_t{1} << 30;

#ifdef __linux__
size_t huge_size(size_t bytes) { return (bytes + kHugePage - 1) / kHugePage * kHugePage; }

// Whole huge pages, at the address of one.
void* map_huge(size_t bytes) {
  const size_t size = huge_size(bytes), room = size + kHugePage;
  void* mapped = mmap(nullptr, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  char* const first = static_cast<char*>(mapped);
  const size_t before = (kHugePage - reinterpret_cast<uintptr_t>(first) % kHugePage) % kHugePage;
  if (before) munmap(first, before);
  munmap(first + before + size, kHugePage - before);
  madvise(first + before, size, MADV_HUGEPAGE);  // a wish; refusal is harmless
  return first + before;
}
#endif

// In front of every pooled block; a cache line, so that the block stays aligned.
struct alignas(64) Header {
  size_t bytes;
};

void release(Header* h) noexcept { free_aligned(h, h->bytes + sizeof(Header)); }

struct Pool {
  std::mutex mutex;
  std::vector<Header*> idle;  // oldest first
  size_t idle_bytes = 0, most_bytes = kMaxIdleBytes;

  // With the mutex held.
  void free_what_is_too_much() noexcept {
    while (idle.size() > kMaxIdleBlocks || idle_bytes > most_bytes) {
      idle_bytes -= idle.front()->bytes;
      release(idle.front());
      idle.erase(idle.begin());
    }
  }
};

// Never destroyed: arrays may outlive every other static object when the interpreter exits.
Pool& pool() {
  static Pool* p = new Pool;
  return *p;
}

}  // namespace

void* allocate_aligned(size_t bytes) {
#ifdef __linux__
  if (bytes >= kHugePage) return map_huge(bytes);
#endif
  void* p = nullptr;
  if (posix_memalign(&p, 64, (bytes / 64 + 1) * 64) != 0) throw std::bad_alloc();
  return p;
}

void free_aligned(void* memory, size_t bytes) noexcept {
#ifdef __linux__
  if (memory && bytes >= kHugePage) {
    munmap(memory, huge_size(bytes));
    return;
  }
#endif
  std::free(memory);
}

void* take_pooled(size_t bytes) {
  Pool& p = pool();
  {
    std::lock_guard<std::mutex> lock(p.mutex);
    for (size_t i = p.idle.size(); i-- > 0;) {
      Header* h = p.idle[i];
      if (h->bytes < bytes || h->bytes > 2 * bytes) continue;
      p.idle.erase(p.idle.begin() + static_cast<std::ptrdiff_t>(i));
      p.idle_bytes -= h->bytes;
      return h + 1;
    }
  }
  Header* h = static_cast<Header*>(allocate_aligned(bytes + sizeof(Header)));
  h->bytes = bytes;
  return h + 1;
}

void give_back_pooled(void* memory) noexcept {
  Pool& p = pool();
  Header* h = static_cast<Header*>(memory) - 1;
  std::lock_guard<std::mutex> lock(p.mutex);
  try {
    p.idle.push_back(h);
  } catch (const std::bad_alloc&) {
    release(h);
    return;
  }
  p.idle_bytes += h->bytes;
  p.free_what_is_too_much();
}

void keep_idle(size_t bytes) noexcept {
  Pool& p = pool();
  std::lock_guard<std::mutex> lock(p.mutex);
  p.most_bytes = bytes;
  p.free_what_is_too_much();
}

}  // namespace recon4d
