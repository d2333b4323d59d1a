// What this CPU can do at most: multiply-adds of each type and ISA, bytes read from memory. And the
// probe of the AMX unit's speed (amx.py).
//
// Built by peaks.py at run time, as a shared library.
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "loops.h"

namespace {

double now() {
  using clock = std::chrono::steady_clock;
  return std::chrono::duration<double>(clock::now().time_since_epoch()).count();
}

// Runs work(thread) on every thread at once; the seconds from the first start to the last end.
template <class Work>
double timed(int threads, const Work& work) {
  std::atomic<int> waiting{threads};
  std::vector<double> begin(threads), end(threads);
  auto body = [&](int t) {
    waiting.fetch_sub(1);
    while (waiting.load() > 0) {
    }
    begin[t] = now();
    work(t);
    end[t] = now();
  };
  std::vector<std::thread> others;
  for (int t = 1; t < threads; ++t) others.emplace_back(body, t);
  body(0);
  for (std::thread& other : others) other.join();
  double first = begin[0], last = end[0];
  for (int t = 1; t < threads; ++t) {
    if (begin[t] < first) first = begin[t];
    if (end[t] > last) last = end[t];
  }
  return last - first;
}

#ifdef HAS_AMX
// Whether the system lets this process use AMX: it has to ask, and may ask again.
bool may_use_amx() { return syscall(SYS_arch_prctl, 0x1023, 18) == 0; }

// Seconds of a chain of n multiplications, each of which waits 3 cycles for the one before.
double chain(long n) {
  long x = 3;
  const double begin = now();
  asm volatile("1:\n imul %0, %0\n imul %0, %0\n imul %0, %0\n imul %0, %0\n dec %1\n jnz 1b\n"
               : "+r"(x), "+r"(n)::"cc");
  return now() - begin;
}

// Cycles that a bfloat16 product takes here and now. The clock is measured with it; the lowest of
// some looks, since the engine's own threads may still hold this CPU.
double amx_cycles_here() {
  double product = 1e9, cycle = 1e9;
  for (int look = 0; look < 8; ++look) {
    const double chained = chain(500) / (4 * 500 * 3);
    const double begin = now();
    bfloat16_amx<false>(128);
    const double took = (now() - begin) / (4 * 128);
    if (chained < cycle) cycle = chained;
    if (took < product) product = took;
  }
  return product / cycle;
}
#endif

// Reads [p, p + bytes), bytes a multiple of 1024, optionally prefetching 4 KB ahead of the
// hardware. The sums keep the loads from being dropped.
double read_all(const char* p, std::size_t bytes, bool prefetch) {
  typedef double Vector __attribute__((vector_size(64), aligned(64)));
  Vector sum[8] = {};
  for (std::size_t i = 0; i < bytes; i += 1024) {
    if (prefetch) {
      for (int line = 0; line < 16; ++line) __builtin_prefetch(p + i + 4096 + 64 * line, 0, 3);
    }
    const Vector* v = reinterpret_cast<const Vector*>(p + i);
    for (int j = 0; j < 8; ++j) sum[j] += v[j];
    for (int j = 0; j < 8; ++j) sum[j] += v[j + 8];
  }
  double total = 0;
  for (const Vector& s : sum) total += s[0];
  return total;
}

char* buffer = nullptr;
std::size_t buffer_bytes = 0;
volatile double sink;

}  // namespace

extern "C" {

// Multiply-adds, as two operations each, in a second on that many threads together in the loop of
// that name; 0 where this CPU has none.
double operations_per_second(const char* name, int threads, double seconds) {
  const Loop* loop = nullptr;
  for (const Loop& known : kLoops) {
    if (std::strcmp(known.name, name) == 0) loop = &known;
  }
  if (loop == nullptr) return 0;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 0;
#endif
#ifdef HAS_AMX
  if (std::strstr(name, "_amx") != nullptr && !may_use_amx()) return 0;
#endif
  long n = 1000;
  double once = timed(1, [&](int) { loop->run(n); });  // also lets the clock rise or fall
  once = timed(1, [&](int) { loop->run(n); });
  n = static_cast<long>(static_cast<double>(n) * seconds / once) + 1;
  const double took = timed(threads, [&](int) { loop->run(n); });
  return loop->operations * static_cast<double>(n) * threads / took;
}

// Cycles that an AMX product takes now on each of `count` CPUs, by a thread bound to it; false
// where there is no AMX.
bool amx_cycles(const int* cpus, int count, double* cycles) {
#ifdef HAS_AMX
  if (!may_use_amx()) return false;
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) {
    threads.emplace_back([=] {
      cpu_set_t only;
      CPU_ZERO(&only);
      CPU_SET(cpus[i], &only);
      sched_setaffinity(0, sizeof only, &only);
      cycles[i] = amx_cycles_here();
    });
  }
  for (std::thread& thread : threads) thread.join();
  return true;
#else
  (void)cpus, (void)count, (void)cycles;
  return false;
#endif
}

// Bytes read in a second, by that many threads together, from a buffer of at least `megabytes`.
// The better of reading with and without software prefetches. 0 where there is no memory for it.
double bytes_per_second(int threads, std::size_t megabytes) {
  const std::size_t bytes = megabytes << 20;
  if (buffer_bytes != bytes) {
    std::free(buffer);
    buffer_bytes = 0;
    buffer = static_cast<char*>(std::aligned_alloc(2 << 20, bytes));
    if (buffer == nullptr) return 0;
#ifdef MADV_HUGEPAGE
    madvise(buffer, bytes, MADV_HUGEPAGE);
#endif
    std::memset(buffer, 0, bytes);  // all zero bits: the double 0
    buffer_bytes = bytes;
  }
  const std::size_t part = bytes / static_cast<std::size_t>(threads) / 1024 * 1024;
  double best = 0;
  for (const bool prefetch : {false, true}) {
    const double took = timed(threads, [&](int t) {
      sink = read_all(buffer + part * static_cast<std::size_t>(t), part, prefetch);
    });
    const double rate = static_cast<double>(part) * threads / took;
    if (rate > best) best = rate;
  }
  return best;
}
}
