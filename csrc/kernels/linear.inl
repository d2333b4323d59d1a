// The products: an operand times a packed weight, in the build's own way, and x times a weight as
// the file has it. The contracts are in kernels.h.
#pragma once

#include <cstddef>

#include "kernels.h"
#include "kernels/linear_panels.inl"
#include "kernels/operand.inl"
#include "kernels/tile.inl"
#include "vec/vec.h"
#ifdef PYROBERTA_TILES
#include "kernels/linear_amx.inl"
#endif

namespace pyroberta::PYROBERTA_ISA {
namespace {

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
    return linear_panels<Bfloat16Dot>(args, first_panel, last_panel, to);
  }
  if (args.type == ComputeType::int8) {
    return linear_panels<Int8Dot>(args, first_panel, last_panel, to);
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

// MR rows of x times NR rows of the weight, each product summed in the lanes of one vector.
// fetch: the next NR rows of the weight, which stand behind these, are wanted next.
template <int MR, int NR>
void dot_tile(const LinearArgs& args, std::size_t r, std::size_t column, bool fetch) {
  const float* x = args.x + r * args.x_stride;
  const float* w = args.packed + column * args.k;
  Vec acc[MR][NR];
#pragma GCC unroll 8
  for (int i = 0; i < MR; ++i)
#pragma GCC unroll 8
    for (int j = 0; j < NR; ++j) acc[i][j] = zero();
  const std::size_t tail = args.k % kLanes, whole = args.k - tail;
  const auto step = [&](std::size_t k, auto read_vec) {
    if (fetch) {
#pragma GCC unroll 8
      for (int j = 0; j < NR; ++j) {
        __builtin_prefetch(w + static_cast<std::size_t>(NR + j) * args.k + k, 0, 2);
      }
    }
    Vec row[NR];
#pragma GCC unroll 8
    for (int j = 0; j < NR; ++j) row[j] = read_vec(w + static_cast<std::size_t>(j) * args.k + k);
#pragma GCC unroll 8
    for (int i = 0; i < MR; ++i) {
      const Vec xi = read_vec(x + static_cast<std::size_t>(i) * args.x_stride + k);
#pragma GCC unroll 8
      for (int j = 0; j < NR; ++j) acc[i][j] = fma(xi, row[j], acc[i][j]);
    }
  };
#pragma GCC unroll 1
  for (std::size_t k = 0; k < whole; k += kLanes) step(k, [](const float* p) { return load(p); });
  if (tail != 0) step(whole, [&](const float* p) { return load_first(p, tail); });
#pragma GCC unroll 8
  for (int i = 0; i < MR; ++i)
#pragma GCC unroll 8
    for (int j = 0; j < NR; ++j) {
      const std::size_t c = column + static_cast<std::size_t>(j);
      args.y[(r + static_cast<std::size_t>(i)) * args.y_stride + c] =
          sum(acc[i][j]) + (args.bias == nullptr ? 0.0f : args.bias[c]);
    }
}

void linear_rows(const LinearArgs& args, std::size_t first_column, std::size_t last_column) {
  constexpr std::size_t kColumns = kPanelVecs;
  for (std::size_t c = first_column; c < last_column; c += kColumns) {
    const std::size_t columns = last_column - c < kColumns ? last_column - c : kColumns;
    for (std::size_t r = 0, rows; r < args.rows; r += rows) {
      rows = rows_of_tile(args.rows - r);
      const bool fetch = r == 0 && args.rows > 1 && c + 2 * kColumns <= last_column;
      with_tile(rows, columns, [&]<int MR, int NR>() { dot_tile<MR, NR>(args, r, c, fetch); });
    }
  }
}

}  // namespace
}  // namespace pyroberta::PYROBERTA_ISA
