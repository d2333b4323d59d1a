// The contract is in features.h. Compiled with the baseline flags: see isa/builds.cpp.
#include "isa/features.h"

#include "system.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sys/auxv.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace pyroberta {
namespace {

#if defined(__x86_64__)

struct Registers {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};
// Zeros for a leaf that the CPU does not have.
Registers cpuid(unsigned leaf, unsigned subleaf) {
  Registers r;
  if (leaf > __get_cpuid_max(0, nullptr)) return r;
  if (subleaf != 0 && subleaf > cpuid(leaf, 0).eax) return r;
  __cpuid_count(leaf, subleaf, r.eax, r.ebx, r.ecx, r.edx);
  return r;
}
bool bit(unsigned word, unsigned place) { return (word >> place & 1) != 0; }

// Whether the system saves all of these registers, numbered as XCR0 has them, for a thread that
// waits: a CPU's instruction is of no use without.
bool saves(unsigned registers) {
  if (!bit(cpuid(1, 0).ecx, 27)) return false;  // OSXSAVE: xgetbv may be asked
  unsigned low = 0, high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (low & registers) == registers;
}
bool saves_avx() { return saves(0x6); }
bool saves_avx512() { return saves(0xe6); }

#endif

}  // namespace

#if defined(__x86_64__)

bool cpu_has_fma() { return bit(cpuid(1, 0).ecx, 12) && saves_avx(); }
bool cpu_has_avx2() { return bit(cpuid(7, 0).ebx, 5) && saves_avx(); }
bool cpu_has_avx512f() { return bit(cpuid(7, 0).ebx, 16) && saves_avx512(); }
bool cpu_has_avx512dq() { return bit(cpuid(7, 0).ebx, 17) && saves_avx512(); }
bool cpu_has_avx512bw() { return bit(cpuid(7, 0).ebx, 30) && saves_avx512(); }
bool cpu_has_avx512vl() { return bit(cpuid(7, 0).ebx, 31) && saves_avx512(); }
bool cpu_has_avx512_vnni() { return bit(cpuid(7, 0).ecx, 11) && saves_avx512(); }
bool cpu_has_avx512_bf16() { return bit(cpuid(7, 1).eax, 5) && saves_avx512(); }

#if defined(PYROBERTA_EMULATE_AMX)
bool cpu_has_amx_tile() { return true; }
bool cpu_has_amx_bf16() { return true; }
bool cpu_has_amx_int8() { return true; }
#else
// And the system's permission to use the tile state.
bool cpu_has_amx_tile() { return bit(cpuid(7, 0).edx, 24) && saves(0x60000) && permit_amx_tiles(); }
bool cpu_has_amx_bf16() { return bit(cpuid(7, 0).edx, 22); }
bool cpu_has_amx_int8() { return bit(cpuid(7, 0).edx, 25); }
#endif

#elif defined(__aarch64__) && defined(__linux__)

bool cpu_has_asimddp() { return (getauxval(AT_HWCAP) >> 20 & 1) != 0; }
bool cpu_has_i8mm() { return (getauxval(AT_HWCAP2) >> 13 & 1) != 0; }
bool cpu_has_bf16() { return (getauxval(AT_HWCAP2) >> 14 & 1) != 0; }

#elif defined(__aarch64__) && defined(__APPLE__)

namespace {
bool system_says(const char* name) {
  int value = 0;
  size_t size = sizeof value;
  return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value != 0;
}
}  // namespace
bool cpu_has_asimddp() { return system_says("hw.optional.arm.FEAT_DotProd"); }
bool cpu_has_i8mm() { return system_says("hw.optional.arm.FEAT_I8MM"); }
bool cpu_has_bf16() { return system_says("hw.optional.arm.FEAT_BF16"); }

#elif defined(__aarch64__)

bool cpu_has_asimddp() { return false; }
bool cpu_has_i8mm() { return false; }
bool cpu_has_bf16() { return false; }

#endif

}  // namespace pyroberta
