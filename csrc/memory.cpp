// The contract is in memory.h.
#include "memory.h"

#include <cstddef>
#include <limits>
#include <mutex>
#include <new>
#include <utility>

#include "system.h"

namespace pyroberta {
namespace {

// Of all workspaces: one, so that a fork can wait until no thread has it. A child that began with
// it locked would wait for ever for a thread that it does not have.
std::mutex mutex;
void lock() { mutex.lock(); }
void unlock() { mutex.unlock(); }
[[maybe_unused]] const bool handlers_set = at_fork(lock, unlock, unlock);

}  // namespace

Buffer::Buffer(std::size_t size) : size_(size) {
  constexpr std::size_t kHuge = std::size_t{2} << 20, kLine = 64;
  if (size > std::numeric_limits<std::size_t>::max() / 8) throw std::bad_alloc();
  // Below four huge pages the one that is only begun would be too large a share.
  const bool huge = size * sizeof(float) >= 4 * kHuge;
  const std::size_t align = huge ? kHuge : kLine;
  const std::size_t bytes = (size * sizeof(float) + align) / align * align;
  void* p = take_memory(align, bytes, huge);
  if (p == nullptr) throw std::bad_alloc();
  data_.reset(static_cast<float*>(p));
}

void Buffer::Free::operator()(float* p) const { give_back_memory(p); }

Buffer Workspaces::take(std::size_t size) {
  {
    const std::lock_guard<std::mutex> lock(mutex);
    free_.reserve(2);  // so that give_back never allocates
    for (std::size_t i = 0; i < free_.size(); ++i) {
      // One that is four times too large goes back to the system: memory follows the use.
      if (free_[i].size() >= size && free_[i].size() / 4 <= size + (std::size_t{1} << 20)) {
        Buffer buffer = std::move(free_[i]);
        free_.erase(free_.begin() + static_cast<std::ptrdiff_t>(i));
        return buffer;
      }
    }
    if (free_.size() >= 2) free_.erase(free_.begin());
  }
  return Buffer(size);
}

void Workspaces::give_back(Buffer buffer) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (free_.size() < 2) free_.push_back(std::move(buffer));
}

}  // namespace pyroberta
