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

// In front of every pooled block; a cache line, so that the block stays aligned.
struct alignas(64) Header {
  size_t bytes;
};

struct Pool {
  std::mutex mutex;
  std::vector<Header*> idle;  // oldest first
  size_t idle_bytes = 0, most_bytes = kMaxIdleBytes;

  // With the mutex held.
  void free_what_is_too_much() noexcept {
    while (idle.size() > kMaxIdleBlocks || idle_bytes > most_bytes) {
      idle_bytes -= idle.front()->bytes;
      std::free(idle.front());
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
  const bool huge = bytes >= kHugePage;
  const size_t alignment = huge ? kHugePage : 64;
  const size_t rounded = (bytes / alignment + 1) * alignment;
  void* p = nullptr;
  if (posix_memalign(&p, alignment, rounded) != 0) throw std::bad_alloc();
#ifdef __linux__
  if (huge) madvise(p, rounded, MADV_HUGEPAGE);  // a wish; refusal is harmless
#endif
  return p;
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
    std::free(h);
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
