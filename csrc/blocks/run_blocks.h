// A run of transformer blocks over a ragged batch: one call, one team of threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "blocks/block.h"
#include "blocks/ragged_batch.h"
#include "memory.h"

namespace pyroberta {

// The keys and values of the tokens before, for each block [rows, slots, hidden]. Those of the new
// tokens are written to the slots from lengths[row] on.
struct KeyValueCache {
  std::vector<float*> keys, values;
  std::size_t slots;
  const std::int64_t* lengths;  // [rows]
};

// What the rows attend to in an encoder's output: for each block its keys and values
// [encoder tokens, 2 hidden], and for each row its row of the encoder's batch.
struct CrossAttention {
  std::vector<const float*> key_values;
  const std::int64_t* offsets;  // [encoder rows + 1]
  const std::int64_t* rows;     // [rows]
  const float* head_mask;       // [blocks, heads], or null
};

// How a call looks at a run of blocks.
struct RunOptions {
  const float* head_mask = nullptr;  // [blocks, heads], multiplies the heads' results, or null
  bool causal = false;  // a token attends to itself and those before it in its row, else to all
  const KeyValueCache* cache = nullptr;   // the tokens before come first in each row
  const CrossAttention* cross = nullptr;  // attended to between the two halves of each block
  // Null, or for one block its weights, row after row, each [heads, tokens, keys of the row].
  float* attentions = nullptr;
  float* cross_attentions = nullptr;
};

// x [tokens, hidden] goes through the blocks in order, in place (post-LN: Vaswani et al. 2017):
//
//   x = layer_norm(x + attention_output(attention(query_key_value(x))))
//   x = layer_norm(x + cross_output(attention(cross_query(x), keys and values of the encoder)))
//   x = layer_norm(x + output(f(intermediate(x))))
//
// the second line for blocks with cross attention; attention in the type of attention_output.
// Throws std::bad_alloc before anything is changed.
void run_blocks(const Block* const* blocks, std::size_t count, const RaggedBatch& batch,
                const RunOptions& options, Workspaces& workspaces, float* x);

}  // namespace pyroberta
