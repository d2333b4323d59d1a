// float32 vectors of eight lanes in plain C++, for any CPU. What each name means is in vec/vec.h.
//
// Eight lanes, not one: a sum of 768 floats into one float32 loses about eight times what a sum
// into eight does, and then this build would need an error bound of its own.
#pragma once

#define PYROBERTA_ISA scalar

#include <cstddef>
#include <cstdint>

namespace pyroberta::PYROBERTA_ISA {
namespace {

constexpr std::size_t kLanes = 8;
// The register tile of the products: 4 x 8 is 8 accumulators of SSE2's 16 registers.
constexpr int kTileRows = 4;
constexpr int kPanelVecs = 1;
constexpr bool kTwoSteps = true;

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
inline Vec load_one(const float* p) { return set(read(p)); }
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
inline Vec hold(Vec a) { return a; }
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
inline Vec fma(Vec a, Vec b, Vec c) {
#ifdef __FP_FAST_FMAF
  return each([&](std::size_t i) { return __builtin_fmaf(a.lane[i], b.lane[i], c.lane[i]); });
#else
  // x86 before AVX2. Rounded once by way of double, with a check for what would round twice there,
  // a call takes ten times as long (base size, 1 x 16 tokens: a block 89 and 9.3 ms, AMD EPYC).
  return add(mul(a, b), c);
#endif
}
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
inline void sum_of_four(float* p, Vec a, Vec b, Vec c, Vec d) {
  p[0] = sum(a), p[1] = sum(b), p[2] = sum(c), p[3] = sum(d);
}
inline float largest(Vec a) {
  for (std::size_t half = kLanes / 2; half != 0; half /= 2)
    for (std::size_t i = 0; i < half; ++i)
      if (a.lane[i + half] > a.lane[i]) a.lane[i] = a.lane[i + half];
  return a.lane[0];
}

inline std::uint32_t bits_of(float a) {
  std::uint32_t bits;
  __builtin_memcpy(&bits, &a, sizeof bits);
  return bits;
}
inline float from_bits(std::uint32_t bits) {
  float a;
  __builtin_memcpy(&a, &bits, sizeof a);
  return a;
}
inline Vec max_magnitude(Vec a, Vec b) {
  return each([&](std::size_t i) {
    const float magnitude = __builtin_fabsf(b.lane[i]);
    return bits_of(a.lane[i]) > bits_of(magnitude) ? a.lane[i] : magnitude;
  });
}
inline Vec even_bfloat16(Vec words) {
  return each([&](std::size_t i) { return from_bits(bits_of(words.lane[i]) << 16); });
}
inline Vec odd_bfloat16(Vec words) {
  return each([&](std::size_t i) { return from_bits(bits_of(words.lane[i]) & 0xffff0000u); });
}
inline Vec round_bfloat16(Vec a) {
  return each([&](std::size_t i) {
    const std::uint32_t bits = bits_of(a.lane[i]);
    const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
    const std::uint32_t up = bits + 0x7fffu + ((bits >> 16) & 1u);
    return from_bits((is_nan ? bits | 0x400000u : up) & 0xffff0000u);
  });
}
inline Vec pair_bfloat16(Vec a, Vec b) {
  const Vec low = round_bfloat16(a), high = round_bfloat16(b);
  return each(
      [&](std::size_t i) { return from_bits(bits_of(low.lane[i]) >> 16 | bits_of(high.lane[i])); });
}
inline void store_bfloat16(void* p, Vec a) {
  const Vec rounded = round_bfloat16(a);
  std::uint16_t halves[kLanes];
  for (std::size_t i = 0; i < kLanes; ++i) {
    halves[i] = static_cast<std::uint16_t>(bits_of(rounded.lane[i]) >> 16);
  }
  __builtin_memcpy(p, halves, sizeof halves);
}
// Whole numbers, but for NaN and what an int16 does not hold: those become 0.
inline int whole_number(float a) {
  return a >= -32768.0f && a <= 32767.0f ? static_cast<int>(a) : 0;
}
inline void store_bytes(void* p, Vec a) {
  const Vec rounded = round(a);
  std::uint8_t bytes[kLanes];
  for (std::size_t i = 0; i < kLanes; ++i) {
    bytes[i] = static_cast<std::uint8_t>(whole_number(rounded.lane[i]));
  }
  __builtin_memcpy(p, bytes, sizeof bytes);
}
inline Vec add_ints(Vec a, Vec b) {
  return each([&](std::size_t i) { return from_bits(bits_of(a.lane[i]) + bits_of(b.lane[i])); });
}
inline Vec from_ints(Vec ints) {
  return each([&](std::size_t i) {
    return static_cast<float>(static_cast<std::int32_t>(bits_of(ints.lane[i])));
  });
}
constexpr bool kDotsBfloat16 = false;
template <class V>
V dot_bfloat16(V, V, V) = delete;

constexpr bool kDotsInt8 = false;
constexpr int kCodeOffset = 0;
inline std::int32_t half(float word, int shift) {
  return static_cast<std::int16_t>(bits_of(word) >> shift);
}
inline Vec dot_int8(Vec a, Vec b, Vec acc) {
  return each([&](std::size_t i) {
    const std::int32_t products =
        half(a.lane[i], 0) * half(b.lane[i], 0) + half(a.lane[i], 16) * half(b.lane[i], 16);
    return from_bits(bits_of(acc.lane[i]) + static_cast<std::uint32_t>(products));
  });
}
inline void store_codes(void* p, Vec a) {
  const Vec rounded = round(a);
  std::int16_t codes[kLanes];
  for (std::size_t i = 0; i < kLanes; ++i) {
    const std::size_t place = (i & ~std::size_t{3}) + (i % 4 == 1 ? 2 : i % 4 == 2 ? 1 : i % 4);
    codes[place] = static_cast<std::int16_t>(whole_number(rounded.lane[i]));
  }
  __builtin_memcpy(p, codes, sizeof codes);
}
inline Vec even_bytes(Vec words) {
  return each([&](std::size_t i) {
    const std::uint32_t w = bits_of(words.lane[i]);
    const int low = static_cast<std::int8_t>(w), high = static_cast<std::int8_t>(w >> 16);
    return from_bits((static_cast<std::uint32_t>(low) & 0xffffu) | static_cast<std::uint32_t>(high)
                                                                       << 16);
  });
}
inline Vec odd_bytes(Vec words) {
  return even_bytes(each([&](std::size_t i) { return from_bits(bits_of(words.lane[i]) >> 8); }));
}

inline Vec flip_signs(Vec a, unsigned minus) {
  return each([&](std::size_t i) { return minus >> i & 1u ? -a.lane[i] : a.lane[i]; });
}
inline Vec hadamard(Vec a) {
  for (std::size_t stride = kLanes / 2; stride != 0; stride /= 2) {
    a = each([&](std::size_t i) {
      const float partner = a.lane[(i ^ stride) % kLanes];
      return i & stride ? partner - a.lane[i] : a.lane[i] + partner;
    });
  }
  return a;
}

inline void transpose(const float* in, std::size_t in_stride, float* out, std::size_t out_stride) {
  for (std::size_t i = 0; i < kLanes; ++i)
    for (std::size_t j = 0; j < kLanes; ++j) out[j * out_stride + i] = read(in + i * in_stride + j);
}

}  // namespace
}  // namespace pyroberta::PYROBERTA_ISA
