// Small matrices of FEAT_I8MM and FEAT_BF16, beside the vectors of vec/neon.h.
//
// A quarter is 16 bytes of a vector, of which there are two: 2 rows of 8 bytes, or 2 x 2 numbers of
// 4 bytes, row by row. Rows are those of an operand; a quarter of a panel has two of its columns.
//
//   load_rows(p, q): p[0], p[1], q[0], q[1] in both quarters: row p above row q.
//   multiply_bfloat16(a, b, acc): acc + A B^T in each quarter, A and B being [2, 4] bfloat16 and
//   acc
//     [2, 2] float32, in an order of the CPU's own; a subnormal may count as 0.
//   multiply_int8(a, b, acc): the same for A and B [2, 8] signed bytes and acc int32, modulo 2^32.
//   first_row(a, b), second_row(a, b): row 0 or 1 of the quarters of a and then of b, as lanes.
#pragma once

#include "vec/neon.h"

namespace pyroberta::PYROBERTA_ISA {
namespace {

// The lower halves of two registers, and the upper ones.
inline float32x4_t lower_halves(float32x4_t a, float32x4_t b) {
  return vreinterpretq_f32_f64(vzip1q_f64(vreinterpretq_f64_f32(a), vreinterpretq_f64_f32(b)));
}
inline float32x4_t upper_halves(float32x4_t a, float32x4_t b) {
  return vreinterpretq_f32_f64(vzip2q_f64(vreinterpretq_f64_f32(a), vreinterpretq_f64_f32(b)));
}

inline Vec load_rows(const float* p, const float* q) {
  const float32x4_t rows = vcombine_f32(vld1_f32(p), vld1_f32(q));
  return {rows, rows};
}
inline Vec multiply_bfloat16(Vec a, Vec b, Vec acc) {
  return {vbfmmlaq_f32(acc.low, halves(a.low), halves(b.low)),
          vbfmmlaq_f32(acc.high, halves(a.high), halves(b.high))};
}
inline Vec multiply_int8(Vec a, Vec b, Vec acc) {
  return {floats(vmmlaq_s32(ints(acc.low), bytes(a.low), bytes(b.low))),
          floats(vmmlaq_s32(ints(acc.high), bytes(a.high), bytes(b.high)))};
}
inline Vec first_row(Vec a, Vec b) {
  return {lower_halves(a.low, a.high), lower_halves(b.low, b.high)};
}
inline Vec second_row(Vec a, Vec b) {
  return {upper_halves(a.low, a.high), upper_halves(b.low, b.high)};
}

}  // namespace
}  // namespace pyroberta::PYROBERTA_ISA
