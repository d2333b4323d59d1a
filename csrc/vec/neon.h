// float32 vectors of eight lanes, two registers of NEON each, for aarch64; and where the compiler
// is told that they are there, on the dot products of FEAT_DotProd and FEAT_BF16. What each name
// means is in vec/vec.h.
#pragma once

#ifndef PYROBERTA_ISA
#define PYROBERTA_ISA neon
#endif

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

namespace pyroberta::PYROBERTA_ISA {
namespace {

struct Vec {
  float32x4_t low, high;
};
constexpr std::size_t kLanes = 8;
// The register tile of the products: 6 x 16 is 24 accumulators of the 32 registers.
constexpr int kTileRows = 6;
constexpr int kPanelVecs = 2;
// clang 22 would spill accumulators in a loop of two steps (48 FMLA, 33 accesses to the stack).
constexpr bool kTwoSteps = false;

inline uint32x4_t bits(float32x4_t a) { return vreinterpretq_u32_f32(a); }
inline float32x4_t floats(uint32x4_t a) { return vreinterpretq_f32_u32(a); }
inline float32x4_t floats(int32x4_t a) { return vreinterpretq_f32_s32(a); }
inline int32x4_t ints(float32x4_t a) { return vreinterpretq_s32_f32(a); }
inline int16x8_t shorts(float32x4_t a) { return vreinterpretq_s16_f32(a); }

// All bits of the lanes below n.
struct Mask {
  uint32x4_t low, high;
};
inline Mask first(std::size_t n) {
  constexpr std::uint32_t kLane[8] = {0, 1, 2, 3, 4, 5, 6, 7};
  const uint32x4_t end = vdupq_n_u32(static_cast<std::uint32_t>(n));
  return {vcltq_u32(vld1q_u32(kLane), end), vcltq_u32(vld1q_u32(kLane + 4), end)};
}

inline Vec set(float a) { return {vdupq_n_f32(a), vdupq_n_f32(a)}; }
inline Vec zero() { return set(0.0f); }
// As a scalar, which a product takes as a lane of a register: the load that fills a whole register
// would also take a turn of the units that multiply (Neoverse N1: LD1R is L and V, LDR L alone).
inline Vec load_one(const float* p) {
  float a;
  __builtin_memcpy(&a, p, sizeof a);
  asm("" : "+w"(a));
  return set(a);
}
inline Vec load(const float* p) {
  const char* bytes = reinterpret_cast<const char*>(p);
  Vec a;
  __builtin_memcpy(&a.low, bytes, 16);
  __builtin_memcpy(&a.high, bytes + 16, 16);
  return a;
}
inline void store(float* p, Vec a) {
  char* bytes = reinterpret_cast<char*>(p);
  __builtin_memcpy(bytes, &a.low, 16);
  __builtin_memcpy(bytes + 16, &a.high, 16);
}
// n floats, as 4, 2 and 1.
inline void copy_first(void* to, const void* from, std::size_t n) {
  char* out = static_cast<char*>(to);
  const char* in = static_cast<const char*>(from);
  if (n & 4) {
    __builtin_memcpy(out, in, 16);
    out += 16, in += 16;
  }
  if (n & 2) {
    __builtin_memcpy(out, in, 8);
    out += 8, in += 8;
  }
  if (n & 1) __builtin_memcpy(out, in, 4);
}
inline Vec load_first(const float* p, std::size_t n) {
  Vec a = zero();
  copy_first(&a, p, n);
  return a;
}
inline void store_first(float* p, Vec a, std::size_t n) { copy_first(p, &a, n); }
inline Vec keep_first(Vec a, std::size_t n) {
  const Mask mask = first(n);
  return {floats(vandq_u32(bits(a.low), mask.low)), floats(vandq_u32(bits(a.high), mask.high))};
}
inline Vec hold(Vec a) {
  asm("" : "+w"(a.low), "+w"(a.high));
  return a;
}

inline Vec add(Vec a, Vec b) { return {vaddq_f32(a.low, b.low), vaddq_f32(a.high, b.high)}; }
inline Vec sub(Vec a, Vec b) { return {vsubq_f32(a.low, b.low), vsubq_f32(a.high, b.high)}; }
inline Vec mul(Vec a, Vec b) { return {vmulq_f32(a.low, b.low), vmulq_f32(a.high, b.high)}; }
inline Vec div(Vec a, Vec b) { return {vdivq_f32(a.low, b.low), vdivq_f32(a.high, b.high)}; }
inline Vec fma(Vec a, Vec b, Vec c) {
  return {vfmaq_f32(c.low, b.low, a.low), vfmaq_f32(c.high, b.high, a.high)};
}
inline Vec where_less(Vec a, Vec b, Vec yes, Vec no) {
  return {vbslq_f32(vcltq_f32(a.low, b.low), yes.low, no.low),
          vbslq_f32(vcltq_f32(a.high, b.high), yes.high, no.high)};
}
// FMAX and FMIN would give NaN where a is one.
inline Vec max(Vec a, Vec b) { return where_less(b, a, a, b); }
inline Vec min(Vec a, Vec b) { return where_less(a, b, a, b); }
inline Vec abs(Vec a) { return {vabsq_f32(a.low), vabsq_f32(a.high)}; }
inline Vec max_magnitude(Vec a, Vec b) {
  const Vec magnitude = abs(b);
  return {floats(vmaxq_s32(ints(a.low), ints(magnitude.low))),
          floats(vmaxq_s32(ints(a.high), ints(magnitude.high)))};
}
inline Vec copysign(Vec magnitude, Vec sign) {
  const uint32x4_t bit = vdupq_n_u32(0x80000000u);
  return {vbslq_f32(bit, sign.low, magnitude.low), vbslq_f32(bit, sign.high, magnitude.high)};
}
inline Vec flip_signs(Vec a, unsigned minus) {
  constexpr std::uint32_t kBit[8] = {1, 2, 4, 8, 16, 32, 64, 128};
  const uint32x4_t all = vdupq_n_u32(minus), sign = vdupq_n_u32(0x80000000u);
  const uint32x4_t low = vandq_u32(vtstq_u32(all, vld1q_u32(kBit)), sign);
  const uint32x4_t high = vandq_u32(vtstq_u32(all, vld1q_u32(kBit + 4)), sign);
  return {floats(veorq_u32(bits(a.low), low)), floats(veorq_u32(bits(a.high), high))};
}
inline Vec round(Vec a) { return {vrndnq_f32(a.low), vrndnq_f32(a.high)}; }
// In two factors, since 2^n alone may be out of range.
inline float32x4_t scale_by_power_of_half(float32x4_t a, float32x4_t n) {
  const int32x4_t whole = vcvtnq_s32_f32(n), half = vshrq_n_s32(whole, 1);
  const int32x4_t bias = vdupq_n_s32(127);
  a = vmulq_f32(a, floats(vshlq_n_s32(vaddq_s32(half, bias), 23)));
  return vmulq_f32(a, floats(vshlq_n_s32(vaddq_s32(vsubq_s32(whole, half), bias), 23)));
}
inline Vec scale_by_power(Vec a, Vec n) {
  return {scale_by_power_of_half(a.low, n.low), scale_by_power_of_half(a.high, n.high)};
}

inline float sum(Vec a) {
  const float32x4_t four = vaddq_f32(a.low, a.high);
  const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
  return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}
// The halves of two vectors of four, added: two lanes of a, two of b.
inline float32x4_t add_halves(float32x4_t a, float32x4_t b) {
  const float64x2_t x = vreinterpretq_f64_f32(a), y = vreinterpretq_f64_f32(b);
  return vaddq_f32(vreinterpretq_f32_f64(vzip1q_f64(x, y)),
                   vreinterpretq_f32_f64(vzip2q_f64(x, y)));
}
inline void sum_of_four(float* p, Vec a, Vec b, Vec c, Vec d) {
  const float32x4_t ab = add_halves(vaddq_f32(a.low, a.high), vaddq_f32(b.low, b.high));
  const float32x4_t cd = add_halves(vaddq_f32(c.low, c.high), vaddq_f32(d.low, d.high));
  vst1q_f32(p, vpaddq_f32(ab, cd));
}
inline float largest(Vec a) { return vmaxvq_f32(vmaxq_f32(a.low, a.high)); }
inline float32x4_t hadamard_of_half(float32x4_t a) {
  // partner + a where the sign is 1, partner - a where it is -1: the product is exact.
  constexpr float kNear[4] = {1, 1, -1, -1}, kNext[4] = {1, -1, 1, -1};
  a = vfmaq_f32(vextq_f32(a, a, 2), a, vld1q_f32(kNear));
  return vfmaq_f32(vrev64q_f32(a), a, vld1q_f32(kNext));
}
inline Vec hadamard(Vec a) {
  return {hadamard_of_half(vaddq_f32(a.low, a.high)), hadamard_of_half(vsubq_f32(a.low, a.high))};
}

inline Vec even_bfloat16(Vec words) {
  return {floats(vshlq_n_u32(bits(words.low), 16)), floats(vshlq_n_u32(bits(words.high), 16))};
}
inline Vec odd_bfloat16(Vec words) {
  const uint32x4_t upper = vdupq_n_u32(0xffff0000u);
  return {floats(vandq_u32(bits(words.low), upper)), floats(vandq_u32(bits(words.high), upper))};
}
inline float32x4_t round_bfloat16_of_half(float32x4_t a) {
  const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits(a), 16), vdupq_n_u32(1));
  const uint32x4_t up = vaddq_u32(vaddq_u32(bits(a), vdupq_n_u32(0x7fff)), odd);
  const uint32x4_t quiet = vorrq_u32(bits(a), vdupq_n_u32(0x400000));
  const uint32x4_t rounded = vbslq_u32(vceqq_f32(a, a), up, quiet);
  return floats(vandq_u32(rounded, vdupq_n_u32(0xffff0000u)));
}
inline Vec round_bfloat16(Vec a) {
  return {round_bfloat16_of_half(a.low), round_bfloat16_of_half(a.high)};
}
inline Vec pair_bfloat16(Vec a, Vec b) {
  const Vec lower = round_bfloat16(a), upper = round_bfloat16(b);
  return {floats(vsriq_n_u32(bits(upper.low), bits(lower.low), 16)),
          floats(vsriq_n_u32(bits(upper.high), bits(lower.high), 16))};
}
inline void store_bfloat16(void* p, Vec a) {
  const Vec rounded = round_bfloat16(a);
  vst1q_u16(static_cast<std::uint16_t*>(p),
            vuzp2q_u16(vreinterpretq_u16_f32(rounded.low), vreinterpretq_u16_f32(rounded.high)));
}
#ifdef __ARM_FEATURE_BF16_VECTOR_ARITHMETIC
constexpr bool kDotsBfloat16 = true;
inline bfloat16x8_t halves(float32x4_t words) { return vreinterpretq_bf16_f32(words); }
inline Vec dot_bfloat16(Vec a, Vec b, Vec acc) {
  return {vbfdotq_f32(acc.low, halves(b.low), halves(a.low)),
          vbfdotq_f32(acc.high, halves(b.high), halves(a.high))};
}
#else
constexpr bool kDotsBfloat16 = false;
template <class V>
V dot_bfloat16(V, V, V) = delete;
#endif

