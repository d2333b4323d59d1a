// The products on AMX: blocks of 32 rows and 32 columns, the whole of K (int8: a group of it) in
// four accumulator tiles.
//
// After every AMX instruction stand eight prefetches, of the operand and weight one step ahead: the
// unit wants some cycles from one instruction to the next, and does not overlap loads.
#pragma once

#include <cstddef>

#include "kernels.h"
#include "kernels/activate.inl"
#include "kernels/linear_panels.inl"
#include "kernels/storage.inl"
#include "kernels/tile.inl"
#include "vec/amx.h"
#include "vec/vec.h"

namespace pyroberta::PYROBERTA_ISA {
namespace {

constexpr std::size_t kTileWords = 16, kBlock = 32;

// Where a block's tiles of one step come from: two of 16 rows of the operand, two of 16 columns of
// the panel. The low parts are those of bfloat16x3.
struct BlockSource {
  const float *a, *b;
  std::size_t a_stride;      // in bytes
  std::size_t a_low, b_low;  // words from a high part to its low part
  std::size_t second;        // 16 rows on, or 0 where the block has no second tile of rows
  static constexpr std::size_t b_stride = kPanel * sizeof(float);
};

// Prefetches eight lines, `stride` bytes apart.
inline void prefetch_lines(const char* at, std::size_t stride) {
#pragma GCC unroll 8
  for (std::size_t i = 0; i < 8; ++i) __builtin_prefetch(at + i * stride, 0, 3);
}

// The lines of one tile of a step ahead, in two halves.
struct TileAhead {
  const char* at;
  std::size_t stride;
  void first() const { prefetch_lines(at, stride); }
  void second() const { prefetch_lines(at + 8 * stride, stride); }
};

struct Bfloat16Tiles {
  template <int C, int A, int B>
  static void dot() {
    dot_tiles_bfloat16<C, A, B>();
  }
};
struct Int8Tiles {
  template <int C, int A, int B>
  static void dot() {
    dot_tiles_int8<C, A, B>();
  }
};

// C += the products of one step. Tiles 0 to 3 are C, 4 and 5 are A, 6 and 7 are B. `ahead`: words
// to the step that is fetched.
template <class Dot>
inline void multiply_step(const BlockSource& s, const float* a, const float* b, std::size_t ahead) {
  const char* next_a = reinterpret_cast<const char*>(a + ahead);
  const char* next_b = reinterpret_cast<const char*>(b + ahead * kPanel);
  const TileAhead a0 = {next_a, s.a_stride}, a1 = {next_a + 4 * s.second, s.a_stride};
  const TileAhead b0 = {next_b, s.b_stride}, b1 = {next_b + 64, s.b_stride};
  load_tile<6>(b, s.b_stride);
  b0.first();
  load_tile<4>(a, s.a_stride);
  b0.second();
  Dot::template dot<0, 4, 6>();
  b1.first();
  load_tile<7>(b + kTileWords, s.b_stride);
  b1.second();
  Dot::template dot<1, 4, 7>();
  a0.first();
  if (s.second != 0) {
    load_tile<5>(a + s.second, s.a_stride);
    a0.second();
    Dot::template dot<2, 5, 6>();
    a1.first();
    Dot::template dot<3, 5, 7>();
    a1.second();
  } else {
    a0.second();
  }
}

// The same for bfloat16x3: high * high, high * low and low * high.
inline void multiply_step_split(const BlockSource& s, const float* a, const float* b,
                                std::size_t ahead) {
  multiply_step<Bfloat16Tiles>(s, a, b, ahead);
  load_tile<6>(b + s.b_low, s.b_stride);
  prefetch_lines(reinterpret_cast<const char*>(b + s.b_low + ahead * kPanel), s.b_stride);
  dot_tiles_bfloat16<0, 4, 6>();
  prefetch_lines(reinterpret_cast<const char*>(b + s.b_low + (ahead + 8) * kPanel), s.b_stride);
  load_tile<7>(b + s.b_low + kTileWords, s.b_stride);
  prefetch_lines(reinterpret_cast<const char*>(a + s.a_low + ahead), s.a_stride);
  dot_tiles_bfloat16<1, 4, 7>();
  if (s.second != 0) {
    dot_tiles_bfloat16<2, 5, 6>();
    dot_tiles_bfloat16<3, 5, 7>();
  }
  load_tile<6>(b, s.b_stride);
  load_tile<4>(a + s.a_low, s.a_stride);
  dot_tiles_bfloat16<0, 4, 6>();
  load_tile<7>(b + kTileWords, s.b_stride);
  dot_tiles_bfloat16<1, 4, 7>();
  if (s.second != 0) {
    load_tile<5>(a + s.second + s.a_low, s.a_stride);
    dot_tiles_bfloat16<2, 5, 6>();
    dot_tiles_bfloat16<3, 5, 7>();
  }
}

// One block over one run of K, and what it adds to y. `rows` of the block exist, from row r on, and
// begin at column `half` of the panel.
template <ComputeType type>
void block_of_tiles(const LinearArgs& args, const Run& run, std::size_t r, std::size_t rows,
                    std::size_t half, const Result& to) {
  const std::size_t steps = tile_steps(type, args.k);
  BlockSource source;
  source.a = args.x + r * args.x_stride + run.from;
  source.b = run.weights + run.from * kPanel + half;
  source.a_stride = args.x_stride * sizeof(float);
  source.a_low = steps;
  source.b_low = steps * kPanel;
  source.second = rows > kTileWords ? kTileWords * args.x_stride : 0;
  clear_tile<0>();
  clear_tile<1>();
  if (source.second != 0) {
    clear_tile<2>();
    clear_tile<3>();
  }
  for (std::size_t s = 0; s < run.length; s += kTileWords) {
    const float *a = source.a + s, *b = source.b + s * kPanel;
    const std::size_t ahead = s + kTileWords < run.length ? kTileWords : 0;
    if constexpr (type == ComputeType::bfloat16x3) {
      multiply_step_split(source, a, b, ahead);
    } else if constexpr (type == ComputeType::int8) {
      multiply_step<Int8Tiles>(source, a, b, ahead);
    } else {
      multiply_step<Bfloat16Tiles>(source, a, b, ahead);
    }
  }
  alignas(64) float sums[kBlock * kBlock];
  constexpr std::size_t kRow = kBlock * sizeof(float);
  store_tile<0>(sums, kRow);
  store_tile<1>(sums + kTileWords, kRow);
  if (source.second != 0) {
    store_tile<2>(sums + kTileWords * kBlock, kRow);
    store_tile<3>(sums + kTileWords * kBlock + kTileWords, kRow);
  }
  constexpr bool kInt8 = type == ComputeType::int8;
  const std::size_t group = kInt8 ? run.from / run_steps(type) : 0;
  const std::size_t column = run.panel * kPanel + half;
  const std::size_t columns = args.n - column < kBlock ? args.n - column : kBlock;
  const float* scales = run.weights + steps * kPanel + half;  // of int8
  float* y = to.y + r * to.stride + (column - to.column);
  // f(vector, x_scale, c, y) for the vectors of the block, from its column c on.
  const auto each = [&](const auto& f) __attribute__((always_inline)) {
    for (std::size_t i = 0; i < rows; ++i) {
      const float* x_row = args.x + (r + i) * args.x_stride;
      const Vec x_scale = kInt8 ? set(x_row[steps + group]) : zero();
      for (std::size_t c = 0; c < columns; c += kLanes) {
        Vec value = load(sums + i * kBlock + c);
        if constexpr (kInt8) value = add_ints(value, load(scales + (1 + group) * kPanel + c));
        f(value, x_scale, c, y + i * to.stride + c);
      }
    }
  };
  if (columns == kBlock) {
    with_ends(run, [&]<bool kFirst, bool kLast>() __attribute__((always_inline)) {
      const Vec bias[] = {bias_or_none<kLast>(args, column),
                          bias_or_none<kLast>(args, column + kLanes)};
      each([&](Vec value, Vec x_scale, std::size_t c, float* out) __attribute__((always_inline)) {
        finish_whole<kInt8, kFirst, kLast>(value, x_scale, scales + c, bias[c / kLanes], out);
      });
    });
  } else {
    each([&](Vec value, Vec x_scale, std::size_t c, float* out) {
      finish_vec<kInt8>(args, run, value, x_scale, scales + c, column + c, columns - c, out);
    });
  }
  if (run.last && args.activation != Activation::linear) {
    activate_rows(args.activation, y, to.stride, rows, columns);
  }
}

// The shapes for blocks of `rows` rows.
inline TileShapes shapes_for(std::size_t rows) {
  TileShapes shapes;
  const std::size_t upper = rows < kTileWords ? rows : kTileWords;
  const std::size_t lower = rows > kTileWords ? rows - kTileWords : kTileWords;
  for (std::size_t t = 0; t < 8; ++t) {
    const bool is_lower = t == 2 || t == 3 || t == 5;
    shapes.row_bytes[t] = 64;
    shapes.rows[t] = static_cast<std::uint8_t>(t >= 6 ? kTileWords : is_lower ? lower : upper);
  }
  return shapes;
}

template <ComputeType type>
void linear_tiles(const LinearArgs& args, std::size_t first_panel, std::size_t last_panel,
                  const Result& to) {
  const std::size_t steps = tile_steps(type, args.k);
  const std::size_t run_most = type == ComputeType::int8 ? run_steps(type) : steps;
  const std::size_t whole = args.rows / kBlock * kBlock;
  const std::size_t blocks = (args.rows + kBlock - 1) / kBlock;
  // Whole blocks of all panels, then the last rows, since their tiles have another shape.
  const auto rows_from = [&](std::size_t r_first, std::size_t r_last) {
    if (r_first == r_last) return;
    set_shapes(shapes_for(r_last - r_first < kBlock ? r_last - r_first : kBlock));
    for (std::size_t panel = first_panel; panel < last_panel; ++panel) {
      for (std::size_t half = 0; half < kPanel && panel * kPanel + half < args.n; half += kBlock) {
        for (std::size_t r = r_first; r < r_last; r += kBlock) {
          const std::size_t rows = r_last - r < kBlock ? r_last - r : kBlock;
          Run run = {panel, 0, 0, true, false, args.packed + panel * panel_words(type, args.k)};
          do {
            run.length = steps - run.from < run_most ? steps - run.from : run_most;
            run.last = run.from + run.length == steps;
            block_of_tiles<type>(args, run, r, rows, half, to);
            run.from += run.length;
            run.first = false;
          } while (!run.last);
          // The next panel's weights to L2, some with each block of this one. Not for few rows,
          // where memory is the limit and the fetch would only wait in its queue.
          if (blocks > 1 && panel + 1 < last_panel) {
            const std::size_t words = panel_words(type, args.k), share = words / (2 * blocks) + 1;
            const std::size_t part = (half != 0 ? blocks : 0) + r / kBlock;
            const char* next = reinterpret_cast<const char*>(args.packed + (panel + 1) * words);
            for (std::size_t at = part * share * 4; at < (part + 1) * share * 4; at += 64) {
              __builtin_prefetch(next + at, 0, 2);
            }
          }
        }
      }
    }
  };
  rows_from(0, whole);
  rows_from(whole, args.rows);
  release_tiles();
}

}  // namespace
}  // namespace pyroberta::PYROBERTA_ISA
