// The products: an operand times a packed weight, and x times a weight as the file has it. The
// contracts are in kernels.h.
#ifndef PYROBERTA_ISA
#include "vec/scalar.h"  // so that an editor that opens this file alone can read it
#endif

#include <cstddef>
#include <type_traits>

#include "kernels.h"

namespace pyroberta::PYROBERTA_ISA {
namespace {

// A stretch of K goes over all panels before the next one starts: its share of x (144 rows of 768
// words are 442 KB) and of a panel (196 KB) stay in L2, while the whole of a long K would not.
constexpr std::size_t kStretch = 768;

// The steps that are summed in the accumulators before they go to y.
constexpr std::size_t run_steps(ComputeType type) {
  if (type == ComputeType::bfloat16) return kStretch;
  return type == ComputeType::int8 ? kInt8Group / values_in_word(type) : kRun;
}
static_assert(kStretch % kRun == 0 && kStretch % run_steps(ComputeType::int8) == 0);

// Some steps of K, from step `from` on, of one panel.
struct Run {
  std::size_t panel, from, length;
  bool first, last;  // of K
};

// Where the results go: [rows, columns of the weight; stride], from column `column` on.
struct Result {
  float* y;
  std::size_t stride, column;
};

// One tile of MR rows and NV vectors of one panel, over one run of K.
template <class Dot, int MR, int NV>
void linear_tile(const LinearArgs& args, const Run& run, std::size_t r, const Result& to,
                 Prefetch next) {
  const std::size_t steps = packed_steps(args.type, args.k);
  const float* weights = args.packed + run.panel * panel_words(args.type, args.k);
  constexpr bool kInt8 = std::is_same_v<Dot, Int8Dot>;
  const float* scales = weights + steps * kPanel;  // of int8
  const std::size_t group = kInt8 ? run.from / run_steps(ComputeType::int8) : 0;
  Vec acc[MR][NV];
  tile<Dot, MR, NV>(args.x + r * args.x_stride + run.from * Dot::kWords, args.x_stride,
                    weights + run.from * kPanel, run.length, acc, next,
                    kInt8 && kDotsInt8 ? scales + (1 + group) * kPanel : nullptr);

  const std::size_t column = run.panel * kPanel;
  const std::size_t columns = args.n - column < kPanel ? args.n - column : kPanel;
#pragma GCC unroll 8
  for (int i = 0; i < MR; ++i) {
    const std::size_t row = r + static_cast<std::size_t>(i);
    float* y = to.y + row * to.stride + (column - to.column);
    const Vec x_scale =
        kInt8 ? set(args.x[row * args.x_stride + steps * Dot::kWords + group]) : zero();
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) {
      const std::size_t c = static_cast<std::size_t>(v) * kLanes;
      const std::size_t left = columns > c ? columns - c : 0;
      if (left == 0) break;
      Vec value = acc[i][v];
      if constexpr (kInt8) value = mul(from_ints(value), x_scale);
      if (!run.first) value = add(load_some(y + c, left), value);
      if (kInt8 && run.last) value = mul(value, load(scales + c));
      if (run.last && args.bias != nullptr) {
        value = add(value, load_some(args.bias + column + c, left));
      }
      if (left >= kLanes) {
        store(y + c, value);
      } else {
        store_first(y + c, value, left);
      }
    }
    if (run.last) activate_elements(args.activation, y, columns);
  }
}

// The columns of panels [first, last), over the whole of K.
template <class Dot>
void linear_panels(const LinearArgs& args, std::size_t first_panel, std::size_t last_panel,
                   const Result& to) {
  const std::size_t steps = packed_steps(args.type, args.k);
  const std::size_t words = panel_words(args.type, args.k), run_most = run_steps(args.type);
  std::size_t stretch = 0;
  do {
    const std::size_t stretch_end = stretch + kStretch < steps ? stretch + kStretch : steps;
    for (std::size_t panel = first_panel; panel < last_panel; ++panel) {
      const std::size_t columns = args.n - panel * kPanel;
      const std::size_t vecs = columns >= kPanel ? kPanelVecs : (columns + kLanes - 1) / kLanes;
      Run run = {panel, stretch, 0, false, false};
      do {
        run.length = stretch_end - run.from < run_most ? stretch_end - run.from : run_most;
        run.first = run.from == 0;
        run.last = run.from + run.length == steps;
        // The next run's weights, fetched ahead in this run's tiles: they come from memory or from
        // L3 once for all rows (1x16 12.0 -> 10.0 ms, 1x128 63 -> 55 ms at roberta-base size).
        const std::size_t end = run.from + run.length;
        const bool same_panel = end < stretch_end;
        const float* following = args.packed + (same_panel ? panel : panel + 1) * words +
                                 (same_panel ? end : stretch) * kPanel;
        Prefetch next;
        if (args.rows >= 2 && (same_panel || panel + 1 < last_panel)) {
          const std::size_t tiles = (args.rows + kTileRows - 1) / kTileRows;
          next.at = reinterpret_cast<const char*>(following);
          next.lines = (run.length * kPanel * sizeof(float) / 64 + tiles - 1) / tiles;
        }
        for (std::size_t r = 0; r < args.rows; r += kTileRows) {
          const std::size_t rows = args.rows - r < kTileRows ? args.rows - r : kTileRows;
          with_tile(rows, vecs,
                    [&]<int MR, int NV>() { linear_tile<Dot, MR, NV>(args, run, r, to, next); });
          next.at += 64 * next.lines;
        }
        run.from = end;
      } while (run.from < stretch_end);
    }
    stretch = stretch_end;
  } while (stretch < steps);
}

void linear_to(const LinearArgs& args, std::size_t first_panel, std::size_t last_panel,
               const Result& to) {
  if (args.type == ComputeType::bfloat16) {
    linear_panels<Bfloat16Dot>(args, first_panel, last_panel, to);
  } else if (args.type == ComputeType::int8) {
    linear_panels<Int8Dot>(args, first_panel, last_panel, to);
  } else {
    linear_panels<Float32Dot>(args, first_panel, last_panel, to);
  }
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
    for (std::size_t r = 0; r < args.rows; r += kTileRows) {
      const std::size_t rows = args.rows - r < kTileRows ? args.rows - r : kTileRows;
      const bool fetch = r == 0 && args.rows > 1 && c + 2 * kColumns <= last_column;
      with_tile(rows, columns, [&]<int MR, int NR>() { dot_tile<MR, NR>(args, r, c, fetch); });
    }
  }
}

}  // namespace
}  // namespace pyroberta::PYROBERTA_ISA
