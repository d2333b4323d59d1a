// Which builds of the kernels there are, and which of them run on this CPU.
//
// Compiled with the baseline flags and without link-time optimisation: nothing here may contain an
// instruction that the answer might turn out to forbid.
#include <cstddef>

#include "kernels.h"

#if defined(PYROBERTA_HAS_AMX)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace pyroberta {

#if defined(PYROBERTA_HAS_AMX)
namespace amx {
extern const Kernels table;
}
#endif
#if defined(PYROBERTA_HAS_AVX512_BF16)
namespace avx512_bf16 {
extern const Kernels table;
}
#endif
#if defined(PYROBERTA_HAS_AVX512)
namespace avx512 {
extern const Kernels table;
}
#endif
#if defined(PYROBERTA_HAS_AVX2)
namespace avx2 {
extern const Kernels table;
}
#endif
namespace scalar {
extern const Kernels table;
}

namespace {

// Fastest first. The last one runs anywhere.
const Kernels* const kBuilds[] = {
#if defined(PYROBERTA_HAS_AMX)
    &amx::table,
#endif
#if defined(PYROBERTA_HAS_AVX512_BF16)
    &avx512_bf16::table,
#endif
#if defined(PYROBERTA_HAS_AVX512)
    &avx512::table,
#endif
#if defined(PYROBERTA_HAS_AVX2)
    &avx2::table,
#endif
    &scalar::table,
};

#if defined(PYROBERTA_HAS_AVX2)
// __builtin_cpu_supports also asks whether the system saves the wide registers (XGETBV).
bool cpu_has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
#endif
#if defined(PYROBERTA_HAS_AVX512)
bool cpu_has_avx512() {
  return cpu_has_avx2() && __builtin_cpu_supports("avx512f") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl");
}
#endif
#if defined(PYROBERTA_HAS_AVX512_BF16)
bool cpu_has_avx512_bf16() {
  return cpu_has_avx512() && __builtin_cpu_supports("avx512bf16") &&
         __builtin_cpu_supports("avx512vnni");
}
#endif
#if defined(PYROBERTA_HAS_AMX) && defined(PYROBERTA_EMULATE_AMX)
bool cpu_has_amx() { return cpu_has_avx512_bf16(); }
#elif defined(PYROBERTA_HAS_AMX)
// Tile, int8 and bfloat16 units (leaf 7, EDX bits 24, 25 and 22), and the system's permission to
// use the tile state, which has to be asked for once in a process (arch_prctl, code 0x1023).
bool cpu_has_amx() {
  unsigned a = 7, b = 0, c = 0, d = 0;
  asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  constexpr unsigned kUnits = 1u << 22 | 1u << 24 | 1u << 25;
  if (!cpu_has_avx512_bf16() || (d & kUnits) != kUnits) return false;
  return syscall(SYS_arch_prctl, 0x1023, 18) == 0;
}
#endif

}  // namespace

const Kernels* const* built_kernels(std::size_t& count) {
  count = sizeof kBuilds / sizeof kBuilds[0];
  return kBuilds;
}

bool runs_here(const Kernels& kernels) {
#if defined(PYROBERTA_HAS_AMX)
  if (&kernels == &amx::table) return cpu_has_amx();
#endif
#if defined(PYROBERTA_HAS_AVX512_BF16)
  if (&kernels == &avx512_bf16::table) return cpu_has_avx512_bf16();
#endif
#if defined(PYROBERTA_HAS_AVX512)
  if (&kernels == &avx512::table) return cpu_has_avx512();
#endif
#if defined(PYROBERTA_HAS_AVX2)
  if (&kernels == &avx2::table) return cpu_has_avx2();
#endif
  return &kernels == &scalar::table;
}

}  // namespace pyroberta
