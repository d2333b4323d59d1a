// The vectors that kernels are written over: what an instruction set has to define, and its laws.
//
// An instruction set is one header in this folder, included before this one. In its own namespace,
// PYROBERTA_ISA, and an unnamed one it defines the type Vec, the constants and the operations
// below. Each operation stands here with what it gives; OPERATION is a check, when this is
// compiled, that the set has it and of which type. An operation is in every set or in none: one
// that only some sets can do has a constant that says so, and is deleted in the others, so that a
// use of it there does not compile. tests/vec holds each operation of each set to the words here.
//
// In these words a lane is one of the kLanes float32 of a vector, lane 0 the first in memory.
// Pointers need no alignment, and memory is touched where it is said alone. What is not said to
// differ has the same bits in every set, but for NaN: which NaN a result is, is said only where it
// is known. Nothing is said of signalling NaN, nor of rounding modes other than to nearest, ties
// to even.
#pragma once

#ifndef PYROBERTA_ISA
#include "vec/scalar.h"  // so that a kernel alone, in an editor, can be read
#endif

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "kernels.h"

namespace pyroberta::PYROBERTA_ISA {
namespace {

// The constants.
//
//   kLanes         float32 in a Vec
//   kTileRows      rows in the register tile of the products, and
//   kPanelVecs     vectors in it: kTileRows * kPanelVecs accumulators, as many as leave registers
//                  for one row of vectors of the weight and one number of x
//   kTwoSteps      whether float32's products gain by two steps in each turn of their loop
//   kDotsBfloat16  whether the set multiplies pairs of bfloat16: then it has dot_bfloat16
//   kDotsInt8      whether it multiplies fours of bytes without saturating: see dot_int8
//   kCodeOffset    what store_codes adds to a code, 0 or 128: with kDotsInt8, where the bytes that
//                  dot_int8 takes of a are unsigned
#define CONSTANT(name, ...) \
  static_assert(std::is_same_v<decltype(PYROBERTA_ISA::name), const __VA_ARGS__>)
CONSTANT(kLanes, std::size_t);
CONSTANT(kTileRows, int);
CONSTANT(kPanelVecs, int);
CONSTANT(kTwoSteps, bool);
CONSTANT(kDotsBfloat16, bool);
CONSTANT(kDotsInt8, bool);
CONSTANT(kCodeOffset, int);
#undef CONSTANT

// The laws: what the kernels take for granted of them.
static_assert(__is_trivially_copyable(Vec) && sizeof(Vec) == kLanes * sizeof(float));
static_assert((kLanes & (kLanes - 1)) == 0, "lanes are halved down to one: sum, hadamard");
static_assert(kLanes % 4 == 0, "store_codes orders lanes four by four");
static_assert(kRowLanes % kLanes == 0, "a row's lanes are whole vectors");
static_assert(16 % kLanes == 0,
              "whole vectors in: the narrowest rotation; the 16 words that rows of several numbers "
              "are filled up to");
static_assert(32 % kLanes == 0, "signs come 32 to a word, of which flip_signs takes kLanes");
static_assert(kTileRows >= 1 && static_cast<std::size_t>(kTileRows) <= kLanes,
              "attention keeps one number for each row of a tile in the lanes of a vector");
static_assert(kTileRows <= 8 && kPanelVecs >= 1 && kPanelVecs <= 8,
              "loops over a tile are unrolled up to 8 times: more would not stay in registers");
static_assert(kPanelVecs * kLanes % 8 == 0,
              "fetches count in cache lines, which two steps of a panel fill");
static_assert(operand_columns(ComputeType::bfloat16) % (kPanelVecs * kLanes) == 0 &&
                  operand_columns(ComputeType::int8) % (kPanelVecs * kLanes) == 0,
              "operands are written by whole panels");
static_assert(kCodeOffset == 0 || (kCodeOffset == 128 && kDotsInt8),
              "codes are bytes of either sign");
static_assert(kAttentionKeys % (kPanelVecs * kLanes) == 0, "a block of keys is whole panels");

#define OPERATION(type, name, arguments) \
  using type_of_##name = decltype(static_cast<type(*) arguments>(PYROBERTA_ISA::name))
// The same for one that the set has where `has` is true: in other sets it is a template, deleted.
#define OPERATION_WHERE(has, type, name, arguments)                           \
  template <class V>                                                          \
  constexpr bool has_##name(V) {                                              \
    return requires { static_cast<type(*) arguments>(PYROBERTA_ISA::name); }; \
  }                                                                           \
  static_assert(has_##name(Vec{}) == (has), #name " must be there where " #has)

// --- Memory ---

// Every lane +0.
OPERATION(Vec, zero, ());
// Every lane a.
OPERATION(Vec, set, (float a));
// Every lane p[0], and no more is read: set(p[0]) in the way that a product takes it fastest.
OPERATION(Vec, load_one, (const float* p));
// p[0] .. p[kLanes - 1], and back. Bits are kept.
OPERATION(Vec, load, (const float* p));
OPERATION(void, store, (float* p, Vec a));
// p[0] .. p[n - 1] for n below kLanes, and back: lanes from n on are +0, and memory from p + n on
// is not touched.
OPERATION(Vec, load_first, (const float* p, std::size_t n));
OPERATION(void, store_first, (float* p, Vec a, std::size_t n));
// a, with +0 in the lanes from n on, n below kLanes. Bits are kept.
OPERATION(Vec, keep_first, (Vec a, std::size_t n));
// out[j * out_stride + i] = in[i * in_stride + j] for a square of kLanes. Bits are kept; what lies
// between the rows of `out` is not touched. The two do not overlap.
OPERATION(void, transpose,
          (const float* in, std::size_t in_stride, float* out, std::size_t out_stride));

// a, in a register: a compiler that would read it from memory again at each use, and so take longer
// to load than to compute, does not. Bits are kept.
OPERATION(Vec, hold, (Vec a));

// --- Arithmetic, lane by lane ---

// a + b, a - b, a * b, a / b: rounded once, as IEEE 754 has them.
OPERATION(Vec, add, (Vec a, Vec b));
OPERATION(Vec, sub, (Vec a, Vec b));
OPERATION(Vec, mul, (Vec a, Vec b));
OPERATION(Vec, div, (Vec a, Vec b));
// a * b + c, rounded once. Sets differ: where the compiler may use no such instruction (the scalar
// set on x86), it is the product and then the sum.
OPERATION(Vec, fma, (Vec a, Vec b, Vec c));
// a > b ? a : b and a < b ? a : b: b where either is NaN, and of two zeros. Bits are kept.
OPERATION(Vec, max, (Vec a, Vec b));
OPERATION(Vec, min, (Vec a, Vec b));
// a < b ? yes : no: `no` where a or b is NaN. Bits are kept.
OPERATION(Vec, where_less, (Vec a, Vec b, Vec yes, Vec no));
// a with its sign bit cleared, NaN too.
OPERATION(Vec, abs, (Vec a));
// All bits of magnitude but the sign bit, which is that of `sign`.
OPERATION(Vec, copysign, (Vec magnitude, Vec sign));
// Whichever of a, whose sign bit is clear, and |b| has the larger magnitude: a NaN is larger than
// an infinity, so that one is not lost on the way. Bits are kept.
OPERATION(Vec, max_magnitude, (Vec a, Vec b));
// a with its sign bit turned, NaN too, where bit i of `minus` is set for lane i. Higher bits of
// `minus` are ignored.
OPERATION(Vec, flip_signs, (Vec a, unsigned minus));
// The whole number nearest to a, ties to even, for |a| < 2^22 (all that exp asks for); infinities
// and NaN stay. Sets differ: in the sign of a result that is zero, and beyond 2^22, where it is
// any number.
OPERATION(Vec, round, (Vec a));
// a * 2^n for whole n in [-252, 254], any number for other n; NaN where a is NaN and n is no
// infinity. Sets differ: for an infinite n; and where the result is subnormal, it may be rounded
// twice, since 2^n alone may be out of range and is then taken in two factors.
OPERATION(Vec, scale_by_power, (Vec a, Vec n));

// --- Across the lanes ---

// The sum of all lanes, in one order: lanes i + kLanes / 2 are added to lanes i, and so on for half
// as many until one is left.
OPERATION(float, sum, (Vec a));
// p[0] = sum(a), p[1] = sum(b) and so on, to the bit.
OPERATION(void, sum_of_four, (float* p, Vec a, Vec b, Vec c, Vec d));
// The largest lane. Sets differ: in the sign where that is a zero, and where a lane is NaN, any
// number.
OPERATION(float, largest, (Vec a));
// The Hadamard matrix (Sylvester's, of 1 and -1) times the lanes: butterflies of stride kLanes / 2,
// then half that, down to 1. In a butterfly lane i becomes a[i] + a[i + stride], and lane
// i + stride becomes a[i] - a[i + stride].
OPERATION(Vec, hadamard, (Vec a));

// --- bfloat16 ---
//
// A 4-byte word of an operand or a packed weight holds one float, two bfloat16 (the first of them
// in the lower half) or four bytes. These and the operations after them take a vector's bits as
// such words.

// The bfloat16 of the lower and of the upper halves, as floats. Bits are kept.
OPERATION(Vec, even_bfloat16, (Vec words));
OPERATION(Vec, odd_bfloat16, (Vec words));
// The nearest bfloat16, ties to even, as a float; above the largest one an infinity. A NaN stays
// one: the upper half of its bits, with the quiet bit (0x40) set.
OPERATION(Vec, round_bfloat16, (Vec a));
// Words of two bfloat16, of a in the lower half and of b, rounded so. Sets differ: with
// kDotsBfloat16 a subnormal may become a zero of its sign.
OPERATION(Vec, pair_bfloat16, (Vec a, Vec b));
// kLanes bfloat16 to p, 2 bytes each, rounded as in pair_bfloat16.
OPERATION(void, store_bfloat16, (void* p, Vec a));
// acc + a[0] * b[0] + a[1] * b[1] for the two bfloat16 of each word, in float32 and an order of the
// set's own; a subnormal may count as 0. Where it is deleted, even_bfloat16, odd_bfloat16 and fma
// do it.
OPERATION_WHERE(kDotsBfloat16, Vec, dot_bfloat16, (V a, V b, V acc));

// --- int8 ---

// The lowest byte of each of kLanes numbers of [-128, 255], rounded to whole ones, ties to even.
// Other numbers, and NaN, give any byte for themselves.
OPERATION(void, store_bytes, (void* p, Vec a));
// Sums of int32 lanes, modulo 2^32.
OPERATION(Vec, add_ints, (Vec a, Vec b));
// int32 lanes as the nearest floats, ties to even.
OPERATION(Vec, from_ints, (Vec ints));
// Adds products to the int32 lanes of acc, modulo 2^32. With kDotsInt8 the four of bytes of a
// (codes plus kCodeOffset, and signed where that is 0) and signed bytes of b. Without, the two of
// signed 16-bit numbers above -2^15: of b those that even_bytes or odd_bytes gives, of a those that
// store_codes stores, in the same order. (AVX2's product of bytes, vpmaddubsw, would saturate at 2
// * 255 * 127.)
OPERATION(Vec, dot_int8, (Vec a, Vec b, Vec acc));
// kLanes numbers of [-127, 127], rounded to whole ones, ties to even, as dot_int8 takes them for a.
// With kDotsInt8: a byte each, kCodeOffset added. Without: a signed 16-bit number each, the second
// and third of every four exchanged, so that of a word's four codes the first word has the even
// ones. Other numbers, and NaN, give any code for themselves.
OPERATION(void, store_codes, (void* p, Vec a));
// Bytes 0 and 2, and 1 and 3, of each word, as signed 16-bit numbers in its lower and upper half.
OPERATION_WHERE(!kDotsInt8, Vec, even_bytes, (V words));
OPERATION_WHERE(!kDotsInt8, Vec, odd_bytes, (V words));

// store_codes of a, b, c and d, one behind the other. Written here once, as a template, so that a
// function of the set is taken in its place where there is one: a faster way.
template <class V>
inline void store_codes_of_four(void* p, V a, V b, V c, V d) {
  constexpr std::size_t kBytes = kLanes * (kDotsInt8 ? 1 : 2);
  char* to = static_cast<char*>(p);
  store_codes(to, a);
  store_codes(to + kBytes, b);
  store_codes(to + 2 * kBytes, c);
  store_codes(to + 3 * kBytes, d);
}
OPERATION(void, store_codes_of_four, (void* p, Vec a, Vec b, Vec c, Vec d));

#undef OPERATION
#undef OPERATION_WHERE

}  // namespace
}  // namespace pyroberta::PYROBERTA_ISA
