// Team over a pool of our own. The contract is in team.h.
//
// OpenMP (openmp.cpp) has traps that end a process (an exception that leaves a region, a thread
// that cannot be created, a fork after a region), gives each calling thread a pool of its own, and
// waits at the end of a region for threads that have nothing to do: where another process takes one
// of two cores, a short call then takes far longer than with this pool.

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>

#include "system.h"
#include "threads/placement.h"
#include "threads/team.h"

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace pyroberta {
namespace {

inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// What is left of a share in one number, so that a task is taken by one compare-and-exchange: 24
// bits that tell the phase from those before, 20 of where the share ends, 20 of where it begins.
constexpr std::uint64_t kTaskMask = (1u << 20) - 1;
constexpr std::uint64_t share_of(std::uint64_t phase, std::uint64_t begin, std::uint64_t end) {
  return phase << 40 | end << 20 | begin;
}
constexpr std::uint64_t phase_of(std::uint64_t share) { return share >> 40; }
constexpr std::uint64_t end_of(std::uint64_t share) { return share >> 20 & kTaskMask; }
constexpr std::uint64_t begin_of(std::uint64_t share) { return share & kTaskMask; }

struct Share {
  alignas(64) std::atomic<std::uint64_t> left{0};
};

// Where one team's phases stand for helpers to find. Slots are never freed, so a helper that comes
// late reads one that is another team's by then, and its compare-and-exchange fails. It reads
// nothing of the caller's (call, context) that it uses before it has taken a task, and the caller
// goes on only when every task that was taken is done.
struct Slot {
  std::array<Share, Shares::kMost> shares;
  std::atomic<void (*)(const void*, std::size_t, int)> call{nullptr};
  std::atomic<const void*> context{nullptr};
  std::atomic<unsigned> count{0};             // tasks of this phase
  std::atomic<bool> stopped{false};           // the team is to do no more of them
  alignas(64) std::atomic<unsigned> done{0};  // of them
  // Which team has the slot, in the upper bits, and in the lower 16 how many threads have joined
  // it: a helper's number among them is its own for as long as the team lasts.
  alignas(64) std::atomic<std::uint64_t> members{0};
  std::atomic<int> most_members{0};
  std::atomic<unsigned> signal{0};  // changes with each phase, and when the team goes
  // The CPU that each of the first members was on when it last woke (the caller: at the last
  // phase), or -1.
  std::array<std::atomic<int>, Shares::kMost> places{};
};
constexpr std::uint64_t kMemberMask = 0xffff, kClosed = kMemberMask;

constexpr int kSlots = 64;
Slot slots[kSlots];
std::atomic<std::uint64_t> taken_slots{0}, open_slots{0};  // a bit for each
std::atomic<unsigned> teams_begun{0};

std::mutex pool_mutex;
int helpers = 0;  // that there are, under pool_mutex

// A phase that ends after so many turns most likely waits for a thread that has lost its core,
// perhaps to us. Between calls helpers spin ten times as often, since waking one takes longer than
// many a phase.
constexpr int kSpins = 2000, kIdleSpins = 20000;

// Takes and runs one task of a share, if it has one left: the first, or with `last` the last.
bool run_task_of(Slot& slot, Share& share, std::uint64_t team, int thread, bool last) {
  std::uint64_t left = share.left.load(std::memory_order_acquire);
  for (;;) {
    if (begin_of(left) >= end_of(left)) return false;
    if (slot.members.load(std::memory_order_acquire) >> 16 != team) return false;
    const auto call = slot.call.load(std::memory_order_relaxed);
    const void* context = slot.context.load(std::memory_order_relaxed);
    const std::uint64_t without = last ? left - (std::uint64_t{1} << 20) : left + 1;
    if (!share.left.compare_exchange_weak(left, without, std::memory_order_acq_rel,
                                          std::memory_order_acquire)) {
      continue;
    }
    const unsigned count = slot.count.load(std::memory_order_relaxed);
    if (!slot.stopped.load(std::memory_order_relaxed)) {
      call(context, last ? end_of(left) - 1 : begin_of(left), thread);
    }
    if (slot.done.fetch_add(1, std::memory_order_acq_rel) + 1 == count) slot.done.notify_all();
    return true;
  }
}

// Takes and runs one task of the slot's phase, if it has one left: of the thread's own share, else
// of another's. `team` is what the slot's members tell while the caller's team has it.
bool run_task(Slot& slot, std::uint64_t team, int thread, int shares) {
  for (int i = 0; i < shares; ++i) {
    Share& share = slot.shares[static_cast<std::size_t>((thread + i) % shares)];
    if (run_task_of(slot, share, team, thread, i != 0)) return true;
  }
  return false;
}

// Moves a helper that has just woken off the other members' CPUs. Left to itself the system may
// keep it on the caller's for many calls while another one is idle, and such a call takes up to
// twice as long.
void keep_apart(Slot& slot, int thread, int members) {
  std::array<int, Shares::kMost> taken{};
  for (int i = 0; i < members; ++i) {
    taken[static_cast<std::size_t>(i)] =
        i == thread ? -1 : slot.places[static_cast<std::size_t>(i)].load(std::memory_order_relaxed);
  }
  const int here = leave_cpus(taken.data(), static_cast<std::size_t>(members));
  if (thread < members) {
    slot.places[static_cast<std::size_t>(thread)].store(here, std::memory_order_relaxed);
  }
}

// Joins the slot's team if it wants one more, and helps until the team has gone.
bool help(Slot& slot) {
  std::uint64_t members = slot.members.load(std::memory_order_acquire);
  const std::uint64_t team = members >> 16;
  do {
    const std::uint64_t joined = members & kMemberMask;
    if (members >> 16 != team || joined == kClosed ||
        joined >= static_cast<std::uint64_t>(slot.most_members.load(std::memory_order_relaxed))) {
      return false;
    }
  } while (!slot.members.compare_exchange_weak(members, members + 1, std::memory_order_acq_rel,
                                               std::memory_order_acquire));
  const int thread = static_cast<int>(members & kMemberMask);
  const int shares = std::min(slot.most_members.load(std::memory_order_relaxed), Shares::kMost);
  keep_apart(slot, thread, shares);
  int spins = 0;
  for (;;) {
    const unsigned signal = slot.signal.load(std::memory_order_acquire);
    if (run_task(slot, team, thread, shares)) {
      spins = 0;
    } else if (slot.members.load(std::memory_order_acquire) >> 16 != team) {
      return true;
    } else if (++spins < kSpins) {
      pause();
    } else {
      slot.signal.wait(signal, std::memory_order_acquire);
      keep_apart(slot, thread, shares);
      spins = 0;
    }
  }
}

void be_a_helper() {
  const UsualArithmetic usual_arithmetic;
  take_affinity_of_process();
  int spins = 0;
  for (;;) {
    const unsigned begun = teams_begun.load(std::memory_order_acquire);
    bool helped = false;
    for (std::uint64_t open = open_slots.load(std::memory_order_acquire); open != 0;
         open &= open - 1) {
      helped = help(slots[std::countr_zero(open)]) || helped;
    }
    if (helped) {
      spins = 0;
    } else if (++spins < kIdleSpins) {
      pause();
    } else {
      teams_begun.wait(begun, std::memory_order_acquire);
      take_affinity_of_process();
      spins = 0;
    }
  }
}

void before_fork() { pool_mutex.lock(); }
void after_fork_in_parent() { pool_mutex.unlock(); }
// The child has the thread that called fork and no other: no helper, and no team.
void after_fork_in_child() {
  helpers = 0;
  taken_slots.store(0);
  open_slots.store(0);
  for (Slot& slot : slots) {
    slot.members.store(((slot.members.load() >> 16) + 1) << 16 | kClosed);
    for (Share& share : slot.shares)
      share.left.store(share_of(phase_of(share.left.load()) + 1, 0, 0));
    slot.done.store(0);
  }
  pool_mutex.unlock();
}

// Set when the extension is loaded, so that no fork comes before them.
const bool handlers_set = at_fork(before_fork, after_fork_in_parent, after_fork_in_child);

// So many helpers, or as many as the system gives; says how many there are.
int ensure_helpers(int wanted) {
  const std::lock_guard<std::mutex> lock(pool_mutex);
  if (!handlers_set || helpers >= wanted) return helpers;
  const SignalsBlocked in_helpers;
  try {
    for (; helpers < wanted; ++helpers) std::thread(be_a_helper).detach();
  } catch (const std::system_error&) {
  } catch (const std::bad_alloc&) {
  }
  return helpers;
}

int take_slot() {
  std::uint64_t taken = taken_slots.load(std::memory_order_relaxed);
  for (;;) {
    const int slot = std::countr_one(taken);
    if (slot >= kSlots) return -1;
    if (taken_slots.compare_exchange_weak(taken, taken | std::uint64_t{1} << slot,
                                          std::memory_order_acq_rel)) {
      return slot;
    }
  }
}

}  // namespace

Team::Team(int threads) {
  if (threads <= 1) return;
  size_ = 1 + std::min(threads - 1, ensure_helpers(threads - 1));
  if (size_ > 1) slot_ = take_slot();
  if (slot_ < 0) {
    size_ = 1;
    return;
  }
  Slot& slot = slots[slot_];
  const std::uint64_t team = (slot.members.load(std::memory_order_relaxed) >> 16) + 1;
  slot.most_members.store(size_, std::memory_order_relaxed);
  slot.stopped.store(false, std::memory_order_relaxed);
  for (auto& place : slot.places) place.store(-1, std::memory_order_relaxed);
  slot.places[0].store(current_cpu(), std::memory_order_relaxed);
  slot.members.store(team << 16 | 1, std::memory_order_release);
  open_slots.fetch_or(std::uint64_t{1} << slot_, std::memory_order_acq_rel);
  teams_begun.fetch_add(1, std::memory_order_acq_rel);
  teams_begun.notify_all();
}

Team::~Team() {
  if (slot_ >= 0) {
    Slot& slot = slots[slot_];
    open_slots.fetch_and(~(std::uint64_t{1} << slot_), std::memory_order_acq_rel);
    const std::uint64_t team = (slot.members.load(std::memory_order_relaxed) >> 16) + 1;
    slot.members.store(team << 16 | kClosed, std::memory_order_release);
    slot.signal.fetch_add(1, std::memory_order_acq_rel);
    slot.signal.notify_all();
    taken_slots.fetch_and(~(std::uint64_t{1} << slot_), std::memory_order_acq_rel);
  }
}

void Team::run_phase(const Shares& tasks, Call call, const void* context) {
  const std::size_t n = static_cast<std::size_t>(shares()), count = tasks.first[n];
  if (slot_ < 0) return run_alone(count, call, context);
  if (stopped_) return;
  Slot& slot = slots[slot_];
  slot.call.store(call, std::memory_order_relaxed);
  slot.context.store(context, std::memory_order_relaxed);
  slot.count.store(static_cast<unsigned>(count), std::memory_order_relaxed);
  slot.done.store(0, std::memory_order_relaxed);
  for (std::size_t t = 0; t < n; ++t) {
    std::atomic<std::uint64_t>& left = slot.shares[t].left;
    const std::uint64_t phase = phase_of(left.load(std::memory_order_relaxed)) + 1;
    left.store(share_of(phase, tasks.first[t], tasks.first[t + 1]), std::memory_order_release);
  }
  if (count > 1) {
    slot.places[0].store(current_cpu(), std::memory_order_relaxed);
    slot.signal.fetch_add(1, std::memory_order_acq_rel);
    slot.signal.notify_all();
  }
  const std::uint64_t team = slot.members.load(std::memory_order_relaxed) >> 16;
  while (run_task(slot, team, 0, shares())) {
    if (ask()) slot.stopped.store(true, std::memory_order_relaxed);
  }
  for (int spins = 0; spins < kSpins; ++spins) {
    if (slot.done.load(std::memory_order_acquire) == count) return;
    pause();
  }
  for (unsigned now; (now = slot.done.load(std::memory_order_acquire)) != count;) {
    slot.done.wait(now, std::memory_order_acquire);
  }
}

}  // namespace pyroberta
