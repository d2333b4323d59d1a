// The contract is in placement.h.
#include "threads/placement.h"

#if defined(__linux__)
#include <sched.h>
#include <unistd.h>
#endif

namespace pyroberta {

#if defined(__linux__)
int current_cpu() { return sched_getcpu(); }

int leave_cpus(const int* taken, std::size_t count) {
  int here = current_cpu();
  bool shared = false;
  cpu_set_t occupied, allowed, free;
  CPU_ZERO(&occupied);
  for (std::size_t i = 0; i < count; ++i) {
    if (taken[i] < 0 || taken[i] >= CPU_SETSIZE) continue;
    shared = shared || taken[i] == here;
    CPU_SET(taken[i], &occupied);
  }
  if (!shared || sched_getaffinity(0, sizeof allowed, &allowed) != 0) return here;
  CPU_AND(&occupied, &occupied, &allowed);
  CPU_XOR(&free, &allowed, &occupied);
  // A mask without those CPUs moves the thread at once, and it stays when it may go back.
  if (CPU_COUNT(&free) != 0 && sched_setaffinity(0, sizeof free, &free) == 0) {
    here = current_cpu();
    sched_setaffinity(0, sizeof allowed, &allowed);
  }
  return here;
}

void take_affinity_of_process() {
  cpu_set_t own, wanted;
  if (sched_getaffinity(getpid(), sizeof wanted, &wanted) != 0 ||
      sched_getaffinity(0, sizeof own, &own) != 0 || CPU_EQUAL(&own, &wanted)) {
    return;
  }
  sched_setaffinity(0, sizeof wanted, &wanted);
}
#else
int current_cpu() { return -1; }
int leave_cpus(const int*, std::size_t) { return -1; }
void take_affinity_of_process() {}
#endif

}  // namespace pyroberta
