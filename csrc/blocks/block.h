// One transformer block: its sizes, and where its weights stand.
#pragma once

#include <cstddef>
#include <memory>

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

// The weights of one block, all in one stretch of memory.
class Block {
 public:
  // memory: what another block's memory() held, `words` floats of it aligned to 64 bytes, which
  // this one never writes; or null for memory of its own, to be filled. Throws
  // std::invalid_argument where a block of these sizes has not `words`.
  Block(const Kernels& kernels, ComputeType type, std::size_t hidden, std::size_t intermediate_size,
        std::size_t heads, Activation activation, float eps, bool has_cross,
        std::shared_ptr<const float> memory = nullptr, std::size_t words = 0);
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
  Buffer weights_;                       // its own memory, or
  std::shared_ptr<const float> shared_;  // that of somebody else
  float* memory_ = nullptr;
  std::size_t words_ = 0;
};

// The fields of a block by their names, in the order in which its memory has them: the one list of
// them (checkpoint/block.py says which layers of a file each is made of).
struct LinearField {
  const char* name;
  Linear Block::* field;
  std::size_t parts;                       // layers of the file, one below the other
  const std::size_t Block::*n, Block::*k;  // of each part
  bool of_cross;  // of the cross attention, which only a decoder's block has
};
inline constexpr LinearField kLinearFields[] = {
    {"query_key_value", &Block::query_key_value, 3, &Block::hidden, &Block::hidden, false},
    {"attention_output", &Block::attention_output, 1, &Block::hidden, &Block::hidden, false},
    {"intermediate", &Block::intermediate, 1, &Block::intermediate_size, &Block::hidden, false},
    {"output", &Block::output, 1, &Block::hidden, &Block::intermediate_size, false},
    {"cross_query", &Block::cross_query, 1, &Block::hidden, &Block::hidden, true},
    {"cross_key_value", &Block::cross_key_value, 2, &Block::hidden, &Block::hidden, true},
    {"cross_output", &Block::cross_output, 1, &Block::hidden, &Block::hidden, true}};

struct NormField {
  const char* name;
  LayerNorm Block::* field;
  bool of_cross;
};
inline constexpr NormField kNormFields[] = {{"attention_norm", &Block::attention_norm, false},
                                            {"output_norm", &Block::output_norm, false},
                                            {"cross_norm", &Block::cross_norm, true}};

}  // namespace pyroberta
