// How the attention of a ragged batch is cut into tasks.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "blocks/ragged_batch.h"
#include "kernels.h"
#include "threads/team.h"

namespace pyroberta {

// Some queries of one row of the batch.
struct QueryChunk {
  std::size_t row;
  std::size_t begin;         // where the row stands in the run of tokens
  std::size_t first, count;  // the queries, counted from the row's first new token
  std::size_t tokens, keys;  // of the whole row
  std::size_t attentions;    // where the row's attention weights begin
};

// The chunks of all rows, where row r has keys(r) keys.
template <class F>
std::vector<QueryChunk> query_chunks(const RaggedBatch& batch, std::size_t heads,
                                     const F& keys_of) {
  std::vector<QueryChunk> chunks;
  std::size_t attentions = 0;
  for (std::size_t r = 0; r < batch.rows; ++r) {
    const std::size_t begin = static_cast<std::size_t>(batch.offsets[r]);
    const std::size_t tokens = static_cast<std::size_t>(batch.offsets[r + 1]) - begin;
    const std::size_t keys = keys_of(r, tokens);
    // Even chunks: each packs all the keys that its queries see.
    const std::size_t pieces = (tokens + kAttentionQueries - 1) / kAttentionQueries;
    const std::size_t size = pieces == 0 ? 1 : (tokens + pieces - 1) / pieces;
    for (std::size_t first = 0; first < tokens; first += size) {
      const std::size_t count = std::min(size, tokens - first);
      chunks.push_back({r, begin, first, count, tokens, keys, attentions});
    }
    attentions += heads * tokens * keys;
  }
  return chunks;
}

// `groups` tasks for each chunk, shared out by what they cost. The rows stay in order, so that a
// thread has about the rows that it has in the products.
inline Shares share_out(const std::vector<QueryChunk>& chunks, std::size_t groups,
                        std::size_t threads) {
  const auto cost = [](const QueryChunk& chunk) { return chunk.keys * chunk.count; };
  std::size_t total = 0, before = 0, t = 1;
  for (const QueryChunk& chunk : chunks) total += cost(chunk);
  Shares tasks;
  for (std::size_t c = 0; c < chunks.size(); before += cost(chunks[c]), ++c) {
    for (std::size_t to; t < threads && (to = total / threads * t) < before + cost(chunks[c]);
         ++t) {
      tasks.first[t] = c * groups + (to - before) * groups / cost(chunks[c]);
    }
  }
  for (; t <= threads; ++t) tasks.first[t] = chunks.size() * groups;
  return tasks;
}

}  // namespace pyroberta
