// A block of CUDA threads on one CPU thread, for tests: the kernels of cuda/gpu compiled by g++ run here unchanged.
//
// Every thread of a block is a fiber with a stack of its own.  A fiber runs until it must wait for others: at a block
// barrier, or at a warp operation, which completes when all its lanes have arrived.  Which fiber runs next is the
// `Schedule`: threads in order, in reverse, or at random with extra pauses at atomics.  A kernel that forgets a barrier
// works in some of them and not in others, every time the same: the random one is seeded.  Blocks follow the same schedule.
//
// What it finds: missing barriers, wrong indices into shared memory (filled with NaN before each block), lanes that miss a
// warp operation and barriers that not all threads reach (an error that names the place), and every wrong number.
// What it does not: the memory model of a real GPU, and anything about time.
#pragma once
#include <cstdint>
#include <cstring>
#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

namespace emulator {

enum class Schedule { kForward = 0, kReverse = 1, kRandom = 2 };

struct Dim {
  unsigned x = 1, y = 1, z = 1;
};

// A place in the source.
struct Site {
  const char* file = "";
  int line = 0;
  bool operator<(const Site& o) const { return std::tie(line) < std::tie(o.line) || (line == o.line && std::strcmp(file, o.file) < 0); }
  bool operator==(const Site& o) const { return line == o.line && !std::strcmp(file, o.file); }
  std::string name() const {
    const char* slash = std::strrchr(file, '/');
    return std::string(slash ? slash + 1 : file) + ":" + std::to_string(line);
  }
};

constexpr int kWarp = 32;
constexpr size_t kStackBytes = 64 * 1024;

// Saves the running context in *from and continues at `to`; written by hand because swapcontext() asks the kernel about
// signals each time, and a backward pass switches millions of times.
extern "C" void r4d_emulator_switch(void** from, void* to);

struct Warp {
  // Two sets of slots: a lane can be one operation ahead of another, never two.
  uint64_t value[2][kWarp];
  int arrived[2] = {0, 0};
  Site site[2];
};

struct Fiber {
  void* context = nullptr;
  std::unique_ptr<char[]> stack;
  bool done = false;
  // What it waits for: a generation of the block's barrier or of its warp's operations.
  enum { kNothing, kBarrier, kWarpOperation } waits = kNothing;
  uint64_t barrier_generation = 0, warp_generation = 0;
};

class Machine {
 public:
  Schedule schedule = Schedule::kForward;
  std::string skipped_barrier;             // "file:line" of a barrier that is left out
  std::map<std::string, int64_t> barriers;  // how often each barrier was reached
  Dim grid, block, block_index;

  unsigned thread() const { return static_cast<unsigned>(current_); }

  void launch(Dim grid_dim, Dim block_dim, const std::function<void()>& kernel) {
    if (block_dim.y != 1 || block_dim.z != 1 || grid_dim.y != 1 || grid_dim.z != 1)
      throw std::logic_error("emulator: only one-dimensional launches");
    if (grid_dim.x == 0 || block_dim.x == 0 || block_dim.x > 1024) throw std::logic_error("emulator: invalid launch configuration");
    grid = grid_dim;
    block = block_dim;
    kernel_ = &kernel;
    for (unsigned b : order(grid.x)) {
      block_index = {b, 0, 0};
      run_block();
    }
  }

  void* shared(size_t bytes) {
    if (shared_.size() < bytes) {
      if (!shared_.empty() && shared_used_) throw std::logic_error("emulator: one shared object per kernel");
      shared_.assign(bytes, static_cast<char>(0xff));
    }
    if (bytes > 48 * 1024) throw std::logic_error("emulator: more than 48 KB of shared memory");
    shared_used_ = true;
    return shared_.data();
  }

  // Waits for all threads of the block.  Returns whether any gave a true value.
  bool barrier(Site site, bool value) {
    ++barriers[site.name()];
    if (site.name() == skipped_barrier) return value;
    Fiber& me = fibers_[current_];
    if (barrier_arrived_ == 0) {
      barrier_site_ = site;
      barrier_or_[barrier_generation_ % 2] = false;
    } else if (!(site == barrier_site_)) {
      throw std::logic_error("emulator: threads of a block wait at different barriers, " + site.name() + " and " + barrier_site_.name());
    }
    const uint64_t mine = barrier_generation_;
    if (value) barrier_or_[mine % 2] = true;
    if (++barrier_arrived_ == static_cast<int>(block.x)) {
      barrier_arrived_ = 0;
      ++barrier_generation_;
      if (schedule != Schedule::kForward) pause();  // the last to arrive has no right to be the first to go on
    } else {
      me.waits = Fiber::kBarrier;
      me.barrier_generation = mine;
      pause();
    }
    return barrier_or_[mine % 2];
  }

