// Large aligned float buffers: packed weights and workspaces.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

namespace pyroberta {

// `size` floats, aligned to 64 bytes, or to 2 MiB and on huge pages where that many are asked for.
// Throws std::bad_alloc.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::size_t size);
  float* data() const { return data_.get(); }
  std::size_t size() const { return size_; }

 private:
  struct Free {
    void operator()(float* p) const;
  };
  std::unique_ptr<float, Free> data_;
  std::size_t size_ = 0;
};

// Workspaces that outlive a call, so that the next call finds its memory mapped. Safe from several
// threads, and in the child of a fork whatever these did. Keeps at most two buffers.
class Workspaces {
 public:
  // A buffer of at least `size` floats, with any content. Give it back when done.
  Buffer take(std::size_t size);
  void give_back(Buffer buffer);

 private:
  std::vector<Buffer> free_;
};

}  // namespace pyroberta
