// float32 vectors of eight lanes in plain C++, for any CPU. Names: see vec/avx2.h.
//
// Eight lanes, not one: a sum of 768 floats into one float32 loses about eight times what a sum
// into eight does, and then this build would need an error bound of its own.
#pragma once

#define PYROBERTA_ISA scalar

#include <cstddef>

namespace pyroberta::PYROBERTA_ISA {
namespace {

constexpr std::size_t kLanes = 8;
// The register tile of the products: 4 x 8 is 8 accumulators of SSE2's 16 registers.
constexpr int kTileRows = 4;
constexpr int kPanelVecs = 1;

struct Vec {
  float lane[kLanes];
};

template <class F>
inline Vec each(F f) {
  Vec v;
  for (std::size_t i = 0; i < kLanes; ++i) v.lane[i] = f(i);
  return v;
}

// The tables of a mapped file need not be aligned: memcpy is the one defined way to read them.
inline float read(const float* p) {
  float a;
  __builtin_memcpy(&a, p, sizeof a);
  return a;
}

inline Vec set(float a) {
  return each([&](std::size_t) { return a; });
}
inline Vec zero() { return set(0.0f); }
inline Vec load(const float* p) {
  Vec v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
inline Vec load_first(const float* p, std::size_t n) {
  return each([&](std::size_t i) { return i < n ? read(p + i) : 0.0f; });
}
inline void store_first(float* p, Vec a, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) p[i] = a.lane[i];
}
inline void store(float* p, Vec a) { __builtin_memcpy(p, &a, sizeof a); }
inline Vec keep_first(Vec a, std::size_t n) {
  return each([&](std::size_t i) { return i < n ? a.lane[i] : 0.0f; });
}
inline Vec add(Vec a, Vec b) {
  return each([&](std::size_t i) { return a.lane[i] + b.lane[i]; });
}
inline Vec sub(Vec a, Vec b) {
  return each([&](std::size_t i) { return a.lane[i] - b.lane[i]; });
}
inline Vec mul(Vec a, Vec b) {
  return each([&](std::size_t i) { return a.lane[i] * b.lane[i]; });
}
inline Vec div(Vec a, Vec b) {
  return each([&](std::size_t i) { return a.lane[i] / b.lane[i]; });
}
inline Vec fma(Vec a, Vec b, Vec c) { return add(mul(a, b), c); }
inline Vec max(Vec a, Vec b) {
  return each([&](std::size_t i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
}
inline Vec min(Vec a, Vec b) {
  return each([&](std::size_t i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; });
}
inline Vec abs(Vec a) {
  return each([&](std::size_t i) { return __builtin_fabsf(a.lane[i]); });
}
inline Vec copysign(Vec magnitude, Vec sign) {
  return each([&](std::size_t i) { return __builtin_copysignf(magnitude.lane[i], sign.lane[i]); });
}
inline Vec where_less(Vec a, Vec b, Vec yes, Vec no) {
  return each([&](std::size_t i) { return a.lane[i] < b.lane[i] ? yes.lane[i] : no.lane[i]; });
}
// Adding 1.5 * 2^23 leaves no bits for a fraction: right for |a| < 2^22, all that exp asks for.
inline Vec round(Vec a) {
  return each([&](std::size_t i) {
    volatile float shifted = a.lane[i] + 12582912.0f;
    return shifted - 12582912.0f;
  });
}
inline float power_of_two(int n) {
  const unsigned bits = static_cast<unsigned>(n + 127) << 23;
  float power;
  __builtin_memcpy(&power, &bits, sizeof power);
  return power;
}
inline Vec scale_by_power(Vec a, Vec n) {
  return each([&](std::size_t i) {
    // NaN has no int: the comparison is false for it, and a, NaN too, is kept.
    const bool whole_number = n.lane[i] >= -252.0f && n.lane[i] <= 254.0f;
    const int whole = whole_number ? static_cast<int>(n.lane[i]) : 0, half = whole / 2;
    return a.lane[i] * power_of_two(half) * power_of_two(whole - half);
  });
}

inline float sum(Vec a) {
  for (std::size_t half = kLanes / 2; half != 0; half /= 2)
    for (std::size_t i = 0; i < half; ++i) a.lane[i] += a.lane[i + half];
  return a.lane[0];
}
inline float largest(Vec a) {
  for (std::size_t half = kLanes / 2; half != 0; half /= 2)
    for (std::size_t i = 0; i < half; ++i)
      if (a.lane[i + half] > a.lane[i]) a.lane[i] = a.lane[i + half];
  return a.lane[0];
}

inline void transpose(const float* in, std::size_t in_stride, float* out, std::size_t out_stride) {
  for (std::size_t i = 0; i < kLanes; ++i)
    for (std::size_t j = 0; j < kLanes; ++j) out[j * out_stride + i] = read(in + i * in_stride + j);
}

}  // namespace
}  // namespace pyroberta::PYROBERTA_ISA
