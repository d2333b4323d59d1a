// What the operating system gives, of which POSIX and Windows have each their own: memory, files,
// forks and signals. Where a thread runs stands in threads/placement.h.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pyroberta {

// `bytes` bytes at a multiple of `align`, of which it is a multiple: null where there are none.
// `huge` asks for pages of 2 MB, where the system knows them.
void* take_memory(std::size_t align, std::size_t bytes, bool huge);
void give_back_memory(void* memory);

// Reads `size` bytes of an open file from `offset` on, over short reads and interruptions; the
// file's own position stays. False: the file is shorter, or the system refused.
bool read_at(int file, std::uint64_t offset, std::size_t size, char* to);

// Has these called whenever the process forks; any may be null. False: the system has no memory for
// them. Where there is no fork there is nothing to call.
bool at_fork(void (*before)(), void (*after_in_parent)(), void (*after_in_child)());

// While it lives, a thread that this one starts is born with every signal blocked: the program's
// own threads are to handle them.
class SignalsBlocked {
 public:
  SignalsBlocked();
  ~SignalsBlocked();
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  // As large as any sigset_t; Windows has none.
  [[maybe_unused]] alignas(std::uint64_t) unsigned char before_[128];
};

[[noreturn]] void wait_for_ever();

// Asks Linux for the use of AMX's tiles, as each process has to once. Elsewhere: no.
bool permit_amx_tiles();

}  // namespace pyroberta
