// Which builds of the kernels there are (isa/builds.inc), and which of them run on this CPU.
//
// Compiled with the baseline flags and without link-time optimisation: nothing here may contain an
// instruction that the answer might turn out to forbid.
#include <cstddef>

#include "isa/features.h"
#include "kernels.h"

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

bool baseline_runs() { return true; }

#define BUILD(name, ...) IF_BUILT(name)(bool name##_runs();)
#include "isa/builds.inc"

#define HAS(feature) &&cpu_has_##feature()
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