// Eight numbers of 16 bits, rounded to whole ones.
inline int16x8_t whole_shorts(Vec a) {
  return vcombine_s16(vmovn_s32(vcvtnq_s32_f32(a.low)), vmovn_s32(vcvtnq_s32_f32(a.high)));
}
inline void store_bytes(void* p, Vec a) {
  vst1_s8(static_cast<std::int8_t*>(p), vmovn_s16(whole_shorts(a)));
}
inline Vec add_ints(Vec a, Vec b) {
  return {floats(vaddq_s32(ints(a.low), ints(b.low))),
          floats(vaddq_s32(ints(a.high), ints(b.high)))};
}
inline Vec from_ints(Vec a) { return {vcvtq_f32_s32(ints(a.low)), vcvtq_f32_s32(ints(a.high))}; }

// Codes are signed: SDOT multiplies such bytes.
constexpr int kCodeOffset = 0;
#ifdef __ARM_FEATURE_DOTPROD
constexpr bool kDotsInt8 = true;
inline int8x16_t bytes(float32x4_t words) { return vreinterpretq_s8_f32(words); }
inline Vec dot_int8(Vec a, Vec b, Vec acc) {
  return {floats(vdotq_s32(ints(acc.low), bytes(b.low), bytes(a.low))),
          floats(vdotq_s32(ints(acc.high), bytes(b.high), bytes(a.high)))};
}
inline void store_codes(void* p, Vec a) { store_bytes(p, a); }
template <class V>
V even_bytes(V) = delete;
template <class V>
V odd_bytes(V) = delete;
#else
constexpr bool kDotsInt8 = false;
inline float32x4_t dot_int8_of_half(int16x8_t a, int16x8_t b, float32x4_t acc) {
  const int32x4_t lower = vmull_s16(vget_low_s16(a), vget_low_s16(b));
  return floats(vaddq_s32(ints(acc), vpaddq_s32(lower, vmull_high_s16(a, b))));
}
inline Vec dot_int8(Vec a, Vec b, Vec acc) {
  return {dot_int8_of_half(shorts(a.low), shorts(b.low), acc.low),
          dot_int8_of_half(shorts(a.high), shorts(b.high), acc.high)};
}
inline void store_codes(void* p, Vec a) {
  constexpr std::uint8_t kOrder[16] = {0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15};
  const uint8x16_t codes = vreinterpretq_u8_s16(whole_shorts(a));
  vst1q_u8(static_cast<std::uint8_t*>(p), vqtbl1q_u8(codes, vld1q_u8(kOrder)));
}
inline float32x4_t odd_bytes_of_half(float32x4_t words) {
  return vreinterpretq_f32_s16(vshrq_n_s16(shorts(words), 8));
}
inline Vec even_bytes(Vec words) {
  return {odd_bytes_of_half(vreinterpretq_f32_s16(vshlq_n_s16(shorts(words.low), 8))),
          odd_bytes_of_half(vreinterpretq_f32_s16(vshlq_n_s16(shorts(words.high), 8)))};
}
inline Vec odd_bytes(Vec words) {
  return {odd_bytes_of_half(words.low), odd_bytes_of_half(words.high)};
}
#endif

