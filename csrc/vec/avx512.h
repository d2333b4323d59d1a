// float32 vectors of sixteen lanes, on AVX-512 F, BW, DQ and VL, and where the compiler is told
// that they are there on the dot products of AVX512_BF16 and AVX512_VNNI. What each name means is
// in vec/vec.h.
#pragma once

#ifndef PYROBERTA_ISA
#define PYROBERTA_ISA avx512
#endif

#include <immintrin.h>

#include <cstddef>

namespace pyroberta::PYROBERTA_ISA {
namespace {

using Vec = __m512;
constexpr std::size_t kLanes = 16;
// The register tile of the products: 6 x 64 is 24 accumulators of the 32 registers.
constexpr int kTileRows = 6;
constexpr int kPanelVecs = 4;
constexpr bool kTwoSteps = true;

inline __mmask16 first(std::size_t n) { return static_cast<__mmask16>((1u << n) - 1); }

inline Vec zero() { return _mm512_setzero_ps(); }
inline Vec set(float a) { return _mm512_set1_ps(a); }
inline Vec load_one(const float* p) { return set(*p); }
inline Vec load(const float* p) { return _mm512_loadu_ps(p); }
inline Vec load_first(const float* p, std::size_t n) { return _mm512_maskz_loadu_ps(first(n), p); }
inline void store(float* p, Vec a) { _mm512_storeu_ps(p, a); }
inline void store_first(float* p, Vec a, std::size_t n) { _mm512_mask_storeu_ps(p, first(n), a); }
inline Vec keep_first(Vec a, std::size_t n) { return _mm512_maskz_mov_ps(first(n), a); }
inline Vec hold(Vec a) {
  asm("" : "+v"(a));
  return a;
}
inline Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
inline Vec sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
inline Vec mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
inline Vec div(Vec a, Vec b) { return _mm512_div_ps(a, b); }
inline Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
inline Vec max(Vec a, Vec b) { return _mm512_max_ps(a, b); }
inline Vec min(Vec a, Vec b) { return _mm512_min_ps(a, b); }
inline Vec abs(Vec a) { return _mm512_abs_ps(a); }
inline Vec max_magnitude(Vec a, Vec b) {
  return _mm512_castsi512_ps(_mm512_max_epi32(_mm512_castps_si512(a), _mm512_castps_si512(abs(b))));
}
inline Vec copysign(Vec magnitude, Vec sign) {
  const __m512 bit = _mm512_set1_ps(-0.0f);
  return _mm512_or_ps(_mm512_andnot_ps(bit, magnitude), _mm512_and_ps(bit, sign));
}
inline Vec where_less(Vec a, Vec b, Vec yes, Vec no) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
}
inline Vec round(Vec a) {
  return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
inline Vec scale_by_power(Vec a, Vec n) { return _mm512_scalef_ps(a, n); }

inline float sum(Vec a) { return _mm512_reduce_add_ps(a); }
inline void sum_of_four(float* p, Vec a, Vec b, Vec c, Vec d) {
  p[0] = sum(a), p[1] = sum(b), p[2] = sum(c), p[3] = sum(d);
}
inline float largest(Vec a) { return _mm512_reduce_max_ps(a); }

inline Vec even_bfloat16(Vec words) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(words), 16));
}
inline Vec odd_bfloat16(Vec words) {
  return _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(words),
                                              _mm512_set1_epi32(static_cast<int>(0xffff0000))));
}
inline Vec round_bfloat16(Vec a) {
  const __m512i bits = _mm512_castps_si512(a), one = _mm512_set1_epi32(1);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), one);
  const __m512i up = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
  const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
  const __mmask16 is_nan = _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
  return odd_bfloat16(_mm512_castsi512_ps(_mm512_mask_mov_epi32(up, is_nan, quiet)));
}
inline Vec pair_bfloat16(Vec a, Vec b) {
#ifdef __AVX512BF16__
  const auto upper_half = [](Vec v) {
    return _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(v));
  };
  const __m512i low = upper_half(a), high = _mm512_slli_epi32(upper_half(b), 16);
#else
  const __m512i low = _mm512_srli_epi32(_mm512_castps_si512(round_bfloat16(a)), 16);
  const __m512i high = _mm512_castps_si512(round_bfloat16(b));
#endif
  return _mm512_castsi512_ps(_mm512_or_si512(low, high));
}
inline void store_bfloat16(void* p, Vec a) {
#ifdef __AVX512BF16__
  const __m256bh half = _mm512_cvtneps_pbh(a);
  __builtin_memcpy(p, &half, sizeof half);
#else
  const __m512i upper = _mm512_srli_epi32(_mm512_castps_si512(round_bfloat16(a)), 16);
  _mm256_storeu_si256(static_cast<__m256i*>(p), _mm512_cvtepi32_epi16(upper));
#endif
}
inline void store_bytes(void* p, Vec a) {
  _mm_storeu_si128(static_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a)));
}
inline Vec add_ints(Vec a, Vec b) {
  return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a), _mm512_castps_si512(b)));
}
inline Vec from_ints(Vec ints) { return _mm512_cvtepi32_ps(_mm512_castps_si512(ints)); }

#ifdef __AVX512BF16__
constexpr bool kDotsBfloat16 = true;
inline Vec dot_bfloat16(Vec a, Vec b, Vec acc) {
  return _mm512_dpbf16_ps(acc, (__m512bh)a, (__m512bh)b);
}
#else
constexpr bool kDotsBfloat16 = false;
template <class V>
V dot_bfloat16(V, V, V) = delete;
#endif

