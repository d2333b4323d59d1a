// Threads: one team for a whole call, work handed out task by task, phase after phase.
//
// Three traps of OpenMP end a process (an exception that leaves a region, a thread that cannot be
// created, a fork after a region). So: nothing inside `run_team` may throw or allocate, and the
// child of a process that has used a team runs on one thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <type_traits>
#include <vector>

namespace pyroberta {

// The number of threads that calls use from now on; at least 1.
void set_num_threads(int n);
int num_threads();

// What OpenMP this was compiled with, e.g. "201511", or "none".
const char* openmp_version();

// The threads that run one `run_team` body together. Every thread calls the same members in the
// same order: each call is a phase.
class Team {
 public:
  int size() const { return size_; }

  // Calls f(task) once for each task below `count`, by whichever thread is free, and returns when
  // all are done. It does not wait for threads that have no task: one that the system keeps from
  // its core finds the phases that it missed done, and the others went on without it.
  template <class F>
  void for_each(std::size_t count, const F& f) {
    Phase& phase = next_phase();
    std::size_t done = 0;
    for (std::size_t task; (task = phase.next.fetch_add(1, std::memory_order_relaxed)) < count;) {
      f(task);
      ++done;
    }
    finish(phase, static_cast<unsigned>(done), static_cast<unsigned>(count));
  }

 private:
  friend void run_team(int threads, std::size_t phases, void (*body)(Team&, void*), void* context);
  struct alignas(64) Phase {
    std::atomic<std::size_t> next{0};
    std::atomic<unsigned> done{0};
  };
  explicit Team(int size, std::size_t phases);
  Phase& next_phase();
  static void finish(Phase& phase, unsigned done, unsigned count);

  int size_;
  std::vector<Phase> phases_;
};

// Runs body(team, context) on at most `threads` threads, subnormal numbers taken as zero in each of
// them, and returns when all are through. phases: the most that the body has. The caller's
// floating-point environment is what it was. Throws std::bad_alloc before it begins.
void run_team(int threads, std::size_t phases, void (*body)(Team&, void*), void* context);

template <class F>
void run_team(int threads, std::size_t phases, F&& body) {
  using Body = std::remove_reference_t<F>;
  run_team(
      threads, phases, [](Team& team, void* context) { (*static_cast<Body*>(context))(team); },
      const_cast<void*>(static_cast<const void*>(&body)));
}

}  // namespace pyroberta
