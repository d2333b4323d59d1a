// Which builds of the kernels there are (isa/builds.inc), and which of them run on this CPU.
//
// Compiled with the baseline flags and without link-time optimisation: nothing here may contain an
// instruction that the answer might turn out to forbid.
#include <cstddef>

#include "kernels.h"

#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

// IF_BUILT(name)(code) is the code where CMake has that build made (PYROBERTA_HAS_name is 1), and
// nothing where it has not (0).
#define IF_BUILT(name) IF_BUILT_(PYROBERTA_HAS_##name)
#define IF_BUILT_(built) IF_(built)
#define IF_(built) IF_##built
#define IF_1(...) __VA_ARGS__
#define IF_0(...)

namespace pyroberta {

#define BUILD(name, ...) IF_BUILT(name)(namespace name { extern const Kernels table; })
#include "isa/builds.inc"

namespace {

#if defined(PYROBERTA_EMULATE_AMX)
[[maybe_unused]] bool cpu_has_amx_bf16() { return true; }
[[maybe_unused]] bool cpu_has_amx_int8() { return true; }
[[maybe_unused]] bool cpu_has_amx_tile() { return true; }
#elif defined(__x86_64__) && defined(__linux__)
// Bits of leaf 7, EDX.
bool cpu_has_unit(unsigned bit) {
  unsigned a = 7, b = 0, c = 0, d = 0;
  asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  return (d >> bit & 1) != 0;
}
[[maybe_unused]] bool cpu_has_amx_bf16() { return cpu_has_unit(22); }
[[maybe_unused]] bool cpu_has_amx_int8() { return cpu_has_unit(25); }
// And the system's permission to use the tile state, which has to be asked for once in a process
// (arch_prctl, code 0x1023).
[[maybe_unused]] bool cpu_has_amx_tile() {
  return cpu_has_unit(24) && syscall(SYS_arch_prctl, 0x1023, 18) == 0;
}
#else
[[maybe_unused]] bool cpu_has_amx_bf16() { return false; }
[[maybe_unused]] bool cpu_has_amx_int8() { return false; }
[[maybe_unused]] bool cpu_has_amx_tile() { return false; }
#endif

bool baseline_runs() { return true; }

#define BUILD(name, ...) IF_BUILT(name)(bool name##_runs();)
#include "isa/builds.inc"

// __builtin_cpu_supports also asks whether the system saves the wide registers (XGETBV).
#define HAS(feature) &&__builtin_cpu_supports(#feature)
#define ASK(feature) &&cpu_has_##feature()
#define BUILD(name, processor, implied, flags, features) \
  IF_BUILT(name)(bool name##_runs() { return implied##_runs() features; })
#include "isa/builds.inc"

constexpr const Kernels* kTables[] = {
#define BUILD(name, ...) IF_BUILT(name)(&name::table, )
#include "isa/builds.inc"
};

constexpr bool (*kRuns[])() = {
#define BUILD(name, ...) IF_BUILT(name)(name##_runs, )
#include "isa/builds.inc"
};

constexpr std::size_t kBuilds = sizeof kTables / sizeof kTables[0];

}  // namespace

const Kernels* const* built_kernels(std::size_t& count) {
  count = kBuilds;
  return kTables;
}

bool runs_here(const Kernels& kernels) {
  for (std::size_t i = 0; i < kBuilds; ++i) {
    if (kTables[i] == &kernels) return kRuns[i]();
  }
  return false;
}

}  // namespace pyroberta
