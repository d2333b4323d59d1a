// The turn that int8 gives both sides of a product, so that no large value takes the codes of
// others.
#pragma once

#include <cstddef>
#include <cstdint>

#include "vec/vec.h"

namespace pyroberta::PYROBERTA_ISA {
namespace {

// The signs of 128 columns by which int8 turns them (see rotate): bit c of word c / 32 is column
// c's, 1 for minus. Drawn once, with as many minuses as pluses in each word.
constexpr std::uint32_t kSigns[4] = {0xa473f03a, 0x8bad4ca3, 0x4b49e0e7, 0x4b63d1f0};

// y = H (s x) for 128 columns or fewer: each column's sign, then the Hadamard matrix of that width
// (butterflies from the widest stride to the narrowest), which spreads one large value over all
// columns, so that it does not take the codes of the others (Ashkboos et al. 2024,
// arXiv:2404.00456). H H is the width times the identity: what `linear` multiplies is turned on
// both sides. Of K = 768 * j they are 7 operations a column.
//
// The whole width is in registers (or nearly: AVX2 has too few for 128 columns). `most`: the
// largest magnitude so far, lane by lane.
template <std::size_t Width>
inline void rotate_width(const float* x, float* y, Vec& most) {
  constexpr std::size_t kVecs = Width / kLanes;
  Vec v[kVecs];
#pragma GCC unroll 16
  for (std::size_t i = 0; i < kVecs; ++i) {
    v[i] = flip_signs(load(x + i * kLanes), kSigns[i * kLanes / 32] >> i * kLanes % 32);
  }
#pragma GCC unroll 4
  for (std::size_t stride = kVecs / 2; stride >= 1; stride /= 2)
#pragma GCC unroll 16
    for (std::size_t i = 0; i < kVecs; ++i)
      if ((i & stride) == 0) {
        const Vec above = add(v[i], v[i + stride]);
        v[i + stride] = sub(v[i], v[i + stride]);
        v[i] = above;
      }
#pragma GCC unroll 16
  for (std::size_t i = 0; i < kVecs; ++i) {
    v[i] = hadamard(v[i]);
    most = max_magnitude(most, v[i]);
    store(y + i * kLanes, v[i]);
  }
}

inline void rotate(const float* x, std::size_t width, float* y, Vec& most) {
  switch (width) {
    case 128:
      return rotate_width<128>(x, y, most);
    case 64:
      return rotate_width<64>(x, y, most);
    case 32:
      return rotate_width<32>(x, y, most);
    case 16:
      return rotate_width<16>(x, y, most);
    default:
      y[0] = x[0];
      most = max_magnitude(most, set(x[0]));
  }
}

// The columns that are turned together, of K.
inline std::size_t rotation_width(std::size_t k) {
  for (std::size_t width = 128; width >= 16; width /= 2)
    if (k % width == 0) return width;
  return 1;
}

// n columns of one row, turned, to y; the largest magnitude among them. NaN where there is a NaN or
// an infinity.
inline float rotate_row(const float* x, std::size_t n, std::size_t width, float* y) {
  Vec most = zero();
  for (std::size_t c = 0; c < n; c += width) rotate(x + c, width, y + c, most);
  return largest(most) + sum(sub(most, most));
}

}  // namespace
}  // namespace pyroberta::PYROBERTA_ISA
