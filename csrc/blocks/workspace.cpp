// The contract is in workspace.h.
#include "blocks/workspace.h"

#include <algorithm>
#include <utility>

#include "kernels.h"
#include "threads/product_tasks.h"

namespace pyroberta {

Workspace::Workspace(const Block* const* blocks, std::size_t count, std::size_t tokens, int threads,
                     Workspaces& workspaces)
    : workspaces_(workspaces) {
  const Block& b = *blocks[0];
  const std::size_t wide_size = round_up(tokens * std::max(3 * b.hidden, b.intermediate_size), 16);
  const std::size_t narrow_size = round_up(tokens * b.hidden, 16);
  // The most words that any of the blocks needs for each operand.
  std::size_t x_words = 0, narrow_words = 0, wide_words = 0;
  const auto words = [&](const Linear& linear) {
    if (linear.type == ComputeType::float32) return std::size_t{0};
    return round_up(tokens * b.kernels.operand_words(linear.type, linear.k), 16);
  };
  for (std::size_t i = 0; i < count; ++i) {
    const Block& block = *blocks[i];
    x_words = std::max({x_words, words(block.query_key_value), words(block.intermediate),
                        words(block.cross_query)});
    narrow_words =
        std::max({narrow_words, words(block.attention_output), words(block.cross_output)});
    wide_words = std::max(wide_words, words(block.output));
  }
  const std::size_t for_operands = wide_words == 0 ? 0 : rows_of_task(tokens) * kInt8Group;
  scratch_size_ =
      round_up(std::max(b.kernels.attention_scratch(b.hidden / b.heads), for_operands), 16);
  buffer_ = workspaces.take(wide_size + narrow_size + x_words + narrow_words + wide_words +
                            scratch_size_ * static_cast<std::size_t>(threads));
  wide = buffer_.data();
  narrow = wide + wide_size;
  x_operand = narrow + narrow_size;
  narrow_operand = x_operand + x_words;
  wide_operand = narrow_operand + narrow_words;
  scratch_ = wide_operand + wide_words;
}

Workspace::~Workspace() { workspaces_.give_back(std::move(buffer_)); }

}  // namespace pyroberta
