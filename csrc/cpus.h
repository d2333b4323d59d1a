// Which CPU a thread runs on, where the system says so (Linux).
#pragma once

#include <cstddef>

namespace pyroberta {

// The CPU that this thread is on, or -1.
int current_cpu();

// Moves this thread, if it is on one of the CPUs taken[0, count), to one that it may use and that
// is none of them, and says where it is then; where there is none it stays. -1: no CPU. Its
// affinity is as before after it (and what another thread sets it to within these microseconds is
// lost).
int leave_cpus(const int* taken, std::size_t count);

}  // namespace pyroberta
