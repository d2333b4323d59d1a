// The products: x times a packed weight, and x times a weight as the file has it. The contracts
// are in kernels.h.
//
// Both keep a tile of kTileRows rows in registers while K runs, so that one vector of the weight
// serves all rows of the tile. With 6 rows x stays row-major: a weight panel is what streams.
#ifndef PYROBERTA_ISA
#include "vec/scalar.h"  // so that an editor that opens this file alone can read it
#endif

#include <cstddef>

#include "kernels.h"

namespace pyroberta::PYROBERTA_ISA {
namespace {

constexpr std::size_t kPanel = kPanelVecs * kLanes;

// What a tile fetches into L2 while it computes: the weights that the tiles after it will read.
struct Prefetch {
  const char* at = nullptr;
  std::size_t lines = 0;  // of 64 bytes
};

// acc[i][v] = sum over k of a[i, k] * b[k, v]: the one product that all kernels share, so that
// its order of additions is one too. a: [MR, k; a_stride]. b: [k, kPanel].
template <int MR, int NV>
__attribute__((always_inline)) inline void tile(const float* a, std::size_t a_stride,
                                                const float* b, std::size_t k, Vec (&acc)[MR][NV],
                                                Prefetch next = {}) {
#pragma GCC unroll 8
  for (int i = 0; i < MR; ++i)
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) acc[i][v] = zero();
  const auto steps = [&](std::size_t from, std::size_t to) __attribute__((always_inline)) {
#pragma GCC unroll 1
    for (std::size_t kk = from; kk < to; ++kk) {
      Vec row[NV];
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v)
        row[v] = load(b + kk * kPanel + static_cast<std::size_t>(v) * kLanes);
#pragma GCC unroll 8
      for (int i = 0; i < MR; ++i) {
        const Vec ai = set(a[static_cast<std::size_t>(i) * a_stride + kk]);
#pragma GCC unroll 8
        for (int v = 0; v < NV; ++v) acc[i][v] = fma(ai, row[v], acc[i][v]);
      }
    }
  };
  // A few lines every few steps: the queue of misses is short.
  std::size_t kk = 0;
  constexpr std::size_t kSteps = 8;
  if (next.lines != 0 && k >= kSteps) {
    const std::size_t lines = (next.lines * kSteps + k - 1) / k;
    for (; kk + kSteps <= k; kk += kSteps) {
      for (std::size_t line = 0; line < lines; ++line) {
        __builtin_prefetch(next.at + 64 * line, 0, 2);
      }
      next.at += 64 * lines;
      steps(kk, kk + kSteps);
    }
  }
  steps(kk, k);
}

void pack(const float* w, std::size_t w_stride, std::size_t n, std::size_t k,
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

// One tile of MR rows and NV vectors of one panel, over one run of K.
template <int MR, int NV>
void linear_tile(const LinearArgs& args, std::size_t r, std::size_t panel, std::size_t from,
                 std::size_t length, bool first_run, bool last_run, Prefetch next) {
  Vec acc[MR][NV];
  tile<MR, NV>(args.x + r * args.x_stride + from, args.x_stride,
               args.packed + (panel * args.k + from) * kPanel, length, acc, next);

  const std::size_t column = panel * kPanel;
  const std::size_t columns = args.n - column < kPanel ? args.n - column : kPanel;
#pragma GCC unroll 8
  for (int i = 0; i < MR; ++i) {
    float* y = args.y + (r + static_cast<std::size_t>(i)) * args.y_stride + column;
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) {
      const std::size_t c = static_cast<std::size_t>(v) * kLanes;
      const std::size_t left = columns > c ? columns - c : 0;
      Vec value = acc[i][v];
      if (left >= kLanes) {
        if (!first_run) value = add(load(y + c), value);
        if (last_run && args.bias != nullptr) value = add(value, load(args.bias + column + c));
        store(y + c, value);
      } else if (left != 0) {
        if (!first_run) value = add(load_first(y + c, left), value);
        if (last_run && args.bias != nullptr) {
          value = add(value, load_first(args.bias + column + c, left));
        }
        store_first(y + c, value, left);
      }
    }
    if (last_run) activate_elements(args.activation, y, columns);
  }
}

// Calls f<MR, NV>() with MR = rows and NV = vecs, both known only at run time. MR is tried from
// kTileRows down, NV from kPanelVecs down.
template <class F, int MR = kTileRows, int NV = kPanelVecs>
inline void with_tile(std::size_t rows, std::size_t vecs, const F& f) {
  if (rows < MR) {
    if constexpr (MR > 1) with_tile<F, MR - 1, NV>(rows, vecs, f);
  } else if (vecs < NV) {
    if constexpr (NV > 1) with_tile<F, MR, NV - 1>(rows, vecs, f);
  } else {
    f.template operator()<MR, NV>();
  }
}

void linear(const LinearArgs& args, std::size_t first_panel, std::size_t last_panel) {
  // A stretch of K goes over all panels before the next one starts: its share of x (144 rows of 768
  // are 442 KB) and of a panel (196 KB) stay in L2, while the whole of a long K would not.
  constexpr std::size_t kStretch = 6 * kRun;
  std::size_t stretch = 0;
  do {
    const std::size_t stretch_end = stretch + kStretch < args.k ? stretch + kStretch : args.k;
    for (std::size_t panel = first_panel; panel < last_panel; ++panel) {
      const std::size_t columns = args.n - panel * kPanel;
      const std::size_t vecs = columns >= kPanel ? kPanelVecs : (columns + kLanes - 1) / kLanes;
      std::size_t from = stretch;
      do {
        const std::size_t length = stretch_end - from < kRun ? stretch_end - from : kRun;
        const bool first_run = from == 0, last_run = from + length == args.k;
        // The next run's weights, fetched ahead in this run's tiles: they come from memory or from
        // L3 once for all rows (1x16 12.0 -> 10.0 ms, 1x128 63 -> 55 ms at roberta-base size).
        const bool same_panel = from + length < stretch_end;
        const float* following =
            args.packed +
            (same_panel ? panel * args.k + from + length : (panel + 1) * args.k + stretch) * kPanel;
        Prefetch next;
        if (args.rows >= 2 && (same_panel || panel + 1 < last_panel)) {
          const std::size_t tiles = (args.rows + kTileRows - 1) / kTileRows;
          next.at = reinterpret_cast<const char*>(following);
          next.lines = (kRun * kPanel * sizeof(float) / 64 + tiles - 1) / tiles;
        }
        for (std::size_t r = 0; r < args.rows; r += kTileRows) {
          const std::size_t rows = args.rows - r < kTileRows ? args.rows - r : kTileRows;
          with_tile(rows, vecs, [&]<int MR, int NV>() {
            linear_tile<MR, NV>(args, r, panel, from, length, first_run, last_run, next);
          });
          next.at += 64 * next.lines;
        }
        from += length;
      } while (from < stretch_end);
    }
    stretch = stretch_end;
  } while (stretch < args.k);
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
