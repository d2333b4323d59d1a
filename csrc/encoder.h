// A run of transformer blocks over a ragged batch: one call, one team of threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels.h"
#include "memory.h"

namespace pyroberta {

// A linear layer's weight in `pack`'s layout, and its bias.
struct Linear {
  ComputeType type = ComputeType::float32;
  std::size_t n = 0, k = 0;
  float* packed = nullptr;  // not to be written where the block does not own its memory
  float* bias = nullptr;    // [n]
};

struct LayerNorm {
  float* gamma = nullptr;  // [hidden]
  float* beta = nullptr;   // [hidden]
};

// The weights of one block, all in one stretch of memory: its own, or one that outlives it.
class Block {
 public:
  // memory: what another block's memory() held, `words` floats of it aligned to 64 bytes and never
  // written; or null for memory of its own, to be filled. Throws std::invalid_argument where a
  // block of these sizes has not `words`.
  Block(const Kernels& kernels, ComputeType type, std::size_t hidden, std::size_t intermediate_size,
        std::size_t heads, Activation activation, float eps, bool has_cross,
        const float* memory = nullptr, std::size_t words = 0);
  const float* memory() const { return memory_; }
  std::size_t words() const { return words_; }
  bool owns_memory() const { return weights_.size() != 0; }

  const Kernels& kernels;
  const std::size_t hidden, intermediate_size, heads;
  const Activation activation;
  const float eps;
  const bool has_cross;    // it has the cross attention of a decoder
  Linear query_key_value;  // [3 hidden, hidden]: the three weights one below the other
  Linear attention_output, intermediate, output;
  LayerNorm attention_norm, output_norm;
  Linear cross_query, cross_key_value, cross_output;  // key_value: [2 hidden, hidden]
  LayerNorm cross_norm;

 private:
  Buffer weights_;
  float* memory_ = nullptr;
  std::size_t words_ = 0;
};

// Tokens of row r of the batch are x[offsets[r]] to x[offsets[r + 1]].
struct RaggedBatch {
  const std::int64_t* offsets;  // [rows + 1], from 0, not falling
  std::size_t rows;
  std::size_t tokens() const { return static_cast<std::size_t>(offsets[rows]); }
};

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
