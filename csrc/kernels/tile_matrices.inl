// The products of bfloat16 and int8 over small matrices (vec/neon_matrices.h): two rows of the
// operand and two columns of the weight to an instruction, twice the products of a dot product.
//
// A panel has two words of a column one behind the other, then those of the next column (kTogether
// is 2). Sums are kept as quarters, two rows of two columns, until a tile is done.
#pragma once

#include <cstddef>

#include "kernels/tile.inl"
#include "vec/vec.h"

namespace pyroberta::PYROBERTA_ISA {
namespace {

// acc += words [from, to) of each of MR rows times those of the panel: `from` and `to` are
// even. An odd row goes with itself.
template <int MR, int NV, class Multiply>
__attribute__((always_inline)) inline void multiply_quarters(const float* a, std::size_t a_stride,
                                                             const float* b, std::size_t from,
                                                             std::size_t to,
                                                             Vec (&acc)[(MR + 1) / 2][2 * NV],
                                                             Multiply multiply) {
  constexpr int kPairs = (MR + 1) / 2;
#pragma GCC unroll 1
  for (std::size_t s = from; s < to; s += 2) {
    Vec rows[kPairs];
#pragma GCC unroll 8
    for (int i = 0; i < kPairs; ++i) {
      const std::size_t one = 2 * static_cast<std::size_t>(i);
      const std::size_t other = one + 1 < MR ? one + 1 : one;
      rows[i] = load_rows(a + one * a_stride + s, a + other * a_stride + s);
    }
#pragma GCC unroll 16
    for (int v = 0; v < 2 * NV; ++v) {
      const Vec columns = load(b + s * kPanel + static_cast<std::size_t>(v) * kLanes);
#pragma GCC unroll 8
      for (int i = 0; i < kPairs; ++i) acc[i][v] = multiply(rows[i], columns, acc[i][v]);
    }
  }
}

template <bool kBytes>
struct MatrixDot {
  static constexpr std::size_t kWords = 1;
  static constexpr bool kInt8 = kBytes, kMatrices = true;
  template <int MR, int NV>
  struct Sums {
    Vec quarters[(MR + 1) / 2][2 * NV];

    __attribute__((always_inline)) inline void begin() {
#pragma GCC unroll 8
      for (int i = 0; i < (MR + 1) / 2; ++i)
#pragma GCC unroll 16
        for (int v = 0; v < 2 * NV; ++v) quarters[i][v] = zero();
    }
    __attribute__((always_inline)) inline void steps(const float* a, std::size_t a_stride,
                                                     const float* b, std::size_t from,
                                                     std::size_t to) {
      if constexpr (kBytes) {
        multiply_quarters<MR, NV>(a, a_stride, b, from, to, quarters, multiply_int8);
      } else {
        multiply_quarters<MR, NV>(a, a_stride, b, from, to, quarters, multiply_bfloat16);
      }
    }
    __attribute__((always_inline)) inline void end(Vec (&acc)[MR][NV]) {
#pragma GCC unroll 8
      for (int i = 0; i < MR; ++i)
#pragma GCC unroll 8
        for (int v = 0; v < NV; ++v) {
          const Vec a = quarters[i / 2][2 * v], b = quarters[i / 2][2 * v + 1];
          acc[i][v] = i % 2 == 0 ? first_row(a, b) : second_row(a, b);
        }
    }
  };
};

}  // namespace
}  // namespace pyroberta::PYROBERTA_ISA