// A square of four.
inline void transpose_four(const float* in, std::size_t in_stride, float* out,
                           std::size_t out_stride) {
  float32x4_t a[4], b[4];
  for (std::size_t i = 0; i < 4; ++i) a[i] = vld1q_f32(in + i * in_stride);
  for (std::size_t i = 0; i < 4; i += 2) {
    b[i] = vtrn1q_f32(a[i], a[i + 1]);
    b[i + 1] = vtrn2q_f32(a[i], a[i + 1]);
  }
  for (std::size_t i = 0; i < 2; ++i) {
    const float64x2_t x = vreinterpretq_f64_f32(b[i]), y = vreinterpretq_f64_f32(b[i + 2]);
    vst1q_f32(out + i * out_stride, vreinterpretq_f32_f64(vzip1q_f64(x, y)));
    vst1q_f32(out + (i + 2) * out_stride, vreinterpretq_f32_f64(vzip2q_f64(x, y)));
  }
}
inline void transpose(const float* in, std::size_t in_stride, float* out, std::size_t out_stride) {
  for (std::size_t i = 0; i < 8; i += 4)
    for (std::size_t j = 0; j < 8; j += 4) {
      transpose_four(in + i * in_stride + j, in_stride, out + j * out_stride + i, out_stride);
    }
}

}  // namespace
}  // namespace pyroberta::PYROBERTA_ISA
