// The contract is in packing.h.
#include "packing.h"

#include <algorithm>
#include <atomic>

#include "memory.h"
#include "system.h"
#include "threads/team.h"

namespace pyroberta {

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

namespace {

// Rows [first, first + count) of the weight, one after the other to `to`.
bool read_rows(const std::vector<FileRows>& parts, std::size_t first, std::size_t count,
               std::size_t k, float* to) {
  const std::size_t row = k * sizeof(float);
  for (const FileRows& part : parts) {
    if (first < part.rows && count != 0) {
      const std::size_t here = std::min(count, part.rows - first);
      if (!read_at(part.file, part.offset + first * row, here * row, reinterpret_cast<char*>(to))) {
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

}  // namespace pyroberta
