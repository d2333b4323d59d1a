// How the two sides of a product are stored: operands and packed weights, for each compute type.
// The contracts are in kernels.h.
#ifndef PYROBERTA_ISA
#include "vec/scalar.h"  // so that an editor that opens this file alone can read it
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels.h"

namespace pyroberta::PYROBERTA_ISA {
namespace {

// What bfloat16 leaves of a, for another bfloat16.
inline Vec low_part(Vec a) { return sub(a, round_bfloat16(a)); }

inline Vec load_some(const float* p, std::size_t n) {
  return n >= kLanes ? load(p) : load_first(p, n);
}

// Whether bfloat16x3 is stored as its parts: a row's high parts, then its low ones, each as
// bfloat16.
#ifdef PYROBERTA_TILES
constexpr bool kSplits = true;
#else
constexpr bool kSplits = false;
#endif

// The words of K in a row of an operand or of a weight; of one part of it for bfloat16x3 in parts.
inline std::size_t tile_steps(ComputeType type, std::size_t k) {
  return packed_steps(type == ComputeType::bfloat16x3 ? ComputeType::bfloat16 : type, k);
}

// The words that the codes of K take in an operand's row, before the scales of int8.
inline std::size_t code_words(ComputeType type, std::size_t k) {
  if (kSplits && type == ComputeType::bfloat16x3) return 2 * tile_steps(type, k);
  const std::size_t steps = packed_steps(type, k);
  if (type == ComputeType::bfloat16) return steps * Bfloat16Dot::kWords;
  if (type == ComputeType::int8) return steps * Int8Dot::kWords;
  return steps;
}

// The bytes of a column in an operand's row: of one part of it for bfloat16x3 in parts.
inline std::size_t operand_bytes(ComputeType type) {
  if (type == ComputeType::int8) return kDotsInt8 ? 1 : 2;
  return type == ComputeType::float32 || !kDotsBfloat16 ? 4 : 2;
}

std::size_t operand_words(ComputeType type, std::size_t k) {
  const std::size_t scales = type == ComputeType::int8 ? int8_groups(k) : 0;
  const std::size_t words = code_words(type, k) + scales;
  if (!kSplits || type == ComputeType::float32) return words;
  // An odd number of cache lines: the 16 rows of a tile then lie in 16 sets of L1.
  return (words + 15) / 16 / 2 * 32 + 16;
}

std::size_t panel_words(ComputeType type, std::size_t k) {
  const std::size_t scales = type == ComputeType::int8 ? 1 + int8_groups(k) : 0;
  const bool split = kSplits && type == ComputeType::bfloat16x3;
  return (split ? 2 * tile_steps(type, k) : packed_steps(type, k) + scales) * kPanel;
}

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

// A code before it is rounded, which storing it does.
inline Vec to_code(Vec x, Vec inverse) {
  return min(max(mul(x, inverse), set(-127.0f)), set(127.0f));
}

// The codes of four vectors. A template, so that only builds with the faster way need to have it.
template <class Byte>
inline void store_four_codes(Byte* codes, const Vec (&a)[4]) {
  if constexpr (kDotsInt8) {
    store_codes_of_four(codes, a[0], a[1], a[2], a[3]);
  } else {
    for (std::size_t i = 0; i < 4; ++i) store_codes(codes + i * 2 * kLanes, a[i]);
  }
}

// One int8 group of a row: codes, and the scale.
inline float quantise_group(const float* x, std::size_t n, std::size_t width, char* codes) {
  constexpr std::size_t kBytes = kLanes * (kDotsInt8 ? 1 : 2);
  float turned[kInt8Group];
  const float most = rotate_row(x, n, width, turned);
  const float inverse = most > 0.0f ? 127.0f / most : 0.0f;
  const Vec by = set(inverse);
  std::size_t c = 0;
  for (; c + 4 * kLanes <= n; c += 4 * kLanes, codes += 4 * kBytes) {
    Vec four[4];
    for (std::size_t i = 0; i < 4; ++i) four[i] = to_code(load(turned + c + i * kLanes), by);
    store_four_codes(codes, four);
  }
  for (; c < n; c += kLanes, codes += kBytes) {
    store_codes(codes, to_code(load_some(turned + c, n - c), by));
  }
  return most / 127.0f;
}

void to_operand(ComputeType type, const float* x, std::size_t x_stride, std::size_t rows,
                std::size_t k, std::size_t first_column, std::size_t last_column, float* operand) {
  const std::size_t words = operand_words(type, k), codes = code_words(type, k);
  const std::size_t count = last_column - first_column, width = rotation_width(k);
  const std::size_t scales = type == ComputeType::int8 ? int8_groups(k) : 0;
  for (std::size_t r = 0; r < rows; ++r, x += x_stride, operand += words) {
    for (std::size_t w = codes + scales; w < words; ++w) operand[w] = 0.0f;
    if (type == ComputeType::int8) {
      constexpr std::size_t kByteOf = kDotsInt8 ? 1 : 2;
      char* out = reinterpret_cast<char*>(operand);
      if (last_column == k) {  // the words that fill K up
        std::memset(out + k * kByteOf, 0, codes * sizeof(float) - k * kByteOf);
      }
      for (std::size_t c = first_column; c < last_column; c += kInt8Group) {
        const std::size_t n = last_column - c < kInt8Group ? last_column - c : kInt8Group;
        operand[codes + c / kInt8Group] =
            quantise_group(x + (c - first_column), n, width, out + c * kByteOf);
      }
    } else if (type == ComputeType::bfloat16 || (kSplits && type == ComputeType::bfloat16x3)) {
      // Whole vectors of zeros may follow K: the row is filled up to 32 columns.
      const std::size_t end = last_column == k ? 2 * tile_steps(type, k) - first_column : count;
      for (std::size_t c = 0; c < end; c += kLanes) {
        const Vec v = c < count ? load_some(x + c, count - c) : zero();
        if constexpr (kDotsBfloat16) {
          char* out = reinterpret_cast<char*>(operand) + 2 * (first_column + c);
          store_bfloat16(out, v);
          if (type == ComputeType::bfloat16x3) store_bfloat16(out + 2 * codes, low_part(v));
        } else {
          store(operand + first_column + c, round_bfloat16(v));
        }
      }
    } else {
      std::memcpy(operand + first_column, x, count * sizeof(float));
    }
  }
}

// A panel of float32: kLanes rows of w at a time, turned.
void pack_float32(const float* w, std::size_t w_stride, std::size_t n, std::size_t k,
                  std::size_t first_panel, std::size_t last_panel, float* packed) {
  for (std::size_t p = first_panel; p < last_panel; ++p) {
    float* out = packed + p * k * kPanel;
    for (std::size_t j = 0; j < kPanel; j += kLanes) {
      const std::size_t column = p * kPanel + j;
      const std::size_t columns = column >= n ? 0 : (n - column < kLanes ? n - column : kLanes);
      std::size_t kk = 0;
      if (columns == kLanes) {
        for (; kk + kLanes <= k; kk += kLanes) {
          transpose(w + column * w_stride + kk, w_stride, out + kk * kPanel + j, kPanel);
        }
      }
      for (; kk < k; ++kk)
        for (std::size_t i = 0; i < kLanes; ++i)
          store_first(out + kk * kPanel + j + i,
                      i < columns ? load_first(w + (column + i) * w_stride + kk, 1) : zero(), 1);
    }
  }
}

// kLanes words of one row of the weight, from column `from` on; zeros from column k on.
inline void weight_words(ComputeType type, const float* row, std::size_t from, std::size_t k,
                         float inverse, bool low, float* words) {
  const auto value = [&](std::size_t c) { return c < k ? load_some(row + c, k - c) : zero(); };
  char* bytes = reinterpret_cast<char*>(words);
  if (type == ComputeType::int8) {
    for (std::size_t i = 0; i < 4; ++i) {
      store_bytes(bytes + i * kLanes, to_code(value(from + i * kLanes), set(inverse)));
    }
  } else {
    for (std::size_t i = 0; i < 2; ++i) {
      const Vec v = value(from + i * kLanes);
      store_bfloat16(bytes + 2 * i * kLanes, low ? low_part(v) : v);
    }
  }
}

// What stands behind a panel of int8 for one column: its scale, and for each group -128 times the
// sum of its codes (an int32): what is added to the codes of x to make them unsigned, taken off.
inline void column_trailer(const float* turned, std::size_t k, float most, float inverse,
                           std::size_t width, float* out) {
  out[0] = most / 127.0f / static_cast<float>(width);
  for (std::size_t g = 0; g < int8_groups(k); ++g) {
    const std::size_t end = (g + 1) * kInt8Group < k ? (g + 1) * kInt8Group : k;
    Vec sums = zero();
    for (std::size_t c = g * kInt8Group; c < end; c += kLanes) {
      sums = add(sums, round(to_code(load_some(turned + c, end - c), set(inverse))));
    }
    const std::int32_t offset = -128 * static_cast<std::int32_t>(sum(sums));
    std::memcpy(out + (1 + g) * kPanel, &offset, sizeof offset);
  }
}

// A panel of bfloat16 (low: of what it leaves) or int8. rows: its rows of the weight, `count` of
// them, those of int8 turned.
void pack_panel(ComputeType type, const float* rows, std::size_t stride, std::size_t count,
                std::size_t k, bool low, float* packed) {
  const std::size_t steps = packed_steps(type, k), values = values_in_word(type);
  for (std::size_t j = 0; j < kPanel; j += kLanes) {
    float inverse[kLanes];
    std::size_t length[kLanes];
    for (std::size_t i = 0; i < kLanes; ++i) {
      const bool exists = j + i < count;
      length[i] = exists ? k : 0;
      inverse[i] = 0.0f;
      if (type != ComputeType::int8) continue;
      const float* row = rows + (exists ? j + i : 0) * stride;
      Vec most_lanes = zero();
      for (std::size_t c = 0; c < length[i]; c += kLanes) {
        most_lanes = max_magnitude(most_lanes, load_some(row + c, k - c));
      }
      const float most = largest(most_lanes) + sum(sub(most_lanes, most_lanes));
      inverse[i] = most > 0.0f ? 127.0f / most : 0.0f;
      float* trailer = packed + steps * kPanel + j + i;
      for (std::size_t g = 0; g <= int8_groups(k); ++g) trailer[g * kPanel] = 0.0f;
      column_trailer(row, length[i], most, inverse[i], rotation_width(k), trailer);
    }
    for (std::size_t step = 0; step < steps; step += kLanes) {
      float block[kLanes * kLanes], turned[kLanes * kLanes];
      for (std::size_t i = 0; i < kLanes; ++i) {
        const float* row = rows + (length[i] != 0 ? j + i : 0) * stride;
        weight_words(type, row, step * values, length[i], inverse[i], low, block + i * kLanes);
      }
      transpose(block, kLanes, turned, kLanes);
      const std::size_t here = steps - step < kLanes ? steps - step : kLanes;
      for (std::size_t s = 0; s < here; ++s) {
        store(packed + (step + s) * kPanel + j, load(turned + s * kLanes));
      }
    }
  }
}

void pack(ComputeType type, const float* w, std::size_t w_stride, std::size_t n, std::size_t k,
          std::size_t first_panel, std::size_t last_panel, float* scratch, float* packed) {
  if (type == ComputeType::float32) {
    return pack_float32(w, w_stride, n, k, first_panel, last_panel, packed);
  }
  const std::size_t width = rotation_width(k), words = panel_words(type, k);
  for (std::size_t p = first_panel; p < last_panel; ++p) {
    const std::size_t count = n - p * kPanel < kPanel ? n - p * kPanel : kPanel;
    const float* rows = w + p * kPanel * w_stride;
    std::size_t stride = w_stride;
    if (type == ComputeType::int8) {
      Vec most = zero();  // pack_panel finds each row's
      for (std::size_t i = 0; i < count; ++i)
        for (std::size_t c = 0; c < k; c += width) {
          rotate(rows + i * w_stride + c, width, scratch + i * k + c, most);
        }
      rows = scratch;
      stride = k;
    }
    if (type == ComputeType::bfloat16x3) {
      const std::size_t part = words / 2;
      pack_panel(ComputeType::bfloat16, rows, stride, count, k, false, packed + p * words);
      pack_panel(ComputeType::bfloat16, rows, stride, count, k, true, packed + p * words + part);
    } else {
      pack_panel(type, rows, stride, count, k, false, packed + p * words);
    }
  }
}

}  // namespace
}  // namespace pyroberta::PYROBERTA_ISA
