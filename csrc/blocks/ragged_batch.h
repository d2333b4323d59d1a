// Rows of different lengths, one after the other.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pyroberta {

// Tokens of row r of the batch are x[offsets[r]] to x[offsets[r + 1]].
struct RaggedBatch {
  const std::int64_t* offsets;  // [rows + 1], from 0, not falling
  std::size_t rows;
  std::size_t tokens() const { return static_cast<std::size_t>(offsets[rows]); }
};

}  // namespace pyroberta
