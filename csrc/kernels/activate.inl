// The activations. The contract is in kernels.h, the formulas in activations.py.
//
// The ones that real checkpoints use are written over vectors; the rest go lane by lane through
// the C library, whose expm1f and log1pf are within an ulp.
#pragma once

#include <math.h>
#include <cstddef>

#include "kernels.h"
#include "kernels/functions.inl"
#include "kernels/row.inl"
#include "vec/vec.h"

namespace pyroberta::PYROBERTA_ISA {
namespace {

inline float softplus(float x) { return (x > 0.0f ? x : 0.0f) + log1pf(expf(-fabsf(x))); }

template <class F>
inline Vec lanes(Vec x, F f) {
  float lane[kLanes];
  store(lane, x);
  for (float& a : lane) a = f(a);
  return load(lane);
}

inline Vec clamp(Vec x, float low, float high) { return min(set(high), max(set(low), x)); }

// One activation of one vector, f known when this is compiled.
template <Activation f>
inline Vec activate_vec(Vec x) {
  constexpr float kSelu = 1.0507009873554805f, kSeluAlpha = 1.6732632423543772f;
  const Vec one = set(1.0f);
  switch (f) {
    case Activation::gelu:
      return gelu(x);
    case Activation::gelu_clipped:
      return clamp(gelu(x), -10.0f, 10.0f);
    case Activation::gelu_tanh: {
      // x / 2 * (1 + tanh(u)) = x * sigmoid(2 u), which does not cancel where tanh nears -1.
      const Vec cube = mul(mul(x, x), x);
      const Vec u = mul(fma(set(0.044715f), cube, x), set(1.5957691216057308f));
      return mul(x, sigmoid(u));
    }
    case Activation::quick_gelu:
      return mul(x, sigmoid(mul(x, set(1.702f))));
    case Activation::relu:
      return max(zero(), x);
    case Activation::relu_squared: {
      const Vec y = max(zero(), x);
      return mul(y, y);
    }
    case Activation::relu6:
      return clamp(x, 0.0f, 6.0f);
    case Activation::leaky_relu:
      return where_less(x, zero(), mul(x, set(0.01f)), x);
    case Activation::tanh:
      return tanh(x);
    case Activation::sigmoid:
      return sigmoid(x);
    case Activation::silu:
      return mul(x, sigmoid(x));
    case Activation::hard_sigmoid:
      return clamp(fma(x, set(0.2f), set(0.2f)), 0.0f, 1.0f);
    case Activation::hard_silu:
      return mul(x, clamp(fma(x, set(0.2f), set(0.2f)), 0.0f, 1.0f));
    case Activation::hard_swish:
      return mul(x, div(clamp(add(x, set(3.0f)), 0.0f, 6.0f), set(6.0f)));
    case Activation::hard_tanh:
      return clamp(x, -1.0f, 1.0f);
    case Activation::softsign:
      return div(x, add(one, abs(x)));
    case Activation::exp:
      return exp(x);
    case Activation::elu:
      return lanes(x, [](float a) { return a > 0.0f ? a : expm1f(a); });
    case Activation::selu:
      return lanes(x,
                   [](float a) { return a > 0.0f ? kSelu * a : kSelu * kSeluAlpha * expm1f(a); });
    case Activation::softplus:
      return lanes(x, softplus);
    case Activation::log_sigmoid:
      return lanes(x, [](float a) { return -softplus(-a); });
    case Activation::sqrt_softplus:
      return lanes(x, [](float a) { return sqrtf(softplus(a)); });
    case Activation::mish:
      return mul(x, tanh(lanes(x, softplus)));
    case Activation::laplace:
      return lanes(x, [](float a) {
        // (1 + erf(d)) / 2 with d = (a - sqrt(1/2)) / (sqrt(1/(4 pi)) * sqrt(2)).
        return 0.5f * erfcf((0.707107f - a) / (0.282095f * 1.41421356f));
      });
    default:
      return x;
  }
}

template <Activation f>
void activate_run(float* y, std::size_t stride, std::size_t rows, std::size_t n) {
  const std::size_t tail = n % kLanes, whole = n - tail;
  for (std::size_t r = 0; r < rows; ++r, y += stride) {
    for (std::size_t i = 0; i < whole; i += kLanes) store(y + i, activate_vec<f>(load(y + i)));
    if (tail != 0) {
      store_first(y + whole, activate_vec<f>(load_first(y + whole, tail)), tail);
    }
  }
}

// Element by element over [rows, n; stride]. Not inlined: in the tiles of the products it would
// crowd the accumulators out of the registers.
__attribute__((noinline)) void activate_rows(Activation f, float* y, std::size_t stride,
                                             std::size_t rows, std::size_t n) {
  switch (f) {
#define ACTIVATION(name) \
  case Activation::name: \
    return activate_run<Activation::name>(y, stride, rows, n);
#define ROWWISE(name)
#include "activations.inc"
    default:
      return;
  }
}

inline Vec largest_lanes(const float* y, std::size_t n) {
  const std::size_t tail = n % kLanes, whole = n - tail;
  const float lowest = -__builtin_inff();
  Vec most = set(lowest);
  for (std::size_t i = 0; i < whole; i += kLanes) most = max(most, load(y + i));
  for (std::size_t i = whole; i < n; ++i) most = max(most, set(y[i]));
  return most;
}

inline void softmax_row(Activation f, float* y, std::size_t n) {
  const Vec most = set(largest(largest_lanes(y, n)));
  const bool logarithm = f == Activation::log_softmax;
  RowSum sums;
  each_vec(n, [&](std::size_t i, std::size_t v, std::size_t count) {
    const Vec d = sub(load_some(y + i, count), most), e = exp(d);
    sums.lanes[v] = add(sums.lanes[v], keep_some(e, count));
    store_some(y + i, logarithm ? d : e, count);
  });
  const float total = sums.total();
  const Vec by = set(logarithm ? logf(total) : total);
  each_vec(n, [&](std::size_t i, std::size_t, std::size_t count) {
    const Vec x = load_some(y + i, count);
    store_some(y + i, logarithm ? sub(x, by) : div(x, by), count);
  });
}

void activate(Activation f, std::size_t rows, std::size_t cols, float* y) {
  if (is_rowwise(f)) {
    for (std::size_t r = 0; r < rows; ++r) softmax_row(f, y + r * cols, cols);
  } else {
    activate_rows(f, y, 0, 1, rows * cols);
  }
}

}  // namespace
}  // namespace pyroberta::PYROBERTA_ISA
