// The products over register tiles: an operand times some panels of a packed weight. The contract
// is that of `linear` in kernels.h.
#pragma once

#include <cstddef>

#include "kernels.h"
#include "kernels/activate.inl"
#include "kernels/storage.inl"
#include "kernels/row.inl"
#include "kernels/tile.inl"
#include "vec/vec.h"

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
  bool first, last;      // of K
  const float* weights;  // the panel
};

// Where the results go: [rows, columns of the weight; stride], from column `column` on.
struct Result {
  float* y;
  std::size_t stride, column;
};

// Adds what a run gives for one vector of columns to y: `column` is the first of them in the
// weight, `left` of them exist. x_scale and scales (one for each column): of int8, whose value is
// of int32.
template <bool kInt8>
__attribute__((always_inline)) inline void finish_vec(const LinearArgs& args, const Run& run,
                                                      Vec value, Vec x_scale, const float* scales,
                                                      std::size_t column, std::size_t left,
                                                      float* y) {
  if constexpr (kInt8) value = mul(from_ints(value), x_scale);
  if (!run.first) value = add(load_some(y, left), value);
  if (kInt8 && run.last) value = mul(value, load(scales));
  if (run.last && args.bias != nullptr) value = add(value, load_some(args.bias + column, left));
  if (left >= kLanes) {
    store(y, value);
  } else {
    store_first(y, value, left);
  }
}

// Fetches the lines that the results of a tile go to: those in no near cache would stall the stores
// at its end.
template <int MR, int NV>
__attribute__((always_inline)) inline void fetch_result(const LinearArgs& args, const Run& run,
                                                        std::size_t r, const Result& to) {
  const std::size_t column = run.panel * kPanel;
  const char* at = reinterpret_cast<const char*>(to.y + r * to.stride + (column - to.column));
  std::size_t stride = to.stride * sizeof(float), bytes = NV * kLanes * sizeof(float);
  if (args.operand != nullptr) {
    const std::size_t words = operand_words(args.operand_type, args.n);
    const std::size_t width = operand_bytes(args.operand_type);
    at = reinterpret_cast<const char*>(args.operand + r * words) + column * width;
    stride = words * sizeof(float);
    bytes = NV * kLanes * width;
  }
  for (int i = 0; i < MR; ++i, at += stride)
    for (std::size_t b = 0; b < bytes; b += 64) __builtin_prefetch(at + b, 1);
}

// The same for a whole vector, where all that is decided there is known: no branches for each of a
// tile's vectors. bias: -0 for none, which changes nothing.
template <bool kInt8, bool kFirst, bool kLast>
__attribute__((always_inline)) inline void finish_whole(Vec value, Vec x_scale, const float* scales,
                                                        Vec bias, float* y) {
  if constexpr (kInt8) value = mul(from_ints(value), x_scale);
  if constexpr (!kFirst) value = add(load(y), value);
  if constexpr (kInt8 && kLast) value = mul(value, load(scales));
  if constexpr (kLast) value = add(value, bias);
  store(y, value);
}

// Calls f<kFirst, kLast>() for the run's place in K.
template <class F>
__attribute__((always_inline)) inline void with_ends(const Run& run, const F& f) {
  if (run.last) {
    run.first ? f.template operator()<true, true>() : f.template operator()<false, true>();
  } else {
    run.first ? f.template operator()<true, false>() : f.template operator()<false, false>();
  }
}

template <bool kLast>
inline Vec bias_or_none(const LinearArgs& args, std::size_t column) {
  return kLast && args.bias != nullptr ? load(args.bias + column) : set(-0.0f);
}

// finish_whole for all of a tile. x_scales: the first row's.
template <bool kInt8, bool kFirst, bool kLast, int MR, int NV>
__attribute__((always_inline)) inline void finish_tile(const LinearArgs& args,
                                                       const Vec (&acc)[MR][NV],
                                                       const float* x_scales, const float* scales,
                                                       std::size_t column, float* y,
                                                       std::size_t y_stride) {
  Vec bias[NV];
#pragma GCC unroll 8
  for (int v = 0; v < NV; ++v) {
    bias[v] = bias_or_none<kLast>(args, column + static_cast<std::size_t>(v) * kLanes);
  }
#pragma GCC unroll 8
  for (int i = 0; i < MR; ++i, y += y_stride, x_scales += args.x_stride) {
    const Vec x_scale = kInt8 ? set(*x_scales) : zero();
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) {
      const std::size_t c = static_cast<std::size_t>(v) * kLanes;
      finish_whole<kInt8, kFirst, kLast>(acc[i][v], x_scale, scales + c, bias[v], y + c);
    }
  }
}

