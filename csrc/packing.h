// Weights as the kernels want them, from memory and from files, on all threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels.h"

namespace pyroberta {

// The type whose code a build runs for `type`.
inline ComputeType type_of_build(const Kernels& kernels, ComputeType type) {
  const bool whole = type == ComputeType::bfloat16x3 && !kernels.has_bfloat16x3;
  return whole ? ComputeType::float32 : type;
}

// The words of a packed weight [n, k].
inline std::size_t packed_size(const Kernels& kernels, ComputeType type, std::size_t n,
                               std::size_t k) {
  return (n + kernels.panel - 1) / kernels.panel * kernels.panel_words(type, k);
}

// Lays the whole weight w [n, k] out. packed: packed_size(kernels, type, n, k) words. Throws
// std::bad_alloc before it begins.
void pack(const Kernels& kernels, ComputeType type, const float* w, std::size_t n, std::size_t k,
          float* packed);

// Rows of a weight in a file: `rows` rows of float32, from byte `offset` of descriptor `file` on.
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

}  // namespace pyroberta
