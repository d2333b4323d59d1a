// Attention of some queries of one head, by blocks of keys. The contract is in kernels.h.
//
// Blocks are counted from the row's first key, and a key that a query may not see enters with a
// weight of exactly 0. So a query's result has the same bits whether later keys are there and
// masked, or not there yet: a cache filled step by step gives what one pass gives. (0 times a value
// that is not finite is NaN: queries that it reached are done again with the keys that they see.)
#pragma once

#include <cstddef>

#include "kernels.h"
#include "kernels/activate.inl"
#include "kernels/attention_operands.inl"
#include "kernels/functions.inl"
#include "kernels/row.inl"
#include "kernels/tile.inl"
#include "vec/vec.h"

namespace pyroberta::PYROBERTA_ISA {
namespace {

// Scores are taken to base 2: its powers need no product to find their exponent.
constexpr float kLog2E = 1.44269504f;

// The rows of the next tiles that go together where `left` remain: what is less than twice as many
// is halved, as in rows_of_tile.
constexpr std::size_t rows_together(std::size_t left) {
  if (left >= 2 * kScoreRows) return kScoreRows;
  return left > kScoreRows ? (left + 1) / 2 : left;
}

// Calls f<MR>() with MR = rows, at most kTileRows.
template <class F, int MR = kTileRows>
__attribute__((always_inline)) inline void with_rows(std::size_t rows, const F& f) {
  if (rows >= MR) {
    f.template operator()<MR>();
  } else if constexpr (MR > 1) {
    with_rows<F, MR - 1>(rows, f);
  }
}

// Calls f<NV>() for the vectors of one panel that hold `columns`; the whole panel first, since that
// is nearly all of them.
template <class F, int NV = kPanelVecs>
__attribute__((always_inline)) inline void with_vecs(std::size_t columns, const F& f) {
  if constexpr (NV == 1) {
    f.template operator()<1>();
  } else if (columns > (NV - 1) * kLanes) {
    f.template operator()<NV>();
  } else {
    with_vecs<F, NV - 1>(columns, f);
  }
}

// scores[i, j] of `rows` queries and the `keys` of a packed block, in whole vectors.
template <class Number>
inline void score(const float* queries, std::size_t rows, std::size_t head_size,
                  const float* packed_keys, std::size_t keys, float* scores) {
  const std::size_t words = query_words<Number>(head_size);
  for (std::size_t panel = 0; panel * kPanel < keys; ++panel) {
    for (std::size_t i = 0, here; i < rows; i += here) {
      here = rows_of_tile(rows - i);
      with_rows(here, [&]<int MR>() {
        with_vecs(keys - panel * kPanel, [&]<int NV>() {
          Vec acc[MR][NV];
          tile<typename Number::Dot, MR, NV>(queries + i * words, words,
                                             packed_keys + panel * words * kPanel, words, acc);
          float* to = scores + i * kScores + panel * kPanel;
          for (int r = 0; r < MR; ++r, to += kScores)
            for (int v = 0; v < NV; ++v)
              store(to + static_cast<std::size_t>(v) * kLanes, acc[r][v]);
        });
      });
    }
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

// For MR queries: scores [MR, kScores] -> weights 2^(score - largest so far), as numbers,
// 0 from counts[r] to the last row's count. corrections [MR] are what the earlier sums have to be
// multiplied with. The rows go through each stage together, since a row alone waits for its own
// maximum most of the time.
template <class Number, int MR>
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
  store(factors,
        where_less(set(lowest), after, exp2_of_negative(sub(load(before), after)), set(1.0f)));
#pragma GCC unroll 8
  for (int r = 0; r < MR; ++r) {
    float* row = scores + static_cast<std::size_t>(r) * kScores;
    const Vec by = set(now[r]);
    RowSum sums;
    // Numbers are no longer than scores: what they overwrite has been read.
    each_vec(counts[r], [&](std::size_t j, std::size_t v, std::size_t n) {
      const Vec w = keep_some(exp2_of_negative(sub(load(row + j), by)), n);
      store_numbers<Number>(row, j, w);
      sums.lanes[v] = add(sums.lanes[v], w);
    });
    for (std::size_t j = round_up(counts[r], kLanes); j < counts[MR - 1]; j += kLanes) {
      store_numbers<Number>(row, j, zero());
    }
    float* total = totals + static_cast<std::size_t>(r) * kRowLanes;
#pragma GCC unroll 8
    for (std::size_t v = 0; v < kRowVecs; ++v, total += kLanes) {
      store(total, fma(load(total), set(factors[r]), sums.lanes[v]));
    }
    corrections[r] = factors[r];
  }
}

// sums[i] = sums[i] * corrections[i] + weights[i] . values, for `rows` queries from query `first`
// on and the block of keys from key `from` on.
template <class Number>
inline void add_values(const AttentionArgs& args, const AttentionScratch& s, std::size_t first,
                       std::size_t rows, std::size_t from, const float* corrections) {
  for (std::size_t panel = 0; panel * kPanel < args.head_size; ++panel) {
    for (std::size_t i = 0, here; i < rows; i += here) {
      here = rows_of_tile(rows - i);
      const std::size_t keys = seen(args, first + i + here - 1, from);
      if (keys == 0) continue;
      const std::size_t steps = (keys + Number::kInWord - 1) / Number::kInWord;
      with_rows(here, [&]<int MR>() {
        with_vecs(args.head_size - panel * kPanel, [&]<int NV>() {
          Vec acc[MR][NV];
          tile<typename Number::Dot, MR, NV>(s.scores + i * kScores, kScores,
                                             s.values + panel * kAttentionKeys * kPanel, steps,
                                             acc);
          float* to = s.sums + (first + i) * s.padded + panel * kPanel;
          for (int r = 0; r < MR; ++r, to += s.padded)
            for (int v = 0; v < NV; ++v) {
              float* at = to + static_cast<std::size_t>(v) * kLanes;
              const Vec by = set(corrections[i + static_cast<std::size_t>(r)]);
              store(at, fma(load(at), by, acc[r][v]));
            }
        });
      });
    }
  }
}

// Scores: the numbers of queries and keys; Values: of weights and values.
template <class Scores, class Values>
void attend(const AttentionArgs& args) {
  const AttentionScratch s(args.head_size, args.scratch);
  const std::size_t words = query_words<Scores>(args.head_size);
  const std::size_t first_keys = args.keys < kAttentionKeys ? args.keys : kAttentionKeys;
  if (!args.fetched) prefetch_keys(args, 0, first_keys);
  scale_queries<Scores>(args, args.scale * kLog2E, s.queries);
  for (std::size_t i = 0; i < args.queries; ++i) {
    s.largest[i] = -__builtin_inff();
    for (std::size_t v = 0; v < kRowLanes; v += kLanes) store(s.totals + i * kRowLanes + v, zero());
    for (std::size_t c = 0; c < s.padded; c += kLanes) store(s.sums + i * s.padded + c, zero());
  }
  for (std::size_t from = 0; from < args.keys; from += kAttentionKeys) {
    if (args.queries == 0 || seen(args, args.queries - 1, from) == 0) break;
    const std::size_t left = args.keys - from;
    const std::size_t keys = left < kAttentionKeys ? left : kAttentionKeys;
    pack_keys<Scores>(args, from, keys, s.keys);
    pack_values<Values>(args, from, keys, s.values);
    // The next block's keys and values, or those of the next head and its queries: some for each
    // tile of this block.
    const std::size_t tiles = (args.queries + kTileRows - 1) / kTileRows;
    const std::size_t share = (kAttentionKeys + tiles - 1) / tiles;
    std::size_t ahead = from + keys;
    const bool last_block = ahead == args.keys || seen(args, args.queries - 1, ahead) == 0;
    const bool next_head = args.fetch_next && last_block;
    if (last_block) ahead = next_head ? 0 : args.keys;
    const std::size_t block_end = ahead + kAttentionKeys;
    const std::size_t ahead_end = block_end < args.keys ? block_end : args.keys;
    const std::size_t columns = next_head ? args.head_size : 0;
    for (std::size_t i = 0, rows; i < args.queries; i += rows) {
      rows = rows_together(args.queries - i);
      const std::size_t fetched = ahead + share * ((rows + kTileRows - 1) / kTileRows);
      const std::size_t until = fetched < ahead_end ? fetched : ahead_end;
      prefetch_keys(args, ahead, until, columns);
      ahead = until;
      if (next_head) {
        prefetch_rows(args.q + args.head_size, args.q_stride, args.head_size, i, i + rows);
      }
      if (seen(args, i + rows - 1, from) == 0) continue;
      score<Scores>(s.queries + i * words, rows, args.head_size, s.keys, keys, s.scores);
      float corrections[kScoreRows];
      for (std::size_t r = 0, here; r < rows; r += here) {
        here = rows_of_tile(rows - r);
        if (seen(args, i + r + here - 1, from) == 0) continue;
        with_rows(here, [&]<int MR>() {
          std::size_t counts[MR];
          for (int n = 0; n < MR; ++n) {
            counts[n] = seen(args, i + r + static_cast<std::size_t>(n), from);
          }
          weigh<Values, MR>(s.scores + r * kScores, counts, s.largest + i + r,
                            s.totals + (i + r) * kRowLanes, corrections + r);
        });
      }
      add_values<Values>(args, s, i, rows, from, corrections);
    }
  }
  std::size_t spoilt = args.queries;  // the first query that may be so by a key it does not see
  for (std::size_t i = 0; i < args.queries; ++i) {
    RowSum totals;
    for (std::size_t v = 0; v < kRowVecs; ++v) {
      totals.lanes[v] = load(s.totals + i * kRowLanes + v * kLanes);
    }
    const float total = totals.total();
    const Vec by = set(total > 0.0f ? args.head_weight / total : 0.0f);
    Vec differences = zero();
    for (std::size_t c = 0; c < args.head_size; c += kLanes) {
      const std::size_t lanes = args.head_size - c < kLanes ? args.head_size - c : kLanes;
      const Vec y = mul(load(s.sums + i * s.padded + c), by);
      differences = add(differences, sub(y, y));  // NaN, unless all are finite
      float* out = args.y + i * args.y_stride + c;
      if (lanes == kLanes) {
        store(out, y);
      } else {
        store_first(out, y, lanes);
      }
    }
    const bool hides = args.visible < args.keys && args.visible + i < args.keys;
    if (hides && !(sum(differences) == 0.0f) && spoilt == args.queries) spoilt = i;
  }
  for (std::size_t i = spoilt; i < args.queries && args.visible + i < args.keys; ++i) {
    AttentionArgs one = args;
    one.q += i * args.q_stride;
    one.y += i * args.y_stride;
    one.queries = 1;
    one.keys = one.visible = args.visible + i;
    one.fetched = true;
    one.fetch_next = false;
    attend<Scores, Values>(one);
  }
}

void attention(const AttentionArgs& args) {
  switch (args.type) {
    case ComputeType::int8:
      return attend<Bfloat16Number, Bfloat16Number>(args);
    case ComputeType::bfloat16:
      return attend<Float32Number, Bfloat16Number>(args);
    default:
      attend<Float32Number, Float32Number>(args);
  }
}

void attention_weights(const AttentionArgs& args) {
  const AttentionScratch s(args.head_size, args.scratch);
  scale_queries<Float32Number>(args, args.scale, s.queries);
  for (std::size_t from = 0; from < args.keys; from += kAttentionKeys) {
    const std::size_t left = args.keys - from;
    const std::size_t keys = left < kAttentionKeys ? left : kAttentionKeys;
    pack_keys<Float32Number>(args, from, keys, s.keys);
    for (std::size_t i = 0, rows; i < args.queries; i += rows) {
      rows = rows_together(args.queries - i);
      score<Float32Number>(s.queries + i * args.head_size, rows, args.head_size, s.keys, keys,
                           s.scores);
      for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t j = 0; j < keys; ++j)
          args.y[(i + r) * args.y_stride + from + j] = s.scores[r * kScores + j];
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
