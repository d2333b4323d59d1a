// The register tile that all products share: some rows of an operand times some vectors of a panel.
//
// One vector of the weight serves all rows of the tile. Rows stay row-major: with kTileRows of them
// it is the panel that streams.
#pragma once

#include <cstddef>

#include "vec/vec.h"

namespace pyroberta::PYROBERTA_ISA {
namespace {

constexpr std::size_t kPanel = kPanelVecs * kLanes;

// What a tile fetches into L2 while it computes.
struct Prefetch {
  const char* at = nullptr;  // the weights that the tiles after it will read
  std::size_t lines = 0;     // of 64 bytes
  bool own = false;          // its own weights too, so many bytes ahead: no tile before it has
  static constexpr std::size_t kOwnAhead = 8192;
};

// acc[i][v] = multiply(a[i], get(b[v]), acc[i][v]) for one word of each row: a [MR; a_stride].
template <int MR, int NV, class Get, class Multiply>
__attribute__((always_inline)) inline void multiply_words(const float* a, std::size_t a_stride,
                                                          const float* b, Vec (&acc)[MR][NV],
                                                          Get get, Multiply multiply) {
  Vec row[NV];
#pragma GCC unroll 8
  for (int v = 0; v < NV; ++v) row[v] = get(load(b + static_cast<std::size_t>(v) * kLanes));
#pragma GCC unroll 8
  for (int i = 0; i < MR; ++i) {
    const Vec ai = load_one(a + static_cast<std::size_t>(i) * a_stride);
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) acc[i][v] = multiply(ai, row[v], acc[i][v]);
  }
}

inline Vec same(Vec words) { return words; }

// acc += the words [from, to) of each row times those of the panel; `words` of a row to a step,
// this being number `which` of them.
template <int MR, int NV, class Get, class Multiply>
__attribute__((always_inline)) inline void multiply_steps(const float* a, std::size_t a_stride,
                                                          const float* b, std::size_t from,
                                                          std::size_t to, std::size_t words,
                                                          std::size_t which, Vec (&acc)[MR][NV],
                                                          Get get, Multiply multiply) {
#pragma GCC unroll 1
  for (std::size_t s = from; s < to; ++s) {
    multiply_words(a + s * words + which, a_stride, b + s * kPanel, acc, get, multiply);
  }
}

// The same, two steps in each turn of the loop, by which float32's products gain on x86.
// (bfloat16's and int8's gain nothing, and those of words in parts lose on AVX2.)
template <int MR, int NV, class Multiply>
__attribute__((always_inline)) inline void multiply_pairs(const float* a, std::size_t a_stride,
                                                          const float* b, std::size_t from,
                                                          std::size_t to, Vec (&acc)[MR][NV],
                                                          Multiply multiply) {
#pragma GCC unroll 2
  for (std::size_t s = from; s < to; ++s) {
    multiply_words(a + s, a_stride, b + s * kPanel, acc, same, multiply);
  }
}

// The same for words that hold two parts. Eight steps of one part, then eight of the other: in one
// loop GCC spills AVX2's accumulators. `from` is a multiple of 8.
template <int MR, int NV, class Even, class Odd, class Multiply>
__attribute__((always_inline)) inline void multiply_parts(const float* a, std::size_t a_stride,
                                                          const float* b, std::size_t from,
                                                          std::size_t to, Vec (&acc)[MR][NV],
                                                          Even even, Odd odd, Multiply multiply) {
#pragma GCC unroll 1
  for (std::size_t s = from; s < to; s += 8) {
    const std::size_t end = s + 8 < to ? s + 8 : to;
    multiply_steps(a, a_stride, b, s, end, 2, 0, acc, even, multiply);
    multiply_steps(a, a_stride, b, s, end, 2, 1, acc, odd, multiply);
  }
}

// How some steps (kPanel words of the weight each, kWords of each row of the operand) go into the
// accumulators, for each way of storing numbers.
struct Float32Dot {
  static constexpr bool kInt8 = false, kMatrices = false;
  static constexpr std::size_t kWords = 1;
  template <int MR, int NV>
  __attribute__((always_inline)) static inline void steps(const float* a, std::size_t a_stride,
                                                          const float* b, std::size_t from,
                                                          std::size_t to, Vec (&acc)[MR][NV]) {
    if constexpr (kTwoSteps) {
      multiply_pairs(a, a_stride, b, from, to, acc, fma);
    } else {
      multiply_steps(a, a_stride, b, from, to, 1, 0, acc, same, fma);
    }
  }
};

struct Bfloat16Dot {
  static constexpr bool kInt8 = false, kMatrices = false;
  static constexpr std::size_t kWords = kDotsBfloat16 ? 1 : 2;
  template <int MR, int NV>
  __attribute__((always_inline)) static inline void steps(const float* a, std::size_t a_stride,
                                                          const float* b, std::size_t from,
                                                          std::size_t to, Vec (&acc)[MR][NV]) {
    if constexpr (kDotsBfloat16) {
      multiply_steps(a, a_stride, b, from, to, 1, 0, acc, same, dot_bfloat16);
    } else {
      multiply_parts(a, a_stride, b, from, to, acc, even_bfloat16, odd_bfloat16, fma);
    }
  }
};

struct Int8Dot {
  static constexpr bool kInt8 = true, kMatrices = false;
  static constexpr std::size_t kWords = kDotsInt8 ? 1 : 2;
  template <int MR, int NV>
  __attribute__((always_inline)) static inline void steps(const float* a, std::size_t a_stride,
                                                          const float* b, std::size_t from,
                                                          std::size_t to, Vec (&acc)[MR][NV]) {
    if constexpr (kDotsInt8) {
      multiply_steps(a, a_stride, b, from, to, 1, 0, acc, same, dot_int8);
    } else {
      multiply_parts(a, a_stride, b, from, to, acc, even_bytes, odd_bytes, dot_int8);
    }
  }
};

// Calls step(from, to) over all steps of a tile whose weights are b, and fetches a few lines every
// few steps: the queue of misses is short.
template <class F>
__attribute__((always_inline)) inline void each_step(const float* b, std::size_t steps,
                                                     Prefetch next, const F& step) {
  std::size_t s = 0;
  constexpr std::size_t kSteps = 8;
  if ((next.lines != 0 || next.own) && steps >= kSteps) {
    const std::size_t lines = (next.lines * kSteps + steps - 1) / steps;
    for (; s + kSteps <= steps; s += kSteps) {
      if (next.own) {
        const char* ahead = reinterpret_cast<const char*>(b + s * kPanel) + Prefetch::kOwnAhead;
        for (std::size_t line = 0; line < kSteps * kPanel * sizeof(float) / 64; ++line) {
          __builtin_prefetch(ahead + 64 * line, 0, 2);
        }
      }
      for (std::size_t line = 0; line < lines; ++line) {
        __builtin_prefetch(next.at + 64 * line, 0, 2);
      }
      next.at += 64 * lines;
      step(s, s + kSteps);
    }
  }
  step(s, steps);
}

// acc[i][v] = start[v] + sum over the steps of a[i] * b[v]: the one product that all kernels share,
// so that its order of additions is one too. a: [MR, steps * Dot::kWords; a_stride]. b: [steps,
// kPanel]. start: NV vectors, or null for zeros; small matrices take none.
template <class Dot, int MR, int NV>
__attribute__((always_inline)) inline void tile(const float* a, std::size_t a_stride,
                                                const float* b, std::size_t steps,
                                                Vec (&acc)[MR][NV], Prefetch next = {},
                                                const float* start = nullptr) {
  if constexpr (Dot::kMatrices) {
    typename Dot::template Sums<MR, NV> sums;
    sums.begin();
    each_step(b, steps, next, [&](std::size_t from, std::size_t to) __attribute__((always_inline)) {
      sums.steps(a, a_stride, b, from, to);
    });
    sums.end(acc);
  } else {
#pragma GCC unroll 8
    for (int i = 0; i < MR; ++i)
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v) {
        acc[i][v] = start == nullptr ? zero() : load(start + static_cast<std::size_t>(v) * kLanes);
      }
    each_step(b, steps, next, [&](std::size_t from, std::size_t to) __attribute__((always_inline)) {
      Dot::steps(a, a_stride, b, from, to, acc);
    });
  }
}

// The rows of the next tile where `left` remain. What is less than two tiles is halved: 2 rows wait
// for the weights, or for their own few sums, about as long as 4 take to compute.
template <std::size_t kMost = kTileRows>
constexpr std::size_t rows_of_tile(std::size_t left) {
  if (left >= 2 * kMost) return kMost;
  return left > kMost ? (left + 1) / 2 : left;
}

// Calls f<MR, NV>() with MR = rows and NV = vecs, both known only at run time. MR is tried from
// kTileRows down, NV from kPanelVecs down.
template <class F, int MR = kTileRows, int NV = kPanelVecs>
inline void with_tile(std::size_t rows, std::size_t vecs, const F& f) {
  if (rows < MR) {
    if constexpr (MR > 1) with_tile<F, MR - 1, NV>(rows, vecs, f);
  } else if (vecs < NV) {
    if constexpr (NV > 1) with_tile<F, MR, NV - 1>(rows, vecs, f);
  } else {
    f.template operator()<MR, NV>();
  }
}

}  // namespace
}  // namespace pyroberta::PYROBERTA_ISA
