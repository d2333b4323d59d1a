// float32 vectors of sixteen lanes, on AVX-512 F, BW, DQ and VL. Names: see vec/avx2.h.
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

inline __mmask16 first(std::size_t n) { return static_cast<__mmask16>((1u << n) - 1); }

inline Vec zero() { return _mm512_setzero_ps(); }
inline Vec set(float a) { return _mm512_set1_ps(a); }
inline Vec load(const float* p) { return _mm512_loadu_ps(p); }
inline Vec load_first(const float* p, std::size_t n) { return _mm512_maskz_loadu_ps(first(n), p); }
inline void store(float* p, Vec a) { _mm512_storeu_ps(p, a); }
inline void store_first(float* p, Vec a, std::size_t n) { _mm512_mask_storeu_ps(p, first(n), a); }
inline Vec keep_first(Vec a, std::size_t n) { return _mm512_maskz_mov_ps(first(n), a); }
inline Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
inline Vec sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
inline Vec mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
inline Vec div(Vec a, Vec b) { return _mm512_div_ps(a, b); }
inline Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }  // a * b + c
inline Vec max(Vec a, Vec b) { return _mm512_max_ps(a, b); }
inline Vec min(Vec a, Vec b) { return _mm512_min_ps(a, b); }
inline Vec abs(Vec a) { return _mm512_abs_ps(a); }
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
inline float largest(Vec a) { return _mm512_reduce_max_ps(a); }

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
