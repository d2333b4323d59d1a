// Packed weights: how the right side of a product is stored, for each compute type. The contract is
// in kernels.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels.h"
#include "kernels/operand.inl"
#include "kernels/rotation.inl"
#include "kernels/storage.inl"
#include "kernels/row.inl"
#include "kernels/tile.inl"
#include "vec/vec.h"

namespace pyroberta::PYROBERTA_ISA {
namespace {

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
      float block[kLanes * kLanes];
      [[maybe_unused]] float turned[kLanes * kLanes];
      for (std::size_t i = 0; i < kLanes; ++i) {
        const float* row = rows + (length[i] != 0 ? j + i : 0) * stride;
        weight_words(type, row, step * values, length[i], inverse[i], low, block + i * kLanes);
      }
      const std::size_t here = steps - step < kLanes ? steps - step : kLanes;
      if constexpr (kTogether == 2) {
        for (std::size_t s = 0; s < here; s += 2)
          for (std::size_t i = 0; i < kLanes; ++i) {
            std::memcpy(packed + (step + s) * kPanel + 2 * (j + i), block + i * kLanes + s, 8);
          }
      } else {
        transpose(block, kLanes, turned, kLanes);
        for (std::size_t s = 0; s < here; ++s) {
          store(packed + (step + s) * kPanel + j, load(turned + s * kLanes));
        }
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
