// What this CPU can do at most: fused multiply-adds, AMX products, bytes read from memory.
//
// Built by peaks.py at run time, as a shared library. The loops are in assembly, since compilers
// spill accumulators of peak loops. Operands are ordinary numbers: zeros may run faster than data.
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

#if defined(__AMX_TILE__) && defined(__AMX_BF16__)
#include <immintrin.h>
#define HAS_AMX 1
#endif

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

const float kOperands[2] = {0.5f, 1e-3f};

// 12 accumulators: two pipes times a latency of 4 or 5, and some more.
#define REPEAT12(F) F(0) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9) F(10) F(11)
#define REPEAT24(F) \
  REPEAT12(F) F(12) F(13) F(14) F(15) F(16) F(17) F(18) F(19) F(20) F(21) F(22) F(23)

#if defined(__x86_64__)
void fma_avx2(long n) {
#define ZERO(i) "vxorps %%ymm" #i ", %%ymm" #i ", %%ymm" #i "\n"
#define FMA(i) "vfmadd231ps %%ymm14, %%ymm15, %%ymm" #i "\n"
  asm volatile(
      "vbroadcastss (%1), %%ymm14\n vbroadcastss 4(%1), %%ymm15\n" REPEAT12(ZERO)
      ".p2align 5\n 1:\n" REPEAT12(FMA) REPEAT12(FMA) "dec %0\n jnz 1b\n vzeroupper\n"
      : "+r"(n)
      : "r"(kOperands)
      : "cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
        "xmm9", "xmm10", "xmm11", "xmm14", "xmm15");
#undef ZERO
#undef FMA
}
#endif

#if defined(__AVX512F__)
void fma_avx512(long n) {
#define ZERO(i) "vpxord %%zmm" #i ", %%zmm" #i ", %%zmm" #i "\n"
#define FMA(i) "vfmadd231ps %%zmm30, %%zmm31, %%zmm" #i "\n"
  asm volatile(
      "vbroadcastss (%1), %%zmm30\n vbroadcastss 4(%1), %%zmm31\n" REPEAT24(ZERO)
      ".p2align 5\n 1:\n" REPEAT24(FMA) "dec %0\n jnz 1b\n vzeroupper\n"
      : "+r"(n)
      : "r"(kOperands)
      : "cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
        "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "xmm16", "xmm17", "xmm18",
        "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm30", "xmm31");
#undef ZERO
#undef FMA
}
#endif

#ifdef HAS_AMX
struct alignas(64) TileConfig {
  unsigned char palette = 1, start = 0, reserved[14] = {};
  unsigned short columns[16] = {};
  unsigned char rows[16] = {};
};

// Fillers between the products help on CPUs whose AMX unit is slow after its own kind; both ways
// are tried. The tiles are loaded with numbers: freshly zeroed ones overstate the peak.
template <bool filler>
void amx_bf16(long n) {
  TileConfig config;
  for (int t = 0; t < 8; ++t) config.columns[t] = 64, config.rows[t] = 16;
  alignas(64) std::uint16_t data[512];
  for (int i = 0; i < 512; ++i) data[i] = static_cast<std::uint16_t>(0x3a00 + i % 7);
  // The intrinsic has an operand of 8 bytes: without this the other 56 may never be stored.
  asm volatile("" ::"r"(&config), "r"(data) : "memory");
  _tile_loadconfig(&config);
  _tile_loadd(6, data, 64);
  _tile_loadd(7, data, 64);
  _tile_zero(0); _tile_zero(1); _tile_zero(2); _tile_zero(3);
#define FILL if (filler) asm volatile("nop\n nop\n nop\n nop\n nop\n nop\n nop\n nop\n")
  for (long i = 0; i < n; ++i) {
    _tile_dpbf16ps(0, 6, 7); FILL;
    _tile_dpbf16ps(1, 6, 7); FILL;
    _tile_dpbf16ps(2, 6, 7); FILL;
    _tile_dpbf16ps(3, 6, 7); FILL;
  }
#undef FILL
  _tile_release();
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

// Multiply-adds, as two operations each, in a second on that many threads together; 0 where this
// CPU has none. isa: 0 for AVX2, 1 for AVX-512, 2 for AMX bfloat16, 3 for the same with fillers.
double operations_per_second(int isa, int threads, double seconds) {
  void (*loop)(long) = nullptr;
  double each = 0;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (isa == 0 && __builtin_cpu_supports("fma")) loop = fma_avx2, each = 24 * 8 * 2;
#endif
#if defined(__AVX512F__)
  if (isa == 1) loop = fma_avx512, each = 24 * 16 * 2;
#endif
#ifdef HAS_AMX
  if (isa >= 2 && syscall(SYS_arch_prctl, 0x1023, 18) == 0) {
    loop = isa == 2 ? amx_bf16<false> : amx_bf16<true>;
    each = 4 * 16 * 16 * 32 * 2;
  }
#endif
  if (loop == nullptr) return 0;
  long n = 1000;
  double once = timed(1, [&](int) { loop(n); });  // also lets the clock rise or fall
  once = timed(1, [&](int) { loop(n); });
  n = static_cast<long>(static_cast<double>(n) * seconds / once) + 1;
  const double took = timed(threads, [&](int) { loop(n); });
  return each * static_cast<double>(n) * threads / took;
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
