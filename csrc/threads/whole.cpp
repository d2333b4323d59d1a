// The contract is in whole.h.
#include "threads/whole.h"

#include <algorithm>

#include "memory.h"
#include "threads/product_tasks.h"
#include "threads/team.h"

namespace pyroberta {
namespace {

// f(first, last) over pieces of `size` of [0, count), on all threads.
template <class F>
void in_pieces(std::size_t count, std::size_t size, const F& f) {
  const std::size_t pieces = (count + size - 1) / size;
  Team(threads_for(pieces)).for_each(pieces, [&](std::size_t piece, int) {
    f(piece * size, std::min(count, (piece + 1) * size));
  });
}

}  // namespace

void to_operand(const Kernels& kernels, ComputeType type, const float* x, std::size_t rows,
                std::size_t k, float* operand) {
  in_pieces(rows, 16, [&](std::size_t first, std::size_t last) {
    kernels.to_operand(type, x + first * k, k, last - first, k, 0, k,
                       operand + first * kernels.operand_words(type, k));
  });
}

void linear(const Kernels& kernels, ComputeType type, const float* x, std::size_t rows,
            std::size_t k, std::size_t n, const float* packed, const float* bias,
            Activation activation, float* y) {
  const std::size_t words = kernels.operand_words(type, k);
  const Buffer operand(type == ComputeType::float32 ? 0 : rows * words);
  if (type != ComputeType::float32) {
    to_operand(kernels, type, x, rows, k, operand.data());
    x = operand.data();
  }
  const LinearArgs args = {.type = type,
                           .x = x,
                           .x_stride = words,
                           .rows = rows,
                           .k = k,
                           .n = n,
                           .packed = packed,
                           .bias = bias,
                           .activation = activation,
                           .y = y,
                           .y_stride = n};
  const std::size_t panels = (n + kernels.panel - 1) / kernels.panel;
  Team team(threads_for(ProductTasks(rows, panels, num_threads()).count()));
  const ProductTasks tasks(rows, panels, team.size());
  team.for_each(tasks.shares(), [&](std::size_t index, int) {
    const ProductTasks::Task task = tasks[index];
    kernels.linear(args.of_rows(task.row, task.rows), task.first, task.last);
  });
}

void linear_rows(const Kernels& kernels, const LinearArgs& args) {
  // 256 columns of 768 are 786 KB of the weight, read once for all rows of the piece.
  const std::size_t size = args.n <= 256 ? 16 : 256, pieces = (args.n + size - 1) / size;
  const std::size_t rows = rows_of_task(args.rows);
  const std::size_t tasks = (args.rows + rows - 1) / rows * pieces;
  Team(threads_for(tasks)).for_each(tasks, [&](std::size_t task, int) {
    const std::size_t row = task / pieces * rows, first = task % pieces * size;
    kernels.linear_rows(args.of_rows(row, std::min(rows, args.rows - row)), first,
                        std::min(args.n, first + size));
  });
}

void layer_norm(const Kernels& kernels, const float* x, const float* residual, const float* gamma,
                const float* beta, float eps, std::size_t rows, std::size_t cols, float* y) {
  in_pieces(rows, 64, [&](std::size_t first, std::size_t last) {
    const std::size_t at = first * cols;
    kernels.layer_norm(x + at, residual == nullptr ? nullptr : residual + at, gamma, beta, eps,
                       last - first, cols, y + at);
  });
}

void activate(const Kernels& kernels, Activation f, std::size_t rows, std::size_t cols, float* y) {
  in_pieces(rows, 64, [&](std::size_t first, std::size_t last) {
    kernels.activate(f, last - first, cols, y + first * cols);
  });
}

void embeddings(const Kernels& kernels, const float* word, const float* type, const float* position,
                const std::int64_t* ids, const std::int64_t* types, const std::int64_t* positions,
                const float* gamma, const float* beta, float eps, std::size_t rows,
                std::size_t cols, float* y) {
  in_pieces(rows, 64, [&](std::size_t first, std::size_t last) {
    kernels.embeddings(word, type, position, ids + first, types + first, positions + first, gamma,
                       beta, eps, last - first, cols, y + first * cols);
  });
}

}  // namespace pyroberta
