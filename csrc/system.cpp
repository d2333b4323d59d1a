// The contract is in system.h.
#include "system.h"

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <io.h>
#include <malloc.h>
#include <windows.h>

#include <algorithm>
#else
#include <pthread.h>
#include <signal.h>
#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <new>
#endif
#if defined(__linux__)
#include <sys/mman.h>
#include <sys/syscall.h>
#endif

namespace pyroberta {

#if defined(_WIN32)

void* take_memory(std::size_t align, std::size_t bytes, bool) {
  return _aligned_malloc(bytes, align);
}
void give_back_memory(void* memory) { _aligned_free(memory); }

bool read_at(int file, std::uint64_t offset, std::size_t size, char* to) {
  const HANDLE handle = reinterpret_cast<HANDLE>(_get_osfhandle(file));
  if (handle == INVALID_HANDLE_VALUE) return false;
  while (size != 0) {
    OVERLAPPED place{};
    place.Offset = static_cast<DWORD>(offset);
    place.OffsetHigh = static_cast<DWORD>(offset >> 32);
    DWORD count = 0;
    const DWORD wanted = static_cast<DWORD>(std::min<std::size_t>(size, 1u << 30));
    if (!ReadFile(handle, to, wanted, &count, &place) || count == 0) return false;
    to += count;
    offset += count;
    size -= count;
  }
  return true;
}

bool at_fork(void (*)(), void (*)(), void (*)()) { return true; }

SignalsBlocked::SignalsBlocked() {}
SignalsBlocked::~SignalsBlocked() {}

void wait_for_ever() {
  for (;;) Sleep(INFINITE);
}

#else

void* take_memory(std::size_t align, std::size_t bytes, [[maybe_unused]] bool huge) {
  void* memory = std::aligned_alloc(align, bytes);
#if defined(__linux__)
  if (memory != nullptr && huge) madvise(memory, bytes, MADV_HUGEPAGE);
#endif
  return memory;
}
void give_back_memory(void* memory) { std::free(memory); }

bool read_at(int file, std::uint64_t offset, std::size_t size, char* to) {
  while (size != 0) {
    const ssize_t count = pread(file, to, size, static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    to += count;
    offset += static_cast<std::uint64_t>(count);
    size -= static_cast<std::size_t>(count);
  }
  return true;
}

bool at_fork(void (*before)(), void (*after_in_parent)(), void (*after_in_child)()) {
  return pthread_atfork(before, after_in_parent, after_in_child) == 0;
}

SignalsBlocked::SignalsBlocked() {
  static_assert(sizeof(sigset_t) <= sizeof before_ && alignof(sigset_t) <= alignof(std::uint64_t));
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, new (before_) sigset_t);
}
SignalsBlocked::~SignalsBlocked() {
  pthread_sigmask(SIG_SETMASK, std::launder(reinterpret_cast<sigset_t*>(before_)), nullptr);
}

void wait_for_ever() {
  for (;;) pause();
}

#endif

#if defined(__linux__) && defined(__x86_64__)
// arch_prctl's code ARCH_REQ_XCOMP_PERM, of the tiles' data.
bool permit_amx_tiles() { return syscall(SYS_arch_prctl, 0x1023, 18) == 0; }
#else
bool permit_amx_tiles() { return false; }
#endif

}  // namespace pyroberta
