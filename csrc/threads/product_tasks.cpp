// The contract is in product_tasks.h.
#include "threads/product_tasks.h"

#include <algorithm>

#include "kernels.h"

namespace pyroberta {

ProductTasks::ProductTasks(std::size_t rows, std::size_t panels, int threads, std::size_t together)
    : rows_(rows),
      block_(rows_of_task(rows)),
      panels_(panels),
      threads_(static_cast<std::size_t>(std::min(threads, Shares::kMost))),
      together_(together),
      total_((rows + block_ - 1) / block_ * panels) {
  for (std::size_t t = 0; t < threads_; ++t) {
    const std::size_t end = share_begin(t + 1);
    std::size_t tasks = 0;
    for (std::size_t at = share_begin(t); at < end; at = task_end(t, at)) ++tasks;
    shares_.first[t + 1] = shares_.first[t] + tasks;
  }
}

std::size_t ProductTasks::share_begin(std::size_t t) const {
  const std::size_t even = (total_ * t + threads_ - 1) / threads_;
  const std::size_t block = panels_ == 0 ? 0 : even / panels_ * panels_;
  return std::min(block + std::min(round_up(even - block, together_), panels_), total_);
}

std::size_t ProductTasks::task_end(std::size_t t, std::size_t at) const {
  const std::size_t end = share_begin(t + 1), block = at / panels_ * panels_;
  return std::min({at + round_up((end - at + 1) / 2, together_), block + panels_, end});
}

ProductTasks::Task ProductTasks::operator[](std::size_t index) const {
  std::size_t t = 0;
  while (shares_.first[t + 1] <= index) ++t;
  std::size_t at = share_begin(t);
  for (std::size_t before = shares_.first[t]; before < index; ++before) at = task_end(t, at);
  const std::size_t block = at / panels_ * panels_, row = block / panels_ * block_;
  return {row, std::min(block_, rows_ - row), at - block, task_end(t, at) - block};
}

}  // namespace pyroberta
