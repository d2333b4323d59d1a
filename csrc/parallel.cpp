// The contract is in parallel.h.
#include "parallel.h"

#include <pthread.h>

#include <algorithm>
#include <string>

#ifdef _OPENMP
#include <omp.h>
#endif
#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace pyroberta {
namespace {

std::atomic<int> threads_wanted{1};
std::atomic<bool> team_was_used{false};
std::atomic<bool> forked_after_use{false};

// libgomp's threads do not exist in the child of a fork, and it waits for them for ever.
void in_child() {
  if (team_was_used.load()) forked_after_use.store(true);
}
[[maybe_unused]] const int at_fork = pthread_atfork(nullptr, nullptr, in_child);

thread_local std::size_t phase = 0;

inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Subnormals are taken as zero while this lives (arithmetic on them costs over 100 cycles an
// instruction), and the thread's control register is put back after.
class FlushSubnormals {
 public:
#if defined(__SSE2__)
  FlushSubnormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | 0x8040u); }
  ~FlushSubnormals() { _mm_setcsr(saved_); }

 private:
  unsigned saved_;
#elif defined(__aarch64__)
  FlushSubnormals() {
    asm volatile("mrs %0, fpcr" : "=r"(saved_));
    asm volatile("msr fpcr, %0" ::"r"(saved_ | (1ull << 24)));
  }
  ~FlushSubnormals() { asm volatile("msr fpcr, %0" ::"r"(saved_)); }

 private:
  unsigned long long saved_;
#endif
};

}  // namespace

void set_num_threads(int n) { threads_wanted.store(std::max(1, n)); }
int num_threads() { return threads_wanted.load(); }

const char* openmp_version() {
#ifdef _OPENMP
  static const std::string version = std::to_string(_OPENMP);
  return version.c_str();
#else
  return "none";
#endif
}

std::size_t Team::phase_of_this_thread() const { return phase; }

void Team::barrier() {
  if (size_ == 1) return;
  const unsigned epoch = epoch_.load(std::memory_order_acquire);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size_) {
    arrived_.store(0, std::memory_order_relaxed);
    epoch_.store(epoch + 1, std::memory_order_release);
    epoch_.notify_all();
    return;
  }
  // Spinning is 0.3 us a barrier. Some 20 us later the thread that we wait for has most likely lost
  // its core, perhaps to us: sleeping lets it go on. (A call still waits for a thread that another
  // process keeps from its core, here and at the end of the region.)
  for (int spins = 0; spins < 2000; ++spins) {
    if (epoch_.load(std::memory_order_acquire) != epoch) return;
    pause();
  }
  while (epoch_.load(std::memory_order_acquire) == epoch) {
    epoch_.wait(epoch, std::memory_order_acquire);
  }
}

void Team::end_phase() {
  next_[(phase + 1) % 3].store(0, std::memory_order_relaxed);
  barrier();
  ++phase;
}

void run_team([[maybe_unused]] int threads, void (*body)(Team&, void*), void* context) {
  Team team;
#ifdef _OPENMP
  if (threads > 1 && !forked_after_use.load(std::memory_order_relaxed)) {
    team_was_used.store(true, std::memory_order_relaxed);
#pragma omp parallel num_threads(threads)
    {
#pragma omp single
      team.size_ = omp_get_num_threads();
      phase = 0;
      const FlushSubnormals flush;
      body(team, context);
    }
    return;
  }
#endif
  phase = 0;
  const FlushSubnormals flush;
  body(team, context);
}

}  // namespace pyroberta
