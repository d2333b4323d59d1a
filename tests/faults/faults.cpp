// Preloaded: makes the n-th call of one kind fail, as a machine out of memory, room or luck does.
//
// faults_arm(kind, n, folder): from now on count the calls of this kind, and let the n-th fail, or
// the |n|-th and all after it where n is negative. Reads, maps and writes are of files in `folder`
// alone, allocations those of the extension, so that Python and NumPy live. faults_disarm() gives
// how many there were.
#include <dlfcn.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

namespace {

enum { NONE, ALLOCATE, READ, MAP, WRITE, SYNC, RENAME, OPEN, THREAD };

std::atomic<int> kind_armed, fails_from, seen;
std::atomic<bool> for_ever;
char folder[4096];

bool fails(int kind) {
  if (kind_armed != kind) return false;
  const int now = ++seen;
  return for_ever ? now >= fails_from : now == fails_from;
}

bool in_folder(const char* path) { return std::strncmp(path, folder, std::strlen(folder)) == 0; }

bool of_folder(int fd) {
  char link[64], path[4096];
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return false;
  path[length] = 0;
  return in_folder(path);
}

#define REAL(type, name, parameters) \
  static const auto real = reinterpret_cast<type(*) parameters>(dlsym(RTLD_NEXT, name))

// Whether the extension calls, not Python, NumPy or another library.
bool from_extension(const void* caller) {
  Dl_info found;
  return dladdr(caller, &found) != 0 && found.dli_fname != nullptr &&
         std::strstr(found.dli_fname, "_core.") != nullptr;
}

// pybind11 (3.1, register_instance) allocates a record of 32 bytes for each new instance where it
// catches nothing: what is as small is let through.
#define FAILS_HERE(size)                                                                   \
  (kind_armed == ALLOCATE && (size) > 32 && from_extension(__builtin_return_address(0)) && \
   fails(ALLOCATE))

}  // namespace

// In place of the C++ library's own, of which the others are made.
void* operator new(std::size_t size) {
  void* p = FAILS_HERE(size) ? nullptr : std::malloc(size == 0 ? 1 : size);
  if (p == nullptr) throw std::bad_alloc();
  return p;
}
void* operator new[](std::size_t size) {
  void* p = FAILS_HERE(size) ? nullptr : std::malloc(size == 0 ? 1 : size);
  if (p == nullptr) throw std::bad_alloc();
  return p;
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t) noexcept { std::free(p); }

extern "C" {

void faults_arm(int kind, int n, const char* where) {
  std::snprintf(folder, sizeof folder, "%s", where);
  seen = 0;
  for_ever = n < 0;
  fails_from = n < 0 ? -n : n;
  kind_armed = kind;
}

int faults_disarm() {
  kind_armed = NONE;
  return seen;
}

void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
  REAL(void*, "aligned_alloc", (std::size_t, std::size_t));
  return FAILS_HERE(size) ? nullptr : real(alignment, size);
}

ssize_t read(int fd, void* to, size_t size) {
  REAL(ssize_t, "read", (int, void*, size_t));
  if (kind_armed == READ && of_folder(fd) && fails(READ)) {
    errno = EIO;
    return -1;
  }
  return real(fd, to, size);
}
ssize_t pread64(int fd, void* to, size_t size, off_t at) {
  REAL(ssize_t, "pread64", (int, void*, size_t, off_t));
  if (kind_armed == READ && of_folder(fd) && fails(READ)) {
    errno = EIO;
    return -1;
  }
  return real(fd, to, size, at);
}
ssize_t pread(int fd, void* to, size_t size, off_t at) { return pread64(fd, to, size, at); }
ssize_t preadv64(int fd, const struct iovec* to, int count, off_t at) {
  REAL(ssize_t, "preadv64", (int, const struct iovec*, int, off_t));
  if (kind_armed == READ && of_folder(fd) && fails(READ)) {
    errno = EIO;
    return -1;
  }
  return real(fd, to, count, at);
}
ssize_t preadv(int fd, const struct iovec* to, int count, off_t at) {
  return preadv64(fd, to, count, at);
}
ssize_t preadv64v2(int fd, const struct iovec* to, int count, off_t at, int flags) {
  REAL(ssize_t, "preadv64v2", (int, const struct iovec*, int, off_t, int));
  if (kind_armed == READ && of_folder(fd) && fails(READ)) {
    errno = EIO;
    return -1;
  }
  return real(fd, to, count, at, flags);
}
ssize_t preadv2(int fd, const struct iovec* to, int count, off_t at, int flags) {
  return preadv64v2(fd, to, count, at, flags);
}
ssize_t write(int fd, const void* from, size_t size) {
  REAL(ssize_t, "write", (int, const void*, size_t));
  if (kind_armed == WRITE && of_folder(fd) && fails(WRITE)) {
    errno = ENOSPC;
    return -1;
  }
  return real(fd, from, size);
}
int fsync(int fd) {
  REAL(int, "fsync", (int));
  if (kind_armed == SYNC && of_folder(fd) && fails(SYNC)) {
    errno = EIO;
    return -1;
  }
  return real(fd);
}
int rename(const char* from, const char* to) {
  REAL(int, "rename", (const char*, const char*));
  if (kind_armed == RENAME && in_folder(to) && fails(RENAME)) {
    errno = EIO;
    return -1;
  }
  return real(from, to);
}
int open64(const char* path, int flags, ...) {
  REAL(int, "open64", (const char*, int, ...));
  va_list more;
  va_start(more, flags);
  int mode = va_arg(more, int);
  va_end(more);
  if (kind_armed == OPEN && in_folder(path) && fails(OPEN)) {
    errno = EMFILE;
    return -1;
  }
  return real(path, flags, mode);
}
int open(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  int mode = va_arg(more, int);
  va_end(more);
  return open64(path, flags, mode);
}
void* mmap64(void* address, size_t length, int protection, int flags, int fd, off_t offset) {
  REAL(void*, "mmap64", (void*, size_t, int, int, int, off_t));
  if (kind_armed == MAP && fd >= 0 && of_folder(fd) && fails(MAP)) {
    errno = ENOMEM;
    return MAP_FAILED;
  }
  return real(address, length, protection, flags, fd, offset);
}
void* mmap(void* address, size_t length, int protection, int flags, int fd, off_t offset) {
  return mmap64(address, length, protection, flags, fd, offset);
}
int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*body)(void*),
                   void* argument) {
  REAL(int, "pthread_create", (pthread_t*, const pthread_attr_t*, void* (*)(void*), void*));
  if (fails(THREAD)) return EAGAIN;
  return real(thread, attributes, body, argument);
}

}  // extern "C"
