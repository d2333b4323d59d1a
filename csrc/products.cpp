// The contract is in products.h.
#include "products.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

#include "memory.h"
#include "parallel.h"

namespace pyroberta {
namespace {

int threads_for(std::size_t tasks) {
  return static_cast<int>(std::min(static_cast<std::size_t>(num_threads()), tasks));
}

// f(first, last) over pieces of `size` of [0, count), on all threads.
template <class F>
void in_pieces(std::size_t count, std::size_t size, const F& f) {
  const std::size_t pieces = (count + size - 1) / size;
  Team(threads_for(pieces)).for_each(pieces, [&](std::size_t piece, int) {
    f(piece * size, std::min(count, (piece + 1) * size));
  });
}

}  // namespace

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

void pack(const Kernels& kernels, ComputeType type, const float* w, std::size_t n, std::size_t k,
          float* packed) {
  const std::size_t panels = (n + kernels.panel - 1) / kernels.panel;
  const int threads = threads_for(panels);
  const std::size_t size = kernels.panel * k;
  const Buffer scratch(size * static_cast<std::size_t>(threads));
  Team(threads).for_each(panels, [&](std::size_t panel, int thread) {
    kernels.pack(type, w, k, n, k, panel, panel + 1,
                 scratch.data() + static_cast<std::size_t>(thread) * size, packed);
  });
}

void to_operand(const Kernels& kernels, ComputeType type, const float* x, std::size_t rows,
                std::size_t k, float* operand) {
  in_pieces(rows, 16, [&](std::size_t first, std::size_t last) {
    kernels.to_operand(type, x + first * k, k, last - first, k, 0, k,
                       operand + first * kernels.operand_words(type, k));
  });
}

namespace {

// Fills `size` bytes from the file, over short reads and interruptions.
bool read_all(int file, std::uint64_t offset, std::size_t size, char* to) {
  while (size != 0) {
    const ssize_t count = pread(file, to, size, static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    to += count;
    offset += static_cast<std::uint64_t>(count);
    size -= static_cast<std::size_t>(count);
  }
  return true;
}

// Rows [first, first + count) of the weight, one after the other to `to`.
bool read_rows(const std::vector<FileRows>& parts, std::size_t first, std::size_t count,
               std::size_t k, float* to) {
  const std::size_t row = k * sizeof(float);
  for (const FileRows& part : parts) {
    if (first < part.rows && count != 0) {
      const std::size_t here = std::min(count, part.rows - first);
      if (!read_all(part.file, part.offset + first * row, here * row,
                    reinterpret_cast<char*>(to))) {
        return false;
      }
      to += here * k;
      count -= here;
      first += here;
    }
    first -= std::min(first, part.rows);
  }
  return count == 0;
}

}  // namespace

bool pack_from_files(const Kernels& kernels, ComputeType type, const std::vector<FileRows>& parts,
                     std::size_t n, std::size_t k, float* packed) {
  const std::size_t panels = (n + kernels.panel - 1) / kernels.panel;
  const int threads = threads_for(panels);
  const std::size_t piece = kernels.panel * k;
  const Buffer scratch(2 * piece * static_cast<std::size_t>(threads));
  std::atomic<bool> sound{true};
  Team(threads).for_each(panels, [&](std::size_t panel, int thread) {
    float* rows = scratch.data() + static_cast<std::size_t>(thread) * 2 * piece;
    const std::size_t first = panel * kernels.panel;
    const std::size_t count = std::min(kernels.panel, n - first);
    if (read_rows(parts, first, count, k, rows)) {
      kernels.pack(type, rows, k, count, k, 0, 1, rows + piece,
                   packed + panel * kernels.panel_words(type, k));
    } else {
      sound.store(false);
    }
  });
  return sound.load();
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
  const LinearArgs args = {type, x, words, rows, k, n, packed, bias, activation, y, n};
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
