// On which CPU a thread runs, where the system says so (Linux).
#pragma once

#include <cstddef>

namespace pyroberta {

// The CPU that this thread is on, or -1 where the system does not say.
int current_cpu();

// Moves this thread, if it is on one of the CPUs taken[0, count), to one that it may use and that
// is none of them, and says where it is then; where there is none it stays. -1: the system does not
// say. The thread's affinity is as before after it; but what another thread sets it to meanwhile is
// lost.
int leave_cpus(const int* taken, std::size_t count);

// Gives this thread the affinity of the process (of its first thread): a thread begins with that of
// the one that made it, which may be pinned to one CPU.
void take_affinity_of_process();

}  // namespace pyroberta
