// A run of transformer blocks over a ragged batch: one call, one team of threads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels.h"
#include "memory.h"

namespace pyroberta {

// A linear layer's weight in `pack`'s layout, and its bias.
struct Linear {
  std::size_t n = 0, k = 0;
  float* packed = nullptr;
  float* bias = nullptr;  // [n]
};

struct LayerNorm {
  float* gamma = nullptr;  // [hidden]
  float* beta = nullptr;   // [hidden]
};

// The weights of one block, all in one buffer of its own.
class Block {
 public:
  Block(const Kernels& kernels, std::size_t hidden, std::size_t intermediate_size,
        std::size_t heads, Activation activation, float eps);

  const Kernels& kernels;
  const std::size_t hidden, intermediate_size, heads;
  const Activation activation;
  const float eps;
  Linear query_key_value;  // [3 hidden, hidden]: the three weights one below the other
  Linear attention_output, intermediate, output;
  LayerNorm attention_norm, output_norm;

 private:
  Buffer weights_;
};

// Tokens of row r of the batch are x[offsets[r]] to x[offsets[r + 1]].
struct RaggedBatch {
  const std::int64_t* offsets;  // [rows + 1], from 0, not falling
  std::size_t rows;
  std::size_t tokens() const { return static_cast<std::size_t>(offsets[rows]); }
};

// x [tokens, hidden] goes through the blocks in order, in place (post-LN: Vaswani et al. 2017):
//
//   x = layer_norm(x + attention_output(attention(query_key_value(x))))
//   x = layer_norm(x + output(f(intermediate(x))))
//
// head_mask: [count, heads], multiplies the heads' results, or null. causal: a token attends to
// itself and those before it in its row, else to all of its row. attentions: null, or for one
// block its weights, row after row, each [heads, tokens of the row, tokens of the row].
// Throws std::bad_alloc before anything is changed.
void run_blocks(const Block* const* blocks, std::size_t count, const RaggedBatch& batch,
                const float* head_mask, bool causal, float* attentions, Workspaces& workspaces,
                float* x);

}  // namespace pyroberta
