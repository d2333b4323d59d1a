// float32 vectors of eight lanes, on AVX2 and FMA. What each name means is in vec/vec.h.
#pragma once

#define PYROBERTA_ISA avx2

#include <immintrin.h>

#include <cstddef>

namespace pyroberta::PYROBERTA_ISA {
namespace {

using Vec = __m256;
constexpr std::size_t kLanes = 8;
// The register tile of the products: 6 x 16 is 12 accumulators of the 16 registers.
constexpr int kTileRows = 6;
constexpr int kPanelVecs = 2;
constexpr bool kTwoSteps = true;

inline __m256i first(std::size_t n) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), lane);
}

inline Vec zero() { return _mm256_setzero_ps(); }
inline Vec set(float a) { return _mm256_set1_ps(a); }
inline Vec load_one(const float* p) { return set(*p); }
inline Vec load(const float* p) { return _mm256_loadu_ps(p); }
inline Vec load_first(const float* p, std::size_t n) { return _mm256_maskload_ps(p, first(n)); }
inline void store(float* p, Vec a) { _mm256_storeu_ps(p, a); }
inline void store_first(float* p, Vec a, std::size_t n) { _mm256_maskstore_ps(p, first(n), a); }
inline Vec keep_first(Vec a, std::size_t n) {
  return _mm256_and_ps(a, _mm256_castsi256_ps(first(n)));
}
inline Vec hold(Vec a) {
  asm("" : "+x"(a));
  return a;
}
inline Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
inline Vec sub(Vec a, Vec b) { return _mm256_sub_ps(a, b); }
inline Vec mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
inline Vec div(Vec a, Vec b) { return _mm256_div_ps(a, b); }
inline Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
inline Vec max(Vec a, Vec b) { return _mm256_max_ps(a, b); }
inline Vec min(Vec a, Vec b) { return _mm256_min_ps(a, b); }
inline Vec abs(Vec a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
inline Vec max_magnitude(Vec a, Vec b) {
  return _mm256_castsi256_ps(_mm256_max_epi32(_mm256_castps_si256(a), _mm256_castps_si256(abs(b))));
}
inline Vec copysign(Vec magnitude, Vec sign) {
  const __m256 bit = _mm256_set1_ps(-0.0f);
  return _mm256_or_ps(_mm256_andnot_ps(bit, magnitude), _mm256_and_ps(bit, sign));
}
inline Vec where_less(Vec a, Vec b, Vec yes, Vec no) {
  return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}
inline Vec round(Vec a) {
  return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
// In two factors, since 2^n alone may be out of range.
inline Vec scale_by_power(Vec a, Vec n) {
  const __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1);
  const __m256i bias = _mm256_set1_epi32(127);
  const auto power = [&](__m256i e) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(e, bias), 23));
  };
  return mul(mul(a, power(half)), power(_mm256_sub_epi32(whole, half)));
}

inline float sum(Vec a) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  s = _mm_add_ss(s, _mm_movehdup_ps(s));
  return _mm_cvtss_f32(s);
}
inline void sum_of_four(float* p, Vec a, Vec b, Vec c, Vec d) {
  const Vec ab =
      _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
  const Vec cd =
      _mm256_add_ps(_mm256_permute2f128_ps(c, d, 0x20), _mm256_permute2f128_ps(c, d, 0x31));
  // a and c in the lower half, b and d in the upper one.
  const Vec pairs = _mm256_add_ps(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xEE));
  const Vec sums = _mm256_add_ps(_mm256_movehdup_ps(pairs), pairs);
  const __m128 ac = _mm256_castps256_ps128(sums), bd = _mm256_extractf128_ps(sums, 1);
  // Lanes 0 and 2 of each, in the order a, b, c, d.
  const __m128 both = _mm_shuffle_ps(ac, bd, 0x88);
  _mm_storeu_ps(p, _mm_shuffle_ps(both, both, 0xD8));
}
inline float largest(Vec a) {
  __m128 s = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  s = _mm_max_ps(s, _mm_movehl_ps(s, s));
  s = _mm_max_ss(s, _mm_movehdup_ps(s));
  return _mm_cvtss_f32(s);
}

