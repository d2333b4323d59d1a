// Threads: work handed out task by task, phase after phase, to whichever thread has a core.
//
// A pool of our own, since OpenMP has traps that end a process (an exception that leaves a region,
// a thread that cannot be created, a fork after a region), gives each calling thread a pool of its
// own, and waits at the end of a region for threads that have nothing to do: with one of two cores
// taken by another process a call at 1x16 took 28 ms instead of 10; with this
// pool it took 18.
#pragma once

#include <algorithm>
#include <cstddef>

namespace pyroberta {

// The number of threads that calls use from now on; at least 1.
void set_num_threads(int n);
int num_threads();

// The calling thread, and what helpers it finds, for one call: made at its beginning, gone at its
// end. Subnormal numbers are taken as zero meanwhile, and the thread's floating-point environment
// is put back after. Nothing in it throws or allocates once it is made.
//
// Any number of threads may have one at a time: helpers go where there is work. In the child of a
// fork the pool begins anew.
class Team {
 public:
  // At most `threads` threads in all; fewer where the system has no more to give.
  explicit Team(int threads);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  int size() const { return size_; }

  // Calls f(task, thread) once for each task below `count`, by whichever thread is free, and
  // returns when all are done; `thread` is below size(), and another one in each thread at a time.
  // It does not wait for helpers that have no task. f must not throw.
  template <class F>
  void for_each(std::size_t count, const F& f) {
    for (std::size_t from = 0; from < count; from += kMostTasks) {
      const Part<F> part = {&f, from};
      run_phase(std::min(kMostTasks, count - from), &Part<F>::call, &part);
    }
  }

 private:
  using Call = void (*)(const void* context, std::size_t task, int thread);
  static constexpr std::size_t kMostTasks = (std::size_t{1} << 20) - 1;

  template <class F>
  struct Part {
    const F* f;
    std::size_t from;
    static void call(const void* context, std::size_t task, int thread) {
      const Part& part = *static_cast<const Part*>(context);
      (*part.f)(part.from + task, thread);
    }
  };

  void run_phase(std::size_t count, Call call, const void* context);

  int slot_ = -1;  // where helpers find this team's phases; -1 for none
  int size_ = 1;
  unsigned long long saved_environment_ = 0;
};

}  // namespace pyroberta
