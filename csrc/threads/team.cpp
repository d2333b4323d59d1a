// What both bodies of Team share (pool.cpp, openmp.cpp). The contract is in team.h.
#include "threads/team.h"

#include <atomic>

namespace pyroberta {
namespace {

std::atomic<int> threads_wanted{1};

}  // namespace

void set_num_threads(int n) { threads_wanted.store(std::max(1, n)); }
int num_threads() { return threads_wanted.load(); }

bool Team::ask() {
  if (interruption_ == nullptr || stopped_) return stopped_;
  const auto now = std::chrono::steady_clock::now();
  if (now < next_question_) return false;
  next_question_ = now + kQuestions;
  stopped_ = interruption_->asked();
  return stopped_;
}

void Team::run_alone(std::size_t count, Call call, const void* context) {
  for (std::size_t task = 0; task < count && !stopped_; ++task) {
    call(context, task, 0);
    ask();
  }
}

}  // namespace pyroberta