  // Gives a value to the warp and waits until all lanes have; returns the slots.
  const uint64_t* exchange(Site site, unsigned mask, uint64_t value) {
    if (mask != 0xffffffffu) throw std::logic_error("emulator: only whole-warp operations, at " + site.name());
    if (block.x % kWarp) throw std::logic_error("emulator: a warp operation in a block of incomplete warps");
    Fiber& me = fibers_[current_];
    Warp& warp = warps_[current_ / kWarp];
    const int set = static_cast<int>(me.warp_generation % 2);
    if (warp.arrived[set] == 0) {
      warp.site[set] = site;
    } else if (!(warp.site[set] == site)) {
      throw std::logic_error("emulator: lanes of a warp at different operations, " + site.name() + " and " + warp.site[set].name());
    }
    warp.value[set][current_ % kWarp] = value;
    if (++warp.arrived[set] == kWarp) {
      warp.arrived[1 - set] = 0;  // nobody is there any more: all have arrived here
    } else {
      me.waits = Fiber::kWarpOperation;
      pause();
    }
    ++me.warp_generation;
    return warp.value[set];
  }

  // Lets another fiber run, under the random schedule.
  void yield() {
    if (schedule == Schedule::kRandom && random_() % 4 == 0) pause();
  }

  static Machine& instance() {
    static Machine machine;
    return machine;
  }

 private:
  std::vector<unsigned> order(unsigned count) {
    std::vector<unsigned> o(count);
    std::iota(o.begin(), o.end(), 0u);
    if (schedule == Schedule::kReverse) std::reverse(o.begin(), o.end());
    if (schedule == Schedule::kRandom) std::shuffle(o.begin(), o.end(), random_);
    return o;
  }

  bool ready(const Fiber& f, unsigned index) const {
    if (f.done) return false;
    if (f.waits == Fiber::kBarrier) return barrier_generation_ != f.barrier_generation;
    if (f.waits == Fiber::kWarpOperation) return warps_[index / kWarp].arrived[f.warp_generation % 2] == kWarp;
    return true;
  }

  void run_block() {
    const unsigned n = block.x;
    while (fibers_.size() < n) {
      fibers_.emplace_back();
      fibers_.back().stack.reset(new char[kStackBytes]);
    }
    warps_.assign((n + kWarp - 1) / kWarp, Warp{});
    barrier_arrived_ = 0;
    std::fill(shared_.begin(), shared_.end(), static_cast<char>(0xff));
    shared_used_ = false;
    error_ = nullptr;
    for (unsigned i = 0; i < n; ++i) start(fibers_[i]);
    std::vector<unsigned> turn = order(n);
    unsigned left = n;
    while (left && !error_) {
      bool progress = false;
      for (unsigned i : turn) {
        Fiber& f = fibers_[i];
        if (!ready(f, i)) continue;
        f.waits = Fiber::kNothing;
        current_ = i;
        progress = true;
        r4d_emulator_switch(&home_, f.context);
        if (error_) break;
        if (f.done) --left;
      }
      if (!progress && !error_)
        error_ = std::make_exception_ptr(
            std::logic_error("emulator: deadlock, some threads wait at a barrier or a warp operation that others never reach"));
      if (schedule == Schedule::kRandom) std::shuffle(turn.begin(), turn.end(), random_);
    }
    if (error_) std::rethrow_exception(error_);
  }

  void pause() { r4d_emulator_switch(&fibers_[current_].context, home_); }

  void start(Fiber& f) {
    f.done = false;
    f.waits = Fiber::kNothing;
    f.warp_generation = 0;
    // A frame as r4d_emulator_switch leaves it: six saved registers, then the address to return to.
    uintptr_t top = reinterpret_cast<uintptr_t>(f.stack.get() + kStackBytes) & ~uintptr_t{15};
    void** sp = reinterpret_cast<void**>(top);
    *--sp = nullptr;  // where entry() would return to; also aligns the stack as a call does
    *--sp = reinterpret_cast<void*>(&Machine::entry);
    for (int i = 0; i < 6; ++i) *--sp = nullptr;
    f.context = sp;
  }

  static void entry() {
    Machine& m = instance();
    const unsigned me = m.current_;
    try {
      (*m.kernel_)();
    } catch (...) {
      m.error_ = std::current_exception();
    }
    m.fibers_[me].done = true;
    void* never;
    r4d_emulator_switch(&never, m.home_);
  }

