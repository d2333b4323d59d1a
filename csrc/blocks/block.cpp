// The contract is in block.h.
#include "blocks/block.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "packing.h"

namespace pyroberta {

Block::Block(const Kernels& k, ComputeType type, std::size_t hidden_size, std::size_t intermediate,
             std::size_t num_heads, Activation f, float epsilon, bool cross,
             std::shared_ptr<const float> memory, std::size_t words)
    : kernels(k),
      hidden(hidden_size),
      intermediate_size(intermediate),
      heads(num_heads),
      activation(f),
      eps(epsilon),
      has_cross(cross),
      shared_(std::move(memory)) {
  // Sizes rounded to a cache line, so that every packed weight starts on one.
  const auto layout = [&](float* base) {
    std::size_t at = 0;
    const auto take = [&](std::size_t size) {
      float* p = base == nullptr ? nullptr : base + at;
      // What rounding adds goes into packed files too: not what the heap held.
      if (base != nullptr && shared_ == nullptr) std::fill(p + size, p + round_up(size, 16), 0.0f);
      at += round_up(size, 16);
      return p;
    };
    for (const LinearField& of : kLinearFields) {
      if (of.of_cross && !has_cross) continue;
      Linear& linear = this->*of.field;
      linear.n = of.parts * this->*of.n;
      linear.k = this->*of.k;
      linear.type = type_of_build(kernels, type);
      linear.packed = take(packed_size(kernels, linear.type, linear.n, linear.k));
    }
    for (const LinearField& of : kLinearFields) {
      Linear& linear = this->*of.field;
      if (!of.of_cross || has_cross) linear.bias = take(linear.n);
    }
    for (const NormField& of : kNormFields) {
      if (of.of_cross && !has_cross) continue;
      LayerNorm& norm = this->*of.field;
      norm.gamma = take(hidden);
      norm.beta = take(hidden);
    }
    return at;
  };
  words_ = layout(nullptr);
  if (shared_ == nullptr) {
    weights_ = Buffer(words_);
  } else if (words != words_) {
    throw std::invalid_argument("memory must be " + std::to_string(words_ * sizeof(float)) +
                                " bytes, not " + std::to_string(words * sizeof(float)));
  }
  memory_ = shared_ == nullptr ? weights_.data() : const_cast<float*>(shared_.get());
  layout(memory_);
}

}  // namespace pyroberta
