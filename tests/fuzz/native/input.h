// What libFuzzer's bytes are read as: choices, and arrays of their own that end where they end.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "kernels.h"

namespace pyroberta::fuzz {

inline void fail(const char* said) {
  std::fprintf(stderr, "FAILED: %s\n", said);
  std::abort();
}

// Floats at an address of 64 bytes that AddressSanitizer sees the end of.
struct Array {
  std::unique_ptr<float, void (*)(void*)> memory{nullptr, std::free};
  std::size_t size = 0;

  explicit Array(std::size_t n, float value = -7.5f) : size(n) {
    void* p = nullptr;
    if (posix_memalign(&p, 64, n == 0 ? 1 : n * sizeof(float)) != 0) fail("no memory");
    memory.reset(static_cast<float*>(p));
    for (std::size_t i = 0; i < n; ++i) memory.get()[i] = value;
  }
  float* data() const { return memory.get(); }
};

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}

  std::uint32_t byte() { return at_ < size_ ? data_[at_++] : 0; }
  bool flag() { return (byte() & 1) != 0; }
  // In [low, high].
  std::size_t between(std::size_t low, std::size_t high) {
    const std::size_t wide = high - low > 255 ? byte() << 8 | byte() : byte();
    return low + wide % (high - low + 1);
  }

  // Numbers of the bytes that are left, again and again: any bits, or tame ones in [-2, 2].
  Array floats(std::size_t n, bool tame) {
    Array out(n);
    for (std::size_t i = 0; i < n; ++i) {
      std::uint32_t bits = 0x9E3779B9u * static_cast<std::uint32_t>(++count_);
      for (int j = 0; j < 4 && at_ < size_; ++j) {
        bits = bits * 257 ^ data_[at_ + next_++ % (size_ - at_)];
      }
      float value;
      std::memcpy(&value, &bits, sizeof value);
      out.data()[i] = tame ? static_cast<float>(static_cast<std::int32_t>(bits)) * 0x1p-30f : value;
    }
    return out;
  }

 private:
  const std::uint8_t* data_;
  std::size_t size_, at_ = 0, next_ = 0, count_ = 0;
};

// One of the builds that run here.
inline const Kernels& any_build(Input& in) {
  static const std::vector<const Kernels*> builds = [] {
    std::size_t count = 0;
    const Kernels* const* all = built_kernels(count);
    std::vector<const Kernels*> found;
    for (std::size_t i = 0; i < count; ++i) {
      if (runs_here(*all[i])) found.push_back(all[i]);
    }
    return found;
  }();
  return *builds[in.between(0, builds.size() - 1)];
}

inline ComputeType any_type(Input& in, const Kernels& kernels) {
  const auto type = static_cast<ComputeType>(in.between(0, int(ComputeType::count) - 1));
  const bool whole = type == ComputeType::bfloat16x3 && !kernels.has_bfloat16x3;
  return whole ? ComputeType::float32 : type;
}

inline Activation any_activation(Input& in, bool rowwise_too) {
  const auto f = static_cast<Activation>(in.between(0, int(Activation::count) - 1));
  return !rowwise_too && is_rowwise(f) ? Activation::linear : f;
}

// The same bits, or NaN both.
inline void check_same(const float* a, const float* b, std::size_t n, const char* said) {
  for (std::size_t i = 0; i < n; ++i) {
    if (std::memcmp(a + i, b + i, sizeof *a) != 0 && !(std::isnan(a[i]) && std::isnan(b[i]))) {
      std::fprintf(stderr, "at %zu of %zu: %a and %a\n", i, n, double(a[i]), double(b[i]));
      fail(said);
    }
  }
}

inline void check_finite(const float* a, std::size_t n, const char* said) {
  for (std::size_t i = 0; i < n; ++i) {
    if (!std::isfinite(a[i])) fail(said);
  }
}

}  // namespace pyroberta::fuzz