  std::vector<Fiber> fibers_;
  std::vector<Warp> warps_;
  std::vector<char> shared_;
  bool shared_used_ = false;
  const std::function<void()>* kernel_ = nullptr;
  void* home_ = nullptr;
  unsigned current_ = 0;
  int barrier_arrived_ = 0;
  uint64_t barrier_generation_ = 0;
  bool barrier_or_[2] = {false, false};
  Site barrier_site_;
  std::exception_ptr error_;
  std::mt19937 random_{12345};
};

inline Machine& machine() { return Machine::instance(); }

inline Dim thread_index() { return {machine().thread(), 0, 0}; }

template <class T>
uint64_t to_bits(T value) {
  static_assert(sizeof(T) <= 8, "a register or two");
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  return bits;
}
template <class T>
T from_bits(uint64_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

inline unsigned ballot(Site site, unsigned mask, bool predicate) {
  const uint64_t* slots = machine().exchange(site, mask, predicate);
  unsigned bits = 0;
  for (int i = 0; i < kWarp; ++i) bits |= static_cast<unsigned>(slots[i] & 1) << i;
  return bits;
}

template <class T>
T shuffle_xor(Site site, unsigned mask, T value, int bit) {
  const uint64_t* slots = machine().exchange(site, mask, to_bits(value));
  return from_bits<T>(slots[(machine().thread() % kWarp) ^ static_cast<unsigned>(bit)]);
}

template <class T>
T atomic_add(T* address, T value) {
  machine().yield();
  const T before = *address;
  *address = before + value;
  return before;
}

}  // namespace emulator

#define __global__
#define __device__
#define __launch_bounds__(...)
#define threadIdx (::emulator::thread_index())
#define blockIdx (::emulator::machine().block_index)
#define blockDim (::emulator::machine().block)
#define gridDim (::emulator::machine().grid)
#define R4D_SITE (::emulator::Site{__FILE__, __LINE__})
#define __syncthreads() ::emulator::machine().barrier(R4D_SITE, false)
#define __syncthreads_or(value) ::emulator::machine().barrier(R4D_SITE, static_cast<bool>(value))
#define __ballot_sync(mask, value) ::emulator::ballot(R4D_SITE, (mask), static_cast<bool>(value))
#define __any_sync(mask, value) (::emulator::ballot(R4D_SITE, (mask), static_cast<bool>(value)) != 0)
#define __shfl_xor_sync(mask, value, bit) ::emulator::shuffle_xor(R4D_SITE, (mask), (value), (bit))
#define __ffs(bits) __builtin_ffs(bits)
#define atomicAdd(address, value) ::emulator::atomic_add((address), (value))

#define R4D_SHARED(Type, name) Type& name = *static_cast<Type*>(::emulator::machine().shared(sizeof(Type)))
#define R4D_LAUNCH(kernel, grid, block, stream, ...)                                                                      \
  ::emulator::machine().launch({static_cast<unsigned>(grid), 1, 1}, {static_cast<unsigned>(block), 1, 1}, \
                               [&] { (void)(stream); (kernel)(__VA_ARGS__); })

namespace recon4d::gpu {

struct Stream {};
inline Stream stream_of(int64_t) { return {}; }
class DeviceGuard {
 public:
  explicit DeviceGuard(int) {}
};
inline int device_count() { return 1; }

inline void fill_bytes(void* p, int value, size_t bytes, Stream) { std::memset(p, value, bytes); }

template <class Key>
void sort_pairs(void* temp, size_t& bytes, const Key* keys_in, Key* keys_out, const uint32_t* in, uint32_t* out, int64_t count,
                int bits, Stream) {
  if (!temp) {
    bytes = 1;
    return;
  }
  const Key mask = bits >= static_cast<int>(8 * sizeof(Key)) ? ~Key(0) : (Key(1) << bits) - 1;
  std::vector<int64_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), int64_t{0});
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return (keys_in[a] & mask) < (keys_in[b] & mask); });
  for (int64_t i = 0; i < count; ++i) {
    keys_out[i] = keys_in[order[i]];
    out[i] = in[order[i]];
  }
}

inline void exclusive_sum(void* temp, size_t& bytes, const uint64_t* in, uint64_t* out, int64_t count, Stream) {
  if (!temp) {
    bytes = 1;
    return;
  }
  uint64_t sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    out[i] = sum;
    sum += in[i];
  }
}

}  // namespace recon4d::gpu
