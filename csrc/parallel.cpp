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

Team::Team(int size, std::size_t phases) : size_(size), phases_(phases) {}

Team::Phase& Team::next_phase() { return phases_[phase++]; }

void Team::finish(Phase& phase, unsigned done, unsigned count) {
  if (done != 0 && phase.done.fetch_add(done, std::memory_order_acq_rel) + done == count) {
    phase.done.notify_all();
    return;
  }
  // Spinning is 0.3 us a phase. Some 20 us later the thread that we wait for has most likely lost
  // its core, perhaps to us: sleeping lets it go on.
  for (int spins = 0; spins < 2000; ++spins) {
    if (phase.done.load(std::memory_order_acquire) == count) return;
    pause();
  }
  for (unsigned now; (now = phase.done.load(std::memory_order_acquire)) != count;) {
    phase.done.wait(now, std::memory_order_acquire);
  }
}

void run_team([[maybe_unused]] int threads, std::size_t phases, void (*body)(Team&, void*),
              void* context) {
#ifdef _OPENMP
  if (threads > 1 && !forked_after_use.load(std::memory_order_relaxed)) {
    team_was_used.store(true, std::memory_order_relaxed);
    Team team(threads, phases);
#pragma omp parallel num_threads(threads)
    {
      phase = 0;
      const FlushSubnormals flush;
      body(team, context);
    }
    return;
  }
#endif
  Team team(1, phases);
  phase = 0;
  const FlushSubnormals flush;
  body(team, context);
}

}  // namespace pyroberta
