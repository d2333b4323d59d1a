// Threads: one team for a whole call, cheap barriers in it, work handed out task by task.
//
// Three traps of OpenMP end a process (an exception that leaves a region, a thread that cannot be
// created, a fork after a region). So: nothing inside `run_team` may throw or allocate, and the
// child of a process that has used a team runs on one thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <type_traits>

namespace pyroberta {

// The number of threads that calls use from now on; at least 1.
void set_num_threads(int n);
int num_threads();

// What OpenMP this was compiled with, e.g. "201511", or "none".
const char* openmp_version();

// The threads that run one `run_team` body together. Every thread calls the same members in the
// same order.
class Team {
 public:
  int size() const { return size_; }

  // Waits until every thread of the team has come here.
  void barrier();

  // Calls f(task) once for each task below `count`, by whichever thread is free, and waits until
  // all are done.
  template <class F>
  void for_each(std::size_t count, const F& f) {
    std::atomic<std::size_t>& next = next_[phase_of_this_thread() % 3];
    for (std::size_t task; (task = next.fetch_add(1, std::memory_order_relaxed)) < count;) f(task);
    end_phase();
  }

 private:
  friend void run_team(int threads, void (*body)(Team&, void*), void* context);
  std::size_t phase_of_this_thread() const;
  void end_phase();

  int size_ = 1;
  // Phase p counts in next_[p % 3]; next_[(p + 1) % 3] is cleared while p runs, when nobody reads
  // it: its last use was phase p - 2.
  std::atomic<std::size_t> next_[3] = {0, 0, 0};
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<unsigned> epoch_{0};
};

// Runs body(team, context) on at most `threads` threads, subnormal numbers taken as zero in each of
// them, and returns when all are through. The caller's floating-point environment is what it was.
void run_team(int threads, void (*body)(Team&, void*), void* context);

template <class F>
void run_team(int threads, F&& body) {
  using Body = std::remove_reference_t<F>;
  run_team(
      threads, [](Team& team, void* context) { (*static_cast<Body*>(context))(team); },
      const_cast<void*>(static_cast<const void*>(&body)));
}

}  // namespace pyroberta