// One tile of MR rows and NV vectors of one panel, over one run of K.
template <class Dot, int MR, int NV>
void linear_tile(const LinearArgs& args, const Run& run, std::size_t r, const Result& to,
                 Prefetch next) {
  constexpr bool kInt8 = Dot::kInt8;
  const std::size_t steps = kInt8 ? packed_steps(ComputeType::int8, args.k) : 0;
  const float* scales = run.weights + steps * kPanel;  // of int8
  const std::size_t group = kInt8 ? run.from / run_steps(ComputeType::int8) : 0;
  if (run.first) fetch_result<MR, NV>(args, run, r, to);
  Vec acc[MR][NV];
  const float* x = args.x + r * args.x_stride;
  tile<Dot, MR, NV>(x + run.from * Dot::kWords, args.x_stride, run.weights + run.from * kPanel,
                    run.length, acc, next,
                    kInt8 && kCodeOffset != 0 ? scales + (1 + group) * kPanel : nullptr);

  const float* x_scales = x + steps * Dot::kWords + group;
  const std::size_t column = run.panel * kPanel;
  const std::size_t columns = args.n - column < kPanel ? args.n - column : kPanel;
  float* y = to.y + r * to.stride + (column - to.column);
  if (columns == NV * kLanes) {
    with_ends(run, [&]<bool kFirst, bool kLast>() __attribute__((always_inline)) {
      finish_tile<kInt8, kFirst, kLast>(args, acc, x_scales, scales, column, y, to.stride);
    });
  } else {
#pragma GCC unroll 8
    for (int i = 0; i < MR; ++i) {
      const std::size_t row = static_cast<std::size_t>(i);
      const Vec x_scale = kInt8 ? set(x_scales[row * args.x_stride]) : zero();
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v) {
        const std::size_t c = static_cast<std::size_t>(v) * kLanes;
        if (c >= columns) break;
        finish_vec<kInt8>(args, run, acc[i][v], x_scale, scales + c, column + c, columns - c,
                          y + row * to.stride + c);
      }
    }
  }
  if (run.last && args.activation != Activation::linear) {
    activate_rows(args.activation, y, to.stride, MR, columns);
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
      Run run = {panel, stretch, 0, false, false, args.packed + panel * words};
      do {
        run.length = stretch_end - run.from < run_most ? stretch_end - run.from : run_most;
        run.first = run.from == 0;
        run.last = run.from + run.length == steps;
        // The next run's weights, fetched ahead in this run's tiles: they come from memory or from
        // L3 once for all rows.
        const std::size_t end = run.from + run.length;
        std::size_t next_panel = panel, next_from = end;
        if (end == stretch_end) {
          const bool more_panels = panel + 1 < last_panel;
          next_panel = more_panels ? panel + 1 : first_panel;
          next_from = more_panels ? stretch : end;
        }
        const std::size_t tiles = (args.rows + kTileRows - 1) / kTileRows;
        Prefetch next;
        if (args.rows >= 2 && next_from < steps) {
          next.at =
              reinterpret_cast<const char*>(args.packed + next_panel * words + next_from * kPanel);
          next.lines = (run.length * kPanel * sizeof(float) / 64 + tiles - 1) / tiles;
        }
        // Words of two parts are read eight lines forward and eight back, which the CPU's own
        // prefetchers do not follow, so that a task's first weights would come slowly. (Where they
        // do follow, this would take their place.)
        next.own = Dot::kWords == 2 && args.rows >= 2 && panel == first_panel && run.from == 0;
        for (std::size_t r = 0, rows; r < args.rows; r += rows) {
          rows = rows_of_tile(args.rows - r);
          with_tile(rows, vecs,
                    [&]<int MR, int NV>() { linear_tile<Dot, MR, NV>(args, run, r, to, next); });
          next.at += 64 * next.lines;
          next.own = false;
        }
        run.from = end;
      } while (run.from < stretch_end);
    }
    stretch = stretch_end;
  } while (stretch < steps);
}

}  // namespace
}  // namespace pyroberta::PYROBERTA_ISA
