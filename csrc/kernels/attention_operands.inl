// What attention multiplies: queries, keys and values as its products read them, and its scratch.
#pragma once

#include <cstddef>
#include <type_traits>

#include "kernels.h"
#include "kernels/pack.inl"
#include "kernels/storage.inl"
#include "kernels/row.inl"
#include "kernels/tile.inl"
#include "vec/vec.h"

namespace pyroberta::PYROBERTA_ISA {
namespace {

// From one row of scores to the next.
constexpr std::size_t kScores = round_up(kAttentionKeys, kPanel);

// Tiles of queries that go through a block of keys together. It and its values (64 KB of float32)
// are more than L1 holds: this way L2 is read half as often. (Four tiles gain no more.)
constexpr std::size_t kTilesTogether = 2;
constexpr std::size_t kScoreRows = kTilesTogether * kTileRows;

// How the numbers of both products are stored, and rounded before: as they are, or as bfloat16.
struct Float32Number {
  using Dot = Float32Dot;
  static constexpr std::size_t kInWord = 1;
  static Vec rounded(Vec v) { return v; }
};
struct Bfloat16Number {
  using Dot = std::conditional_t<kDotsBfloat16, Bfloat16Dot, Float32Dot>;
  static constexpr std::size_t kInWord = kDotsBfloat16 ? 2 : 1;
  static Vec rounded(Vec v) { return round_bfloat16(v); }
};

// kLanes numbers of a row from column c on.
template <class Number>
inline void store_numbers(float* row, std::size_t c, Vec v) {
  if constexpr (Number::kInWord == 2) {
    store_bfloat16(reinterpret_cast<char*>(row) + 2 * c, v);
  } else {
    store(row + c, Number::rounded(v));
  }
}

// The words of one row of queries, and the steps of a product with it.
template <class Number>
inline std::size_t query_words(std::size_t head_size) {
  return Number::kInWord == 2 ? packed_steps(ComputeType::bfloat16, head_size) : head_size;
}

// A row of queries or keys, as words of any type.
constexpr std::size_t attention_width(std::size_t head_size) { return round_up(head_size, 32); }

// The parts of AttentionArgs::scratch, one behind the other. Place: float*, or std::size_t to
// count.
template <class Place>
struct AttentionParts {
  AttentionParts(std::size_t head_size, Place begin)
      : padded(round_up(head_size, kPanel)),
        keys(begin),
        values(keys + kScores * attention_width(head_size)),
        queries(values + kAttentionKeys * padded),
        sums(queries + kAttentionQueries * attention_width(head_size)),
        largest(sums + kAttentionQueries * padded),
        totals(largest + kAttentionQueries),
        scores(totals + kAttentionQueries * kRowLanes) {}
  Place end() const { return scores + kScoreRows * kScores; }
  std::size_t padded;  // head_size, rounded up to whole panels
  Place keys;          // one block of keys, packed as `pack` does
  Place values;        // one block of values, [padded / kPanel, kAttentionKeys, kPanel], of which
                       // words of two fill the first half
  Place queries;       // [queries, query_words], scaled
  Place sums;          // [queries, padded], the weighted values so far
  Place largest;       // [queries], of the scores so far
  Place totals;        // [queries, kRowLanes], what the weights so far sum up to, lane by lane
  Place scores;        // [kScoreRows, kScores]
};

using AttentionScratch = AttentionParts<float*>;

std::size_t attention_scratch(std::size_t head_size) {
  return AttentionParts<std::size_t>(head_size, 0).end();
}

// The block of values from key `from` on, in panels, columns beyond head_size zero.
template <class Number>
inline void pack_values(const AttentionArgs& args, std::size_t from, std::size_t keys,
                        float* values) {
  for (std::size_t c = 0; c < round_up(args.head_size, kPanel); c += kLanes) {
    const std::size_t lanes = args.head_size > c ? args.head_size - c : 0;
    float* out = values + (c / kPanel) * kAttentionKeys * kPanel + c % kPanel;
    const auto value = [&](std::size_t j) {
      if (lanes == 0 || j >= keys) return zero();
      return load_some(args.v + (from + j) * args.v_stride + c, lanes);
    };
    for (std::size_t j = 0; j < keys; j += Number::kInWord, out += kPanel) {
      if constexpr (Number::kInWord == 2) {
        store(out, pair_bfloat16(value(j), value(j + 1)));
      } else {
        store(out, Number::rounded(value(j)));
      }
    }
  }
}

template <class Number>
inline void scale_queries(const AttentionArgs& args, float scale, float* queries) {
  const std::size_t words = query_words<Number>(args.head_size);
  const Vec by = set(scale);
  for (std::size_t i = 0; i < args.queries; ++i) {
    const float* q = args.q + i * args.q_stride;
    float* out = queries + i * words;
    for (std::size_t c = 0; c < words * Number::kInWord; c += kLanes) {
      const std::size_t lanes = args.head_size > c ? args.head_size - c : 0;
      const Vec scaled = lanes == 0 ? zero() : mul(load_some(q + c, lanes), by);
      if (Number::kInWord == 2 || lanes >= kLanes) {
        store_numbers<Number>(out, c, scaled);
      } else {
        store_first(out + c, Number::rounded(scaled), lanes);
      }
    }
  }
}

// The block of keys from key `from` on, in panels as `pack` has them, but only whole vectors of
// them: what stands behind the last one is not read.
template <class Number>
inline void pack_keys(const AttentionArgs& args, std::size_t from, std::size_t keys, float* out) {
  const std::size_t words = query_words<Number>(args.head_size);
  for (std::size_t j = 0; j < keys; j += kLanes) {
    const float* k = args.k + (from + j) * args.k_stride;
    const std::size_t count = keys - j < kLanes ? keys - j : kLanes;
    float* to = out + j / kPanel * words * kPanel + j % kPanel;
    for (std::size_t w = 0; w < words; w += kLanes) {
      const std::size_t here = words - w < kLanes ? words - w : kLanes;
      if (std::is_same_v<Number, Float32Number> && count == kLanes && here == kLanes) {
        transpose(k + w, args.k_stride, to + w * kPanel, kPanel);
        continue;
      }
      float block[kLanes * kLanes], turned[kLanes * kLanes];
      for (std::size_t i = 0; i < kLanes; ++i) {
        const float* row = k + (i < count ? i : 0) * args.k_stride;
        if constexpr (Number::kInWord == 2) {
          weight_words(ComputeType::bfloat16, row, 2 * w, args.head_size, 0.0f, false,
                       block + i * kLanes);
        } else {
          store(block + i * kLanes, Number::rounded(load_some(row + w, here)));
        }
      }
      transpose(block, kLanes, turned, kLanes);
      for (std::size_t i = 0; i < here; ++i) {
        store(to + (w + i) * kPanel, load(turned + i * kLanes));
      }
    }
  }
}

// Fetches rows [first, last) of an array of `width` columns. They stand a long stride apart, which
// the memory's own prefetchers do not follow.
inline void prefetch_rows(const float* x, std::size_t stride, std::size_t width, std::size_t first,
                          std::size_t last) {
  for (std::size_t i = first; i < last; ++i) {
    const char* row = reinterpret_cast<const char*>(x + i * stride);
    for (std::size_t at = 0; at < width * sizeof(float); at += 64) {
      __builtin_prefetch(row + at, 0, 2);
    }
  }
}

// Fetches rows [first, last) of the keys and values; of the next head's where columns is head_size.
inline void prefetch_keys(const AttentionArgs& args, std::size_t first, std::size_t last,
                          std::size_t columns = 0) {
  prefetch_rows(args.k + columns, args.k_stride, args.head_size, first, last);
  prefetch_rows(args.v + columns, args.v_stride, args.head_size, first, last);
}

}  // namespace
}  // namespace pyroberta::PYROBERTA_ISA