inline Vec even_bfloat16(Vec words) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(words), 16));
}
inline Vec odd_bfloat16(Vec words) {
  return _mm256_castsi256_ps(_mm256_and_si256(_mm256_castps_si256(words),
                                              _mm256_set1_epi32(static_cast<int>(0xffff0000))));
}
inline Vec round_bfloat16(Vec a) {
  const __m256i bits = _mm256_castps_si256(a), one = _mm256_set1_epi32(1);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), one);
  const __m256i up = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
  const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
  const Vec is_nan = _mm256_cmp_ps(a, a, _CMP_UNORD_Q);
  return odd_bfloat16(
      _mm256_blendv_ps(_mm256_castsi256_ps(up), _mm256_castsi256_ps(quiet), is_nan));
}
inline Vec pair_bfloat16(Vec a, Vec b) {
  const __m256i low = _mm256_srli_epi32(_mm256_castps_si256(round_bfloat16(a)), 16);
  return _mm256_castsi256_ps(_mm256_or_si256(low, _mm256_castps_si256(round_bfloat16(b))));
}
inline void store_bfloat16(void* p, Vec a) {
  const __m256i upper = _mm256_srli_epi32(_mm256_castps_si256(round_bfloat16(a)), 16);
  _mm_storeu_si128(static_cast<__m128i*>(p), _mm_packus_epi32(_mm256_castsi256_si128(upper),
                                                              _mm256_extracti128_si256(upper, 1)));
}
inline void store_bytes(void* p, Vec a) {
  const __m256i low = _mm256_and_si256(_mm256_cvtps_epi32(a), _mm256_set1_epi32(255));
  const __m128i words =
      _mm_packus_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1));
  _mm_storel_epi64(static_cast<__m128i*>(p), _mm_packus_epi16(words, words));
}
inline Vec add_ints(Vec a, Vec b) {
  return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b)));
}
inline Vec from_ints(Vec ints) { return _mm256_cvtepi32_ps(_mm256_castps_si256(ints)); }

constexpr bool kDotsBfloat16 = false;
template <class V>
V dot_bfloat16(V, V, V) = delete;

// vpmaddubsw, which multiplies bytes, would saturate at 2 * 255 * 127.
constexpr bool kDotsInt8 = false;
constexpr int kCodeOffset = 0;
inline Vec dot_int8(Vec a, Vec b, Vec acc) {
  const __m256i products = _mm256_madd_epi16(_mm256_castps_si256(a), _mm256_castps_si256(b));
  return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(acc), products));
}
inline void store_codes(void* p, Vec a) {
  const __m256i codes = _mm256_cvtps_epi32(a);
  const __m128i words =
      _mm_packs_epi32(_mm256_castsi256_si128(codes), _mm256_extracti128_si256(codes, 1));
  _mm_storeu_si128(static_cast<__m128i*>(p),
                   _mm_shufflehi_epi16(_mm_shufflelo_epi16(words, 0xD8), 0xD8));
}
inline Vec even_bytes(Vec words) {
  const __m256i left = _mm256_slli_epi16(_mm256_castps_si256(words), 8);
  return _mm256_castsi256_ps(_mm256_srai_epi16(left, 8));
}
inline Vec odd_bytes(Vec words) {
  return _mm256_castsi256_ps(_mm256_srai_epi16(_mm256_castps_si256(words), 8));
}

inline Vec flip_signs(Vec a, unsigned minus) {
  const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  const __m256i here = _mm256_and_si256(_mm256_set1_epi32(static_cast<int>(minus)), bit);
  const __m256i mask = _mm256_cmpeq_epi32(here, bit);
  return _mm256_xor_ps(a, _mm256_and_ps(_mm256_castsi256_ps(mask), _mm256_set1_ps(-0.0f)));
}
inline Vec hadamard(Vec a) {
  // partner + a where the sign is 1, partner - a where it is -1: the product is exact.
  const __m256 far = _mm256_setr_ps(1, 1, 1, 1, -1, -1, -1, -1);
  const __m256 near = _mm256_setr_ps(1, 1, -1, -1, 1, 1, -1, -1);
  const __m256 next = _mm256_setr_ps(1, -1, 1, -1, 1, -1, 1, -1);
  a = fma(a, far, _mm256_permute2f128_ps(a, a, 1));
  a = fma(a, near, _mm256_permute_ps(a, 0x4E));
  return fma(a, next, _mm256_permute_ps(a, 0xB1));
}

inline void transpose(const float* in, std::size_t in_stride, float* out, std::size_t out_stride) {
  __m256 a[8], b[8];
  for (int i = 0; i < 8; ++i) a[i] = load(in + static_cast<std::size_t>(i) * in_stride);
  for (int i = 0; i < 8; i += 2) {
    b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
    b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    a[i] = _mm256_shuffle_ps(b[i], b[i + 2], 0x44);
    a[i + 1] = _mm256_shuffle_ps(b[i], b[i + 2], 0xEE);
    a[i + 2] = _mm256_shuffle_ps(b[i + 1], b[i + 3], 0x44);
    a[i + 3] = _mm256_shuffle_ps(b[i + 1], b[i + 3], 0xEE);
  }
  for (int i = 0; i < 4; ++i) {
    const std::size_t j = static_cast<std::size_t>(i);
    store(out + j * out_stride, _mm256_permute2f128_ps(a[i], a[i + 4], 0x20));
    store(out + (j + 4) * out_stride, _mm256_permute2f128_ps(a[i], a[i + 4], 0x31));
  }
}

}  // namespace
}  // namespace pyroberta::PYROBERTA_ISA
