// Threads: work handed out task by task, phase after phase, to whichever thread has a core.
//
// Two bodies: a pool of our own (pool.cpp) or OpenMP (openmp.cpp), as PYROBERTA_THREADS says when
// the extension is built. Results are the same to the bit, since tasks are.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>

#include "threads/floating_point.h"
#include "threads/interruption.h"

namespace pyroberta {

// The number of threads that calls use from now on; at least 1.
void set_num_threads(int n);
int num_threads();
// Those of them that find one of so many tasks to do.
inline int threads_for(std::size_t tasks) {
  return static_cast<int>(std::min(static_cast<std::size_t>(num_threads()), tasks));
}

// How the tasks of a phase are shared out: thread t begins with [first[t], first[t + 1]), in order,
// and then takes what is left at the ends of the others' shares. So a thread that has the same rows
// in every phase finds them in its own caches, which matters where the cores share none (two
// chiplets), and to the layer norms most.
struct Shares {
  static constexpr int kMost = 64;  // of more threads, some begin with the same share
  std::array<std::size_t, kMost + 1> first{};
};

// The calling thread, and what helpers it finds, for one call: made at its beginning, gone at its
// end. Arithmetic is the usual one meanwhile (floating_point.h). Nothing in it throws or allocates
// once it is made.
//
// Where this thread has an Interruption, it is asked every twentieth of a second; once it says so,
// no further task runs, of any phase.
//
// Any number of threads may have one at a time: the pool's helpers go where there is work, OpenMP
// gives each its own. In the child of a fork the pool begins anew; OpenMP's Team has one thread.
class Team {
 public:
  // At most `threads` threads in all; fewer where the system has no more to give.
  explicit Team(int threads);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  int size() const { return size_; }
  int shares() const { return std::min(size_, Shares::kMost); }

  // Calls f(task, thread) once for each task below `count`, and returns when all are done;
  // `thread` is below size(), and another one in each thread at a time. The tasks are shared out
  // evenly, in order. It does not wait for helpers that have no task. f must not throw.
  template <class F>
  void for_each(std::size_t count, const F& f) {
    const std::size_t n = static_cast<std::size_t>(shares());
    for (std::size_t from = 0; from < count; from += kMostTasks) {
      const std::size_t here = std::min(kMostTasks, count - from);
      Shares even;
      for (std::size_t t = 0; t <= n; ++t) even.first[t] = (here * t + n - 1) / n;
      run_part(even, from, f);
    }
  }

  // The same with tasks [0, shares.first[shares()]), shared out so.
  template <class F>
  void for_each(const Shares& tasks, const F& f) {
    const std::size_t count = tasks.first[static_cast<std::size_t>(shares())];
    if (count > kMostTasks) return for_each(count, f);
    run_part(tasks, 0, f);
  }

 private:
  template <class F>
  void run_part(const Shares& tasks, std::size_t from, const F& f) {
    const Part<F> part = {&f, from};
    run_phase(tasks, &Part<F>::call, &part);
  }

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

  void run_phase(const Shares& tasks, Call call, const void* context);

  // All tasks in this thread.
  void run_alone(std::size_t count, Call call, const void* context);

  // Ctrl-C has to end a call within 0.2 s; taking the GIL to see may take 5 ms where others want
  // it.
  static constexpr std::chrono::milliseconds kQuestions{50};

  // Asks the interruption, where it is time; whether it has ever said that the call shall end.
  bool ask();

  UsualArithmetic usual_arithmetic_;
  Interruption* interruption_ = Interruption::current();
  std::chrono::steady_clock::time_point next_question_ =
      std::chrono::steady_clock::now() + kQuestions;
  bool stopped_ = false;
  int slot_ = -1;  // where the pool's helpers find this team's phases; -1 for none
  int size_ = 1;
};

}  // namespace pyroberta
