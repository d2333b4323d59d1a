// The products: an operand times a packed weight, in the build's own way, and x times a weight as
// the file has it. The contracts are in kernels.h.
#pragma once

#include <cstddef>

#include "kernels.h"
#include "kernels/linear_panels.inl"
#include "kernels/operand.inl"
#include "kernels/row.inl"
#include "kernels/tile.inl"
#include "vec/vec.h"
#ifdef PYROBERTA_TILES
#include "kernels/linear_amx.inl"
#endif
#ifdef PYROBERTA_MATRICES
#include "kernels/tile_matrices.inl"
#endif

namespace pyroberta::PYROBERTA_ISA {
namespace {

#ifdef PYROBERTA_MATRICES
using Bfloat16Product = MatrixDot<false>;
using Int8Product = MatrixDot<true>;
#else
using Bfloat16Product = Bfloat16Dot;
using Int8Product = Int8Dot;
#endif

void linear_to(const LinearArgs& args, std::size_t first_panel, std::size_t last_panel,
               const Result& to) {
  if (args.k == 0) return linear_panels<Float32Dot>(args, first_panel, last_panel, to);  // no scale
#ifdef PYROBERTA_TILES
  if (args.type == ComputeType::bfloat16x3) {
    return linear_tiles<ComputeType::bfloat16x3>(args, first_panel, last_panel, to);
  }
  if (args.type == ComputeType::bfloat16) {
    return linear_tiles<ComputeType::bfloat16>(args, first_panel, last_panel, to);
  }
  if (args.type == ComputeType::int8) {
    return linear_tiles<ComputeType::int8>(args, first_panel, last_panel, to);
  }
#else
  if (args.type == ComputeType::bfloat16) {
    return linear_panels<Bfloat16Product>(args, first_panel, last_panel, to);
  }
  if (args.type == ComputeType::int8) {
    return linear_panels<Int8Product>(args, first_panel, last_panel, to);
  }
#endif
  linear_panels<Float32Dot>(args, first_panel, last_panel, to);
}

void linear(const LinearArgs& args, std::size_t first_panel, std::size_t last_panel) {
  if (args.operand == nullptr) {
    return linear_to(args, first_panel, last_panel, {args.y, args.y_stride, 0});
  }
  // Some columns at a time, so that they are turned into codes while they are in L1 or L2, and no
  // float32 of theirs goes to memory.
  const std::size_t most = operand_columns(args.operand_type), panels = most / kPanel;
  for (std::size_t panel = first_panel; panel < last_panel; panel += panels) {
    const std::size_t end = panel + panels < last_panel ? panel + panels : last_panel;
    const std::size_t column = panel * kPanel;
    const std::size_t last_column = end * kPanel < args.n ? end * kPanel : args.n;
    linear_to(args, panel, end, {args.y, most, column});
    to_operand(args.operand_type, args.y, most, args.rows, args.n, column, last_column,
               args.operand);
  }
}

// MR rows of x times NR rows of the weight, each product summed as a row is: NV vectors of its
// lanes in one pass over K, then the next ones. fetched_by: the next NR rows of the weight, which
// stand behind these, are wanted next, and so many passes share out the fetching of them, the first
// of these being number `pass`; 0 for none.
template <int MR, int NR, int NV>
void dot_tile(const LinearArgs& args, std::size_t r, std::size_t column, unsigned pass,
              unsigned fetched_by) {
  const float* x = args.x + r * args.x_stride;
  const float* w = args.packed + column * args.k;
  Vec sums[MR][NR][kRowVecs];
  for (std::size_t first = 0; first < kRowVecs; first += NV, ++pass) {
    Vec acc[MR][NR][NV];
#pragma GCC unroll 8
    for (int i = 0; i < MR; ++i)
#pragma GCC unroll 8
      for (int j = 0; j < NR; ++j)
#pragma GCC unroll 8
        for (int v = 0; v < NV; ++v) acc[i][j][v] = zero();
    unsigned wait = pass;
    const auto step = [&](std::size_t k, auto read_vec) __attribute__((always_inline)) {
      if (fetched_by != 0 && wait-- == 0) {
        wait = fetched_by - 1;
#pragma GCC unroll 8
        for (int j = 0; j < NR; ++j) {
          __builtin_prefetch(w + static_cast<std::size_t>(NR + j) * args.k + k, 0, 2);
        }
      }
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v) {
        const std::size_t at = k + static_cast<std::size_t>(v) * kLanes;
        Vec row[NR];
#pragma GCC unroll 8
        for (int j = 0; j < NR; ++j) {
          row[j] = read_vec(w + static_cast<std::size_t>(j) * args.k + at, at);
        }
#pragma GCC unroll 8
        for (int i = 0; i < MR; ++i) {
          const Vec xi = hold(read_vec(x + static_cast<std::size_t>(i) * args.x_stride + at, at));
#pragma GCC unroll 8
          for (int j = 0; j < NR; ++j) acc[i][j][v] = fma(xi, row[j], acc[i][j][v]);
        }
      }
    };
    std::size_t k = first * kLanes;
#pragma GCC unroll 1
    for (; k + NV * kLanes <= args.k; k += kRowLanes) {
      step(k, [](const float* p, std::size_t) { return load(p); });
    }
    if (k < args.k) {
      step(k, [&](const float* p, std::size_t at) {
        return at < args.k ? load_some(p, args.k - at) : zero();
      });
    }
#pragma GCC unroll 8
    for (int i = 0; i < MR; ++i)
#pragma GCC unroll 8
      for (int j = 0; j < NR; ++j)
#pragma GCC unroll 8
        for (int v = 0; v < NV; ++v) sums[i][j][first + static_cast<std::size_t>(v)] = acc[i][j][v];
  }
  // Four sums at a time: one after the other they would take a twelfth of the tile's time (AVX2).
  float totals[MR * NR + 3];
#pragma GCC unroll 16
  for (int n = 0; n < MR * NR; n += 4) {
    const auto row = [&](int of) {
      return of < MR * NR ? halves_of_row(sums[of / NR][of % NR]) : zero();
    };
    sum_of_four(totals + n, row(n), row(n + 1), row(n + 2), row(n + 3));
  }
#pragma GCC unroll 8
  for (int i = 0; i < MR; ++i)
#pragma GCC unroll 8
    for (int j = 0; j < NR; ++j) {
      const std::size_t c = column + static_cast<std::size_t>(j);
      args.y[(r + static_cast<std::size_t>(i)) * args.y_stride + c] =
          totals[i * NR + j] + (args.bias == nullptr ? 0.0f : args.bias[c]);
    }
}

// `linear_rows` by tiles of at most kRows x kPanelVecs, and NV vectors of lanes at a time.
template <int kRows, int NV>
void dot_tiles(const LinearArgs& args, std::size_t first_column, std::size_t last_column) {
  constexpr std::size_t kColumns = kPanelVecs;
  constexpr unsigned kPasses = static_cast<unsigned>(kRowVecs) / NV;
  // Where passes are short, the queue of misses would be full in the first and empty in the others.
  const std::size_t tiles = kRows == kTileRows ? 1 : (args.rows + kRows - 1) / kRows;
  const unsigned sharing = kPasses * static_cast<unsigned>(tiles < 8 ? tiles : 8);
  for (std::size_t c = first_column; c < last_column; c += kColumns) {
    const std::size_t columns = last_column - c < kColumns ? last_column - c : kColumns;
    const bool fetch = args.rows > 1 && c + 2 * kColumns <= last_column;
    unsigned pass = 0;
    for (std::size_t r = 0, rows; r < args.rows; r += rows, pass += kPasses) {
      rows = rows_of_tile<kRows>(args.rows - r);
      const unsigned by = fetch && pass < sharing ? sharing : 0;
      const auto dot = [&]<int MR, int NR>() { dot_tile<MR, NR, NV>(args, r, c, pass, by); };
      with_tile<decltype(dot), kRows>(rows, columns, dot);
    }
  }
}

// As many sums as the registers hold at once. Where a sum is several vectors, these are in one pass
// over fewer rows, or in several passes: better as long as what is read again is in L1, which x of
// more than two tiles is not (AVX2, AMD EPYC, times of the one way by the other: 0.7 with 4 rows,
// 1.3 with 64); and for the scalar set, whose compiler would spill.
void linear_rows(const LinearArgs& args, std::size_t first_column, std::size_t last_column) {
  constexpr std::size_t kMost = kTileRows, kFew = kMost / kRowVecs;
  constexpr bool kIsScalar = kPanelVecs == 1;
  if (kRowVecs == 1 || kIsScalar || (args.rows > kFew && args.rows <= 2 * kMost)) {
    dot_tiles<kTileRows, 1>(args, first_column, last_column);
  } else {
    dot_tiles<static_cast<int>(kFew), static_cast<int>(kRowVecs)>(args, first_column, last_column);
  }
}

}  // namespace
}  // namespace pyroberta::PYROBERTA_ISA
