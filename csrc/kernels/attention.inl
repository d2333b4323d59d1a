// Attention of some queries of one head, by blocks of keys. The contract is in kernels.h.
//
// Blocks are counted from the row's first key, and a key that a query may not see enters with a
// weight of exactly 0. So a query's result has the same bits whether later keys are there and
// masked, or not there yet: a cache filled step by step gives what one pass gives.
#ifndef PYROBERTA_ISA
#include "vec/scalar.h"  // so that an editor that opens this file alone can read it
#endif

#include <cstddef>

#include "kernels.h"

namespace pyroberta::PYROBERTA_ISA {
namespace {

constexpr std::size_t kScores = (kAttentionKeys + kPanel - 1) / kPanel * kPanel;

// The parts of AttentionArgs::scratch.
struct AttentionScratch {
  AttentionScratch(const AttentionArgs& args)
      : padded(round_up(args.head_size, kPanel)),
        keys(args.scratch),
        values(keys + kScores * args.head_size),
        queries(values + kAttentionKeys * padded),
        sums(queries + kAttentionQueries * args.head_size),
        largest(sums + kAttentionQueries * padded),
        total(largest + kAttentionQueries),
        scores(total + kAttentionQueries) {}
  std::size_t padded;      // head_size, rounded up to whole panels
  float* keys;             // one block of keys, packed as `pack` does
  float* values;           // one block of values, [padded / kPanel, kAttentionKeys, kPanel]
  float* queries;          // [queries, head_size], scaled
  float* sums;             // [queries, padded], the weighted values so far
  float *largest, *total;  // [queries], of the scores so far
  float* scores;           // [kTileRows, kScores]
};

// The block of values from key `from` on, in panels, columns beyond head_size zero.
inline void pack_values(const AttentionArgs& args, std::size_t from, std::size_t keys,
                        float* values) {
  for (std::size_t c = 0; c < args.head_size; c += kLanes) {
    const std::size_t lanes = args.head_size - c < kLanes ? args.head_size - c : kLanes;
    float* out = values + (c / kPanel) * kAttentionKeys * kPanel + c % kPanel;
    for (std::size_t j = 0; j < keys; ++j) {
      const float* v = args.v + (from + j) * args.v_stride + c;
      store(out + j * kPanel, lanes == kLanes ? load(v) : load_first(v, lanes));
    }
  }
  for (std::size_t c = round_up(args.head_size, kLanes); c < round_up(args.head_size, kPanel);
       c += kLanes) {
    float* out = values + (c / kPanel) * kAttentionKeys * kPanel + c % kPanel;
    for (std::size_t j = 0; j < keys; ++j) store(out + j * kPanel, zero());
  }
}

inline void scale_queries(const AttentionArgs& args, float* queries) {
  for (std::size_t i = 0; i < args.queries; ++i)
    for (std::size_t c = 0; c < args.head_size; c += kLanes) {
      const std::size_t lanes = args.head_size - c < kLanes ? args.head_size - c : kLanes;
      const float* q = args.q + i * args.q_stride + c;
      store_first(queries + i * args.head_size + c, mul(load_first(q, lanes), set(args.scale)),
                  lanes == kLanes ? 0 : lanes);
      if (lanes == kLanes) store(queries + i * args.head_size + c, mul(load(q), set(args.scale)));
    }
}

// scores[i, j] of MR queries and the `keys` of a packed block, a whole panel at a time.
template <int MR>
inline void score_tile(const float* queries, std::size_t head_size, const float* packed_keys,
                       std::size_t keys, float* scores) {
  for (std::size_t panel = 0; panel * kPanel < keys; ++panel) {
    Vec acc[MR][kPanelVecs];
    tile<Float32Dot, MR, kPanelVecs>(queries, head_size, packed_keys + panel * head_size * kPanel,
                                     head_size, acc);
    for (int i = 0; i < MR; ++i)
      for (int v = 0; v < kPanelVecs; ++v)
        store(scores + static_cast<std::size_t>(i) * kScores + panel * kPanel +
                  static_cast<std::size_t>(v) * kLanes,
              acc[i][v]);
  }
}

// The keys that query i sees in the block from key `from` on.
inline std::size_t seen(const AttentionArgs& args, std::size_t i, std::size_t from) {
  const std::size_t visible = args.visible >= args.keys ? args.keys : args.visible + i;
  const std::size_t end = visible < args.keys ? visible : args.keys;
  const std::size_t count = end > from ? end - from : 0;
  return count < kAttentionKeys ? count : kAttentionKeys;
}

// The lanes from `count` on as if the score in lane 0 stood there: they change no maximum.
inline Vec repeat_first(const float* scores, std::size_t count) {
  const Vec first_score = set(scores[0]);
  return add(load_first(scores, count), sub(first_score, keep_first(first_score, count)));
}

// For MR queries: scores [MR, kScores] -> weights exp(score - largest so far), 0 from counts[r] on.
// corrections [MR] are what the earlier sums have to be multiplied with. The rows go through each
// stage together, since a row alone waits for its own maximum and sum most of the time.
template <int MR>
inline void weigh(float* scores, const std::size_t* counts, float* largest_so_far, float* totals,
                  float* corrections) {
  const float lowest = -__builtin_inff();
  float now[kLanes], before[kLanes];
  store(now, set(lowest));
  store(before, set(lowest));
#pragma GCC unroll 8
  for (int r = 0; r < MR; ++r) {
    const float* row = scores + static_cast<std::size_t>(r) * kScores;
    before[r] = largest_so_far[r];
    Vec top = set(before[r]);
    std::size_t j = 0;
    for (; j + kLanes <= counts[r]; j += kLanes) top = max(top, load(row + j));
    if (j < counts[r]) top = max(top, repeat_first(row + j, counts[r] - j));
    now[r] = largest_so_far[r] = largest(top);
  }
  // Where nothing was seen yet, both are the lowest, and their difference is not a number: 1.
  const Vec after = load(now);
  float factors[kLanes];
  store(factors, where_less(set(lowest), after, exp(sub(load(before), after)), set(1.0f)));
#pragma GCC unroll 8
  for (int r = 0; r < MR; ++r) {
    float* row = scores + static_cast<std::size_t>(r) * kScores;
    const Vec by = set(now[r]);
    Vec sums = zero();
    std::size_t j = 0;
    for (; j + kLanes <= counts[r]; j += kLanes) {
      const Vec w = exp(sub(load(row + j), by));
      store(row + j, w);
      sums = add(sums, w);
    }
    if (j < counts[r]) {
      const Vec w = keep_first(exp(sub(load(row + j), by)), counts[r] - j);
      store(row + j, w);
      sums = add(sums, w);
      j += kLanes;
    }
    for (; j < kScores; j += kLanes) store(row + j, zero());
    totals[r] = totals[r] * factors[r] + sum(sums);
    corrections[r] = factors[r];
  }
}

// sums[i] = sums[i] * correction[i] + weights[i] . values, for MR queries.
template <int MR>
inline void add_values(const float* weights, std::size_t keys, const AttentionScratch& scratch,
                       std::size_t head_size, const float* corrections, float* sums) {
  for (std::size_t panel = 0; panel * kPanel < head_size; ++panel) {
    const std::size_t columns = head_size - panel * kPanel;
    const std::size_t vecs = columns >= kPanel ? kPanelVecs : (columns + kLanes - 1) / kLanes;
    with_tile(MR, vecs, [&]<int Rows, int NV>() {
      if constexpr (Rows == MR) {
        Vec acc[MR][NV];
        tile<Float32Dot, MR, NV>(weights, kScores, scratch.values + panel * kAttentionKeys * kPanel,
                                 keys, acc);
        for (int i = 0; i < MR; ++i)
          for (int v = 0; v < NV; ++v) {
            float* at = sums + static_cast<std::size_t>(i) * scratch.padded + panel * kPanel +
                        static_cast<std::size_t>(v) * kLanes;
            store(at, fma(load(at), set(corrections[i]), acc[i][v]));
          }
      }
    });
  }
}

// Fetches rows [first, last) of the keys and values: they stand a long stride apart, which the
// memory's own prefetchers do not follow.
inline void prefetch_keys(const AttentionArgs& args, std::size_t first, std::size_t last) {
  const std::size_t bytes = args.head_size * sizeof(float);
  for (std::size_t j = first; j < last; ++j) {
    const char* k = reinterpret_cast<const char*>(args.k + j * args.k_stride);
    const char* v = reinterpret_cast<const char*>(args.v + j * args.v_stride);
    for (std::size_t at = 0; at < bytes; at += 64) {
      __builtin_prefetch(k + at, 0, 2);
      __builtin_prefetch(v + at, 0, 2);
    }
  }
}

void attention(const AttentionArgs& args) {
  const AttentionScratch s(args);
  prefetch_keys(args, 0, args.keys < kAttentionKeys ? args.keys : kAttentionKeys);
  scale_queries(args, s.queries);
  for (std::size_t i = 0; i < args.queries; ++i) {
    s.largest[i] = -__builtin_inff();
    s.total[i] = 0.0f;
    for (std::size_t c = 0; c < s.padded; c += kLanes) store(s.sums + i * s.padded + c, zero());
  }
  for (std::size_t from = 0; from < args.keys; from += kAttentionKeys) {
    if (args.queries == 0 || seen(args, args.queries - 1, from) == 0) break;
    const std::size_t left = args.keys - from;
    const std::size_t keys = left < kAttentionKeys ? left : kAttentionKeys;
    pack_float32(args.k + from * args.k_stride, args.k_stride, keys, args.head_size, 0,
                 (keys + kPanel - 1) / kPanel, s.keys);
    pack_values(args, from, keys, s.values);
    // The next block's keys and values, some for each tile of this one.
    const std::size_t tiles = (args.queries + kTileRows - 1) / kTileRows;
    const std::size_t share = (kAttentionKeys + tiles - 1) / tiles;
    std::size_t ahead = from + keys;
    const std::size_t block_end = ahead + kAttentionKeys;
    const std::size_t ahead_end = block_end < args.keys ? block_end : args.keys;
    for (std::size_t i = 0; i < args.queries; i += kTileRows) {
      const std::size_t until = ahead + share < ahead_end ? ahead + share : ahead_end;
      prefetch_keys(args, ahead, until);
      ahead = until;
      const std::size_t left_rows = args.queries - i;
      with_tile(left_rows < kTileRows ? left_rows : kTileRows, 1, [&]<int MR, int NV>() {
        if constexpr (NV == 1) {
          const std::size_t most_seen = seen(args, i + MR - 1, from);
          if (most_seen == 0) return;
          score_tile<MR>(s.queries + i * args.head_size, args.head_size, s.keys, keys, s.scores);
          std::size_t counts[MR];
          for (int r = 0; r < MR; ++r)
            counts[r] = seen(args, i + static_cast<std::size_t>(r), from);
          float corrections[MR];
          weigh<MR>(s.scores, counts, s.largest + i, s.total + i, corrections);
          add_values<MR>(s.scores, most_seen, s, args.head_size, corrections,
                         s.sums + i * s.padded);
        }
      });
    }
  }
  for (std::size_t i = 0; i < args.queries; ++i) {
    const Vec by = set(s.total[i] > 0.0f ? args.head_weight / s.total[i] : 0.0f);
    for (std::size_t c = 0; c < args.head_size; c += kLanes) {
      const std::size_t lanes = args.head_size - c < kLanes ? args.head_size - c : kLanes;
      const Vec y = mul(load(s.sums + i * s.padded + c), by);
      float* out = args.y + i * args.y_stride + c;
      if (lanes == kLanes) {
        store(out, y);
      } else {
        store_first(out, y, lanes);
      }
    }
  }
}

void attention_weights(const AttentionArgs& args) {
  const AttentionScratch s(args);
  scale_queries(args, s.queries);
  for (std::size_t from = 0; from < args.keys; from += kAttentionKeys) {
    const std::size_t left = args.keys - from;
    const std::size_t keys = left < kAttentionKeys ? left : kAttentionKeys;
    pack_float32(args.k + from * args.k_stride, args.k_stride, keys, args.head_size, 0,
                 (keys + kPanel - 1) / kPanel, s.keys);
    for (std::size_t i = 0; i < args.queries; i += kTileRows) {
      const std::size_t left_rows = args.queries - i;
      with_tile(left_rows < kTileRows ? left_rows : kTileRows, 1, [&]<int MR, int NV>() {
        if constexpr (NV == 1) {
          score_tile<MR>(s.queries + i * args.head_size, args.head_size, s.keys, keys, s.scores);
          for (int r = 0; r < MR; ++r)
            for (std::size_t j = 0; j < keys; ++j)
              args.y[(i + static_cast<std::size_t>(r)) * args.y_stride + from + j] =
                  s.scores[static_cast<std::size_t>(r) * kScores + j];
        }
      });
    }
  }
  for (std::size_t i = 0; i < args.queries; ++i) {
    float* y = args.y + i * args.y_stride;
    const std::size_t visible = args.visible >= args.keys ? args.keys : args.visible + i;
    const std::size_t end = visible < args.keys ? visible : args.keys;
    if (end != 0) softmax_row(Activation::softmax, y, end);
    for (std::size_t j = 0; j < end; ++j) y[j] *= args.head_weight;
    for (std::size_t j = end; j < args.keys; ++j) y[j] = 0.0f;
  }
}

}  // namespace
}  // namespace pyroberta::PYROBERTA_ISA
