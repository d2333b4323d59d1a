// How this build stores the numbers of each compute type.
#pragma once

#include <cstddef>

#include "kernels.h"
#include "kernels/tile.inl"
#include "vec/vec.h"

namespace pyroberta::PYROBERTA_ISA {
namespace {

// Whether bfloat16x3 is stored as its parts: a row's high parts, then its low ones, each as
// bfloat16.
#ifdef PYROBERTA_TILES
constexpr bool kSplits = true;
#else
constexpr bool kSplits = false;
#endif

// The words of a column that lie one behind the other in a panel of bfloat16 or int8.
#ifdef PYROBERTA_MATRICES
constexpr std::size_t kTogether = 2;
#else
constexpr std::size_t kTogether = 1;
#endif

// The words of K in a row of an operand or of a weight; of one part of it for bfloat16x3 in parts.
inline std::size_t tile_steps(ComputeType type, std::size_t k) {
  return packed_steps(type == ComputeType::bfloat16x3 ? ComputeType::bfloat16 : type, k);
}

// The words that the codes of K take in an operand's row, before the scales of int8.
inline std::size_t code_words(ComputeType type, std::size_t k) {
  if (kSplits && type == ComputeType::bfloat16x3) return 2 * tile_steps(type, k);
  const std::size_t steps = packed_steps(type, k);
  if (type == ComputeType::bfloat16) return steps * Bfloat16Dot::kWords;
  if (type == ComputeType::int8) return steps * Int8Dot::kWords;
  return steps;
}

// The bytes of a column in an operand's row: of one part of it for bfloat16x3 in parts.
inline std::size_t operand_bytes(ComputeType type) {
  if (type == ComputeType::int8) return kDotsInt8 ? 1 : 2;
  return type == ComputeType::float32 || !kDotsBfloat16 ? 4 : 2;
}

std::size_t operand_words(ComputeType type, std::size_t k) {
  const std::size_t scales = type == ComputeType::int8 ? int8_groups(k) : 0;
  const std::size_t words = code_words(type, k) + scales;
  if (!kSplits || type == ComputeType::float32) return words;
  // An odd number of cache lines: the 16 rows of a tile then lie in 16 sets of L1.
  return (words + 15) / 16 / 2 * 32 + 16;
}

std::size_t panel_words(ComputeType type, std::size_t k) {
  const std::size_t scales = type == ComputeType::int8 ? 1 + int8_groups(k) : 0;
  const bool split = kSplits && type == ComputeType::bfloat16x3;
  return (split ? 2 * tile_steps(type, k) : packed_steps(type, k) + scales) * kPanel;
}

}  // namespace
}  // namespace pyroberta::PYROBERTA_ISA
