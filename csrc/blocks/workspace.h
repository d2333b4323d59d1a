// The memory of one run through blocks.
#pragma once

#include <cstddef>

#include "blocks/block.h"
#include "memory.h"

namespace pyroberta {

// Cut out of one buffer, which is taken from `workspaces` and given back. An operand's part is
// empty where all that is multiplied with it is float32.
class Workspace {
 public:
  // For `tokens` tokens on at most `threads` threads. Throws std::bad_alloc.
  Workspace(const Block* const* blocks, std::size_t count, std::size_t tokens, int threads,
            Workspaces& workspaces);
  ~Workspace();
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  float* scratch(int thread) const {
    return scratch_ + static_cast<std::size_t>(thread) * scratch_size_;
  }

  float* wide;       // [tokens, max(3 hidden, intermediate)]: qkv, then y, then the intermediate
  float* narrow;     // [tokens, hidden]: the heads' results, then the output before its norm
  float* x_operand;  // of x
  float* narrow_operand;  // of the heads' results
  float* wide_operand;    // of the intermediate

 private:
  Workspaces& workspaces_;
  Buffer buffer_;
  float* scratch_;  // scratch_size_ floats for each thread
  std::size_t scratch_size_;
};

}  // namespace pyroberta
