// The kernels that are called on their own, their work shared among threads. Pointers and sizes as
// in kernels.h; any exception is thrown before the work begins.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels.h"
#include "parallel.h"

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
// tasks are to be small, so that the threads end together. With eight equal tasks for each of 2
// threads 1x16 took 2 % (float32), 7 % (bfloat16) and 11 % (int8) longer, 1x64 2 %, 3 % and 5 %
// (Zen 5).
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

// The type whose code a build runs for `type`.
inline ComputeType type_of_build(const Kernels& kernels, ComputeType type) {
  const bool whole = type == ComputeType::bfloat16x3 && !kernels.has_bfloat16x3;
  return whole ? ComputeType::float32 : type;
}

// Lays out a whole weight; packed: packed_size(kernels, type, n, k) words. Throws
// std::bad_alloc before it begins.
void pack(const Kernels& kernels, ComputeType type, const float* w, std::size_t n, std::size_t k,
          float* packed);

// Rows of a weight in a file: `rows` rows of float32 from byte `offset` of file descriptor `file`
// on.
struct FileRows {
  int file;
  std::uint64_t offset;
  std::size_t rows;
};

// `pack` of the weight [n, k] whose rows are those of `parts`, one below the other, read piece by
// piece into a scratch that stays in the cache. Returns false where a file ends early or a read
// fails; `packed` then holds anything. Throws std::bad_alloc before it reads.
bool pack_from_files(const Kernels& kernels, ComputeType type, const std::vector<FileRows>& parts,
                     std::size_t n, std::size_t k, float* packed);

inline std::size_t packed_size(const Kernels& kernels, ComputeType type, std::size_t n,
                               std::size_t k) {
  return (n + kernels.panel - 1) / kernels.panel * kernels.panel_words(type, k);
}

// All columns of x [rows, k] as an operand [rows, operand_words(type, k)].
void to_operand(const Kernels& kernels, ComputeType type, const float* x, std::size_t rows,
                std::size_t k, float* operand);

// y = f(x w^T + bias): x [rows, k], y [rows, n], both float32; packed in `type`. Throws
// std::bad_alloc before it begins.
void linear(const Kernels& kernels, ComputeType type, const float* x, std::size_t rows,
            std::size_t k, std::size_t n, const float* packed, const float* bias,
            Activation activation, float* y);
void linear_rows(const Kernels& kernels, const LinearArgs& args);

// Rows [0, rows) in pieces of some rows: f(first, last).
void layer_norm(const Kernels& kernels, const float* x, const float* residual, const float* gamma,
                const float* beta, float eps, std::size_t rows, std::size_t cols, float* y);
void activate(const Kernels& kernels, Activation f, std::size_t rows, std::size_t cols, float* y);
void embeddings(const Kernels& kernels, const float* word, const float* type, const float* position,
                const std::int64_t* ids, const std::int64_t* types, const std::int64_t* positions,
                const float* gamma, const float* beta, float eps, std::size_t rows,
                std::size_t cols, float* y);

}  // namespace pyroberta
