// A row of numbers, vector by vector: its end, where some lanes may not exist, and its sum.
#pragma once

#include <cstddef>

#include "kernels.h"
#include "vec/vec.h"

namespace pyroberta::PYROBERTA_ISA {
namespace {

// The vectors that kRowLanes lanes are.
constexpr std::size_t kRowVecs = kRowLanes / kLanes;

// The first n lanes, 0 in the others; all of them where n is kLanes or more.
inline Vec load_some(const float* p, std::size_t n) {
  return n >= kLanes ? load(p) : load_first(p, n);
}
inline void store_some(float* p, Vec a, std::size_t n) {
  n >= kLanes ? store(p, a) : store_first(p, a, n);
}
inline Vec keep_some(Vec a, std::size_t n) { return n >= kLanes ? a : keep_first(a, n); }

// Calls use(i, v, count) for each vector of a row of n numbers: `count` of them, from number i on,
// which belong to vector v of kRowVecs.
template <class F>
__attribute__((always_inline)) inline void each_vec(std::size_t n, const F& use) {
  const std::size_t tail = n % kRowLanes, whole = n - tail;
#pragma GCC unroll 1
  for (std::size_t i = 0; i < whole; i += kRowLanes) {
#pragma GCC unroll 8
    for (std::size_t v = 0; v < kRowVecs; ++v) use(i + v * kLanes, v, kLanes);
  }
#pragma GCC unroll 8
  for (std::size_t v = 0; v < kRowVecs; ++v) {
    const std::size_t before = v * kLanes;
    if (before < tail) {
      use(whole + before, v, tail - before < kLanes ? tail - before : kLanes);
    }
  }
}

// A row's lanes in one vector, whose sum is the row's.
inline Vec halves_of_row(const Vec (&lanes)[kRowVecs]) {
  Vec halves[kRowVecs];
#pragma GCC unroll 8
  for (std::size_t v = 0; v < kRowVecs; ++v) halves[v] = lanes[v];
#pragma GCC unroll 8
  for (std::size_t n = kRowVecs / 2; n != 0; n /= 2)
#pragma GCC unroll 8
    for (std::size_t v = 0; v < n; ++v) halves[v] = add(halves[v], halves[v + n]);
  return halves[0];
}

// The sum of a row's lanes, in the order of kernels.h.
inline float sum_of_row(const Vec (&lanes)[kRowVecs]) { return sum(halves_of_row(lanes)); }

// What a row sums up to, lane by lane. A vector that the row has no more is not touched: adding +0
// changes no sum that began with +0.
struct RowSum {
  Vec lanes[kRowVecs];

  RowSum() {
    for (Vec& v : lanes) v = zero();
  }
  float total() const { return sum_of_row(lanes); }
};

}  // namespace
}  // namespace pyroberta::PYROBERTA_ISA