#ifdef __AVX512VNNI__
constexpr bool kDotsInt8 = true;
constexpr int kCodeOffset = 128;
inline Vec dot_int8(Vec a, Vec b, Vec acc) {
  return _mm512_castsi512_ps(_mm512_dpbusd_epi32(_mm512_castps_si512(acc), _mm512_castps_si512(a),
                                                 _mm512_castps_si512(b)));
}
inline void store_codes(void* p, Vec a) {
  const __m512i codes = _mm512_add_epi32(_mm512_cvtps_epi32(a), _mm512_set1_epi32(128));
  _mm_storeu_si128(static_cast<__m128i*>(p), _mm512_cvtepi32_epi8(codes));
}
inline void store_codes_of_four(void* p, Vec a, Vec b, Vec c, Vec d) {
  const __m512i ab = _mm512_packs_epi32(_mm512_cvtps_epi32(a), _mm512_cvtps_epi32(b));
  const __m512i cd = _mm512_packs_epi32(_mm512_cvtps_epi32(c), _mm512_cvtps_epi32(d));
  // Both packs work inside 128 bits: four columns of a, b, c and d in turn. And 128 more is the
  // highest bit of the byte turned.
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m512i codes = _mm512_permutexvar_epi32(order, _mm512_packs_epi16(ab, cd));
  _mm512_storeu_si512(p, _mm512_xor_si512(codes, _mm512_set1_epi8(-128)));
}
template <class V>
V even_bytes(V) = delete;
template <class V>
V odd_bytes(V) = delete;
#else
constexpr bool kDotsInt8 = false;
constexpr int kCodeOffset = 0;
inline Vec dot_int8(Vec a, Vec b, Vec acc) {
  const __m512i products = _mm512_madd_epi16(_mm512_castps_si512(a), _mm512_castps_si512(b));
  return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(acc), products));
}
inline void store_codes(void* p, Vec a) {
  __m256i codes = _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(a));
  codes = _mm256_shufflehi_epi16(_mm256_shufflelo_epi16(codes, 0xD8), 0xD8);
  _mm256_storeu_si256(static_cast<__m256i*>(p), codes);
}
inline Vec even_bytes(Vec words) {
  const __m512i left = _mm512_slli_epi16(_mm512_castps_si512(words), 8);
  return _mm512_castsi512_ps(_mm512_srai_epi16(left, 8));
}
inline Vec odd_bytes(Vec words) {
  return _mm512_castsi512_ps(_mm512_srai_epi16(_mm512_castps_si512(words), 8));
}
#endif

inline Vec flip_signs(Vec a, unsigned minus) {
  return _mm512_mask_xor_ps(a, static_cast<__mmask16>(minus), a, _mm512_set1_ps(-0.0f));
}
inline Vec hadamard(Vec a) {
  // partner + a where the sign is 1, partner - a where it is -1: the product is exact.
  const auto stage = [&](Vec partner, __mmask16 minus) {
    const Vec sign = _mm512_mask_blend_ps(minus, _mm512_set1_ps(1.0f), _mm512_set1_ps(-1.0f));
    a = _mm512_fmadd_ps(a, sign, partner);
  };
  stage(_mm512_shuffle_f32x4(a, a, 0x4E), 0xFF00);
  stage(_mm512_shuffle_f32x4(a, a, 0xB1), 0xF0F0);
  stage(_mm512_permute_ps(a, 0x4E), 0xCCCC);
  stage(_mm512_permute_ps(a, 0xB1), 0xAAAA);
  return a;
}

inline void transpose(const float* in, std::size_t in_stride, float* out, std::size_t out_stride) {
  __m512 a[16], b[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) a[i] = load(in + static_cast<std::size_t>(i) * in_stride);
#pragma GCC unroll 16
  for (int i = 0; i < 16; i += 2) {
    b[i] = _mm512_unpacklo_ps(a[i], a[i + 1]);
    b[i + 1] = _mm512_unpackhi_ps(a[i], a[i + 1]);
  }
#pragma GCC unroll 16
  for (int i = 0; i < 16; i += 4) {
    a[i] = _mm512_shuffle_ps(b[i], b[i + 2], 0x44);
    a[i + 1] = _mm512_shuffle_ps(b[i], b[i + 2], 0xEE);
    a[i + 2] = _mm512_shuffle_ps(b[i + 1], b[i + 3], 0x44);
    a[i + 3] = _mm512_shuffle_ps(b[i + 1], b[i + 3], 0xEE);
  }
  // a[4 g + c] now holds, in 128-bit lane l, column 4 l + c of rows 4 g .. 4 g + 3.
#pragma GCC unroll 16
  for (int c = 0; c < 4; ++c) {
    const __m512 p = _mm512_shuffle_f32x4(a[c], a[4 + c], 0x88);
    const __m512 q = _mm512_shuffle_f32x4(a[8 + c], a[12 + c], 0x88);
    const __m512 r = _mm512_shuffle_f32x4(a[c], a[4 + c], 0xDD);
    const __m512 s = _mm512_shuffle_f32x4(a[8 + c], a[12 + c], 0xDD);
    const std::size_t j = static_cast<std::size_t>(c);
    store(out + j * out_stride, _mm512_shuffle_f32x4(p, q, 0x88));
    store(out + (j + 8) * out_stride, _mm512_shuffle_f32x4(p, q, 0xDD));
    store(out + (j + 4) * out_stride, _mm512_shuffle_f32x4(r, s, 0x88));
    store(out + (j + 12) * out_stride, _mm512_shuffle_f32x4(r, s, 0xDD));
  }
}

}  // namespace
}  // namespace pyroberta::PYROBERTA_ISA
