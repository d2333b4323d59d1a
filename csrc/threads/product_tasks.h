// How the work of a product is cut into tasks for threads.
#pragma once

#include <cstddef>

#include "threads/team.h"

namespace pyroberta {

// Rows at a time in a product of `rows` rows: enough to read a weight few times, few enough that
// they and a panel stay in L2 (144 rows of 768 columns are 442 KB), and evenly cut, so that threads
// with as many pieces have as much to do.
inline std::size_t rows_of_task(std::size_t rows) {
  constexpr std::size_t kMost = 144;
  const std::size_t pieces = (rows + kMost - 1) / kMost;
  return pieces == 0 ? 1 : (rows + pieces - 1) / pieces;
}

// A product's work, shared out among the threads row by row, and each share cut into tasks of some
// rows and some panels: one of half the share, then one of half of what is left, and so on
// (factoring: Hummel, Schonberg and Flynn 1992). A weight is read best in long runs, while the last
// tasks are to be small, so that the threads end together: equal tasks were slower.
class ProductTasks {
 public:
  struct Task {
    std::size_t row, rows;    // the first row, and how many
    std::size_t first, last;  // panels
  };

  // `together`: the panels that are not parted.
  ProductTasks(std::size_t rows, std::size_t panels, int threads, std::size_t together = 1);
  std::size_t count() const { return shares_.first[threads_]; }
  const Shares& shares() const { return shares_; }
  Task operator[](std::size_t index) const;

 private:
  // Panels of all rows, one row block after the other: where share t begins.
  std::size_t share_begin(std::size_t t) const;
  // Panels [at, end) of all rows are the task that begins at `at`, of share t.
  std::size_t task_end(std::size_t t, std::size_t at) const;

  std::size_t rows_, block_, panels_, threads_, together_, total_;
  Shares shares_;
};

}  // namespace pyroberta
