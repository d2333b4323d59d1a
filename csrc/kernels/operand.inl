// Operands: how the left side of a product is stored, for each compute type. The contract is in
// kernels.h.
#pragma once

#include <cstddef>
#include <cstring>

#include "kernels.h"
#include "kernels/rotation.inl"
#include "kernels/storage.inl"
#include "kernels/row.inl"
#include "vec/vec.h"

namespace pyroberta::PYROBERTA_ISA {
namespace {

// What bfloat16 leaves of a, for another bfloat16.
inline Vec low_part(Vec a) { return sub(a, round_bfloat16(a)); }

// A code before it is rounded, which storing it does.
inline Vec to_code(Vec x, Vec inverse) {
  return min(max(mul(x, inverse), set(-127.0f)), set(127.0f));
}

// The codes of four vectors. A template, so that only builds with the faster way need to have it.
template <class Byte>
inline void store_four_codes(Byte* codes, const Vec (&a)[4]) {
  if constexpr (kDotsInt8) {
    store_codes_of_four(codes, a[0], a[1], a[2], a[3]);
  } else {
    for (std::size_t i = 0; i < 4; ++i) store_codes(codes + i * 2 * kLanes, a[i]);
  }
}

// One int8 group of a row: codes, and the scale.
inline float quantise_group(const float* x, std::size_t n, std::size_t width, char* codes) {
  constexpr std::size_t kBytes = kLanes * (kDotsInt8 ? 1 : 2);
  float turned[kInt8Group];
  const float most = rotate_row(x, n, width, turned);
  const float inverse = most > 0.0f ? 127.0f / most : 0.0f;
  const Vec by = set(inverse);
  std::size_t c = 0;
  for (; c + 4 * kLanes <= n; c += 4 * kLanes, codes += 4 * kBytes) {
    Vec four[4];
    for (std::size_t i = 0; i < 4; ++i) four[i] = to_code(load(turned + c + i * kLanes), by);
    store_four_codes(codes, four);
  }
  for (; c < n; c += kLanes, codes += kBytes) {
    store_codes(codes, to_code(load_some(turned + c, n - c), by));
  }
  return most / 127.0f;
}

void to_operand(ComputeType type, const float* x, std::size_t x_stride, std::size_t rows,
                std::size_t k, std::size_t first_column, std::size_t last_column, float* operand) {
  const std::size_t words = operand_words(type, k), codes = code_words(type, k);
  const std::size_t count = last_column - first_column, width = rotation_width(k);
  const std::size_t scales = type == ComputeType::int8 ? int8_groups(k) : 0;
  for (std::size_t r = 0; r < rows; ++r, x += x_stride, operand += words) {
    for (std::size_t w = codes + scales; w < words; ++w) operand[w] = 0.0f;
    if (type == ComputeType::int8) {
      constexpr std::size_t kByteOf = kDotsInt8 ? 1 : 2;
      char* out = reinterpret_cast<char*>(operand);
      if (last_column == k) {  // the words that fill K up
        std::memset(out + k * kByteOf, 0, codes * sizeof(float) - k * kByteOf);
      }
      for (std::size_t c = first_column; c < last_column; c += kInt8Group) {
        const std::size_t n = last_column - c < kInt8Group ? last_column - c : kInt8Group;
        operand[codes + c / kInt8Group] =
            quantise_group(x + (c - first_column), n, width, out + c * kByteOf);
      }
    } else if (type == ComputeType::bfloat16 || (kSplits && type == ComputeType::bfloat16x3)) {
      // Whole vectors of zeros may follow K: the row is filled up to 32 columns.
      const std::size_t end = last_column == k ? 2 * tile_steps(type, k) - first_column : count;
      for (std::size_t c = 0; c < end; c += kLanes) {
        const Vec v = c < count ? load_some(x + c, count - c) : zero();
        if constexpr (kDotsBfloat16) {
          char* out = reinterpret_cast<char*>(operand) + 2 * (first_column + c);
          store_bfloat16(out, v);
          if (type == ComputeType::bfloat16x3) store_bfloat16(out + 2 * codes, low_part(v));
        } else {
          store(operand + first_column + c, round_bfloat16(v));
        }
      }
    } else {
      std::memcpy(operand + first_column, x, count * sizeof(float));
    }
  }
}

}  // namespace
}  // namespace pyroberta::PYROBERTA_ISA
