// Team over OpenMP's threads, for programs that want one pool with NumPy's or PyTorch's. The
// contract is in team.h. What OpenMP decides here and pool.cpp elsewhere: which CPUs its threads
// run on, how long they spin, and that a program ends (libgomp: "Thread creation failed") where the
// system gives no thread.
#include <omp.h>

#include <array>
#include <atomic>
#include <cstdint>

#include "system.h"
#include "threads/team.h"

namespace pyroberta {
namespace {

// What is left of a share: its end in the upper half, its begin in the lower.
struct Share {
  alignas(64) std::atomic<std::uint64_t> left{0};
};

// Takes one task of a share, the first, or with `last` the last. False: it has none left.
bool take(Share& share, bool last, std::size_t& task) {
  std::uint64_t left = share.left.load(std::memory_order_relaxed);
  for (;;) {
    const std::uint64_t begin = left & 0xffffffffu, end = left >> 32;
    if (begin >= end) return false;
    const std::uint64_t without = last ? left - (std::uint64_t{1} << 32) : left + 1;
    if (share.left.compare_exchange_weak(left, without, std::memory_order_relaxed)) {
      task = static_cast<std::size_t>(last ? end - 1 : begin);
      return true;
    }
  }
}

// GNU's library keeps a thread's helpers over a fork, and its next region waits for them for ever.
std::atomic<bool> forked{false};
const bool handler_set = at_fork(nullptr, nullptr, [] { forked.store(true); });

}  // namespace

Team::Team(int threads) {
  if (handler_set && !forked.load(std::memory_order_relaxed)) size_ = std::max(1, threads);
}

Team::~Team() = default;

void Team::run_phase(const Shares& tasks, Call call, const void* context) {
  const std::size_t n = static_cast<std::size_t>(shares()), count = tasks.first[n];
  if (size_ == 1 || count <= 1) return run_alone(count, call, context);
  if (stopped_) return;
  std::array<Share, Shares::kMost> parts;
  for (std::size_t t = 0; t < n; ++t) {
    parts[t].left.store(static_cast<std::uint64_t>(tasks.first[t + 1]) << 32 | tasks.first[t],
                        std::memory_order_relaxed);
  }
  std::atomic<bool> stop{false};
  // The region's end waits for all tasks, and its two ends order what the threads wrote.
#pragma omp parallel num_threads(size_)
  {
    const UsualArithmetic usual_arithmetic;
    const std::size_t thread = static_cast<std::size_t>(omp_get_thread_num());
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t task; take(parts[(thread + i) % n], i != 0, task);) {
        if (stop.load(std::memory_order_relaxed)) break;
        call(context, task, static_cast<int>(thread));
        if (thread == 0 && ask()) stop.store(true, std::memory_order_relaxed);
      }
    }
  }
}

}  // namespace pyroberta
