// Every operation of csrc/vec/vec.h as a plain function over arrays, for the tests beside it.
//
// Written once; builds.py compiles it for each build, with PYROBERTA_VEC_HEADER the header of the
// build's vectors. They come and go by memcpy, so that only load and store rest on themselves.
#include PYROBERTA_VEC_HEADER

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "vec/vec.h"

namespace pyroberta::PYROBERTA_ISA {
namespace {

// A call of an operation on each of `count` vectors.
struct Call {
  const float* const* in;  // for each of its vectors an array [count, kLanes]
  char* out;               // the results, `step` bytes from one to the next
  std::size_t step;
  const std::size_t* numbers;  // n, or the strides
  std::size_t count;

  Vec vec(int argument, std::size_t i) const {
    Vec v;
    std::memcpy(&v, in[argument] + i * kLanes, sizeof v);
    return v;
  }
  template <class Result>
  void give(std::size_t i, Result result) const {
    std::memcpy(out + i * step, &result, sizeof result);
  }
  float* floats(std::size_t i) const { return reinterpret_cast<float*>(out + i * step); }
};

// One of these for each type in vec.h.
void apply(const Call& c, std::size_t i, Vec (*f)()) { c.give(i, f()); }
void apply(const Call& c, std::size_t i, Vec (*f)(float)) { c.give(i, f(c.in[0][i])); }
void apply(const Call& c, std::size_t i, Vec (*f)(Vec)) { c.give(i, f(c.vec(0, i))); }
void apply(const Call& c, std::size_t i, float (*f)(Vec)) { c.give(i, f(c.vec(0, i))); }
void apply(const Call& c, std::size_t i, Vec (*f)(Vec, Vec)) {
  c.give(i, f(c.vec(0, i), c.vec(1, i)));
}
void apply(const Call& c, std::size_t i, Vec (*f)(Vec, Vec, Vec)) {
  c.give(i, f(c.vec(0, i), c.vec(1, i), c.vec(2, i)));
}
void apply(const Call& c, std::size_t i, Vec (*f)(Vec, Vec, Vec, Vec)) {
  c.give(i, f(c.vec(0, i), c.vec(1, i), c.vec(2, i), c.vec(3, i)));
}
void apply(const Call& c, std::size_t i, Vec (*f)(Vec, std::size_t)) {
  c.give(i, f(c.vec(0, i), c.numbers[0]));
}
void apply(const Call& c, std::size_t i, Vec (*f)(Vec, unsigned)) {
  c.give(i, f(c.vec(0, i), static_cast<unsigned>(c.numbers[i])));
}
void apply(const Call& c, std::size_t i, Vec (*f)(const float*)) {
  c.give(i, f(c.in[0] + i * kLanes));
}
void apply(const Call& c, std::size_t i, Vec (*f)(const float*, std::size_t)) {
  c.give(i, f(c.in[0] + i * kLanes, c.numbers[0]));
}
void apply(const Call& c, std::size_t i, void (*f)(float*, Vec)) { f(c.floats(i), c.vec(0, i)); }
void apply(const Call& c, std::size_t i, void (*f)(float*, Vec, std::size_t)) {
  f(c.floats(i), c.vec(0, i), c.numbers[0]);
}
void apply(const Call& c, std::size_t i, void (*f)(void*, Vec)) { f(c.floats(i), c.vec(0, i)); }
void apply(const Call& c, std::size_t i, void (*f)(float*, Vec, Vec, Vec, Vec)) {
  f(c.floats(i), c.vec(0, i), c.vec(1, i), c.vec(2, i), c.vec(3, i));
}
void apply(const Call& c, std::size_t i, void (*f)(void*, Vec, Vec, Vec, Vec)) {
  f(c.floats(i), c.vec(0, i), c.vec(1, i), c.vec(2, i), c.vec(3, i));
}
void apply(const Call& c, std::size_t i,
           void (*f)(const float*, std::size_t, float*, std::size_t)) {
  f(c.in[0], c.numbers[0], c.floats(i), c.numbers[1]);
}

template <class F>
void apply_all(const Call* c, F f) {
  for (std::size_t i = 0; i < c->count; ++i) apply(*c, i, f);
}

sigjmp_buf before_fault;
void on_fault(int) { siglongjmp(before_fault, 1); }

}  // namespace

extern "C" {

#define OPERATION(name) \
  void vec_##name(const Call* c) { apply_all(c, name); }
OPERATION(zero)
OPERATION(set)
OPERATION(load)
OPERATION(load_one)
OPERATION(store)
OPERATION(load_first)
OPERATION(store_first)
OPERATION(keep_first)
OPERATION(transpose)
OPERATION(add)
OPERATION(sub)
OPERATION(mul)
OPERATION(div)
OPERATION(fma)
OPERATION(max)
OPERATION(min)
OPERATION(where_less)
OPERATION(abs)
OPERATION(hold)
OPERATION(copysign)
OPERATION(max_magnitude)
OPERATION(flip_signs)
OPERATION(round)
OPERATION(scale_by_power)
OPERATION(sum)
OPERATION(sum_of_four)
OPERATION(largest)
OPERATION(hadamard)
OPERATION(even_bfloat16)
OPERATION(odd_bfloat16)
OPERATION(round_bfloat16)
OPERATION(pair_bfloat16)
OPERATION(store_bfloat16)
OPERATION(store_bytes)
OPERATION(add_ints)
OPERATION(from_ints)
OPERATION(dot_int8)
OPERATION(store_codes)
#undef OPERATION

// A template in some builds, overloaded in others.
void vec_store_codes_of_four(const Call* c) {
  apply_all(c, +[](void* p, Vec a, Vec b, Vec d, Vec e) { store_codes_of_four(p, a, b, d, e); });
}

// Those that some builds do not have: nothing is given there.
#define OPERATION_WHERE(name, ...)                                                        \
  void vec_##name(const Call* c) {                                                        \
    const auto call = [&](auto v) {                                                       \
      using V = decltype(v);                                                              \
      if constexpr (requires { static_cast<V (*)(__VA_ARGS__)>(PYROBERTA_ISA::name); }) { \
        apply_all(c, static_cast<V (*)(__VA_ARGS__)>(PYROBERTA_ISA::name));               \
      }                                                                                   \
    };                                                                                    \
    call(Vec{});                                                                          \
  }
OPERATION_WHERE(dot_bfloat16, V, V, V)
OPERATION_WHERE(even_bytes, V)
OPERATION_WHERE(odd_bytes, V)
#undef OPERATION_WHERE

std::size_t vec_lanes() { return kLanes; }
bool vec_dots_bfloat16() { return kDotsBfloat16; }
bool vec_dots_int8() { return kDotsInt8; }
int vec_code_offset() { return kCodeOffset; }

// The end of some pages that may be touched, before one that may not.
char* edge_of_memory() {
  static char* edge = [] {
    const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE)), size = 4 * page;
    void* p =
        mmap(nullptr, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return static_cast<char*>(nullptr);
    mprotect(static_cast<char*>(p) + size, page, PROT_NONE);
    return static_cast<char*>(p) + size;
  }();
  return edge;
}

// Whether f(c) touches what it may not.
bool faults(void (*f)(const Call*), const Call* c) {
  struct sigaction ours = {}, segv, bus;
  ours.sa_handler = on_fault;
  sigaction(SIGSEGV, &ours, &segv);
  sigaction(SIGBUS, &ours, &bus);
  const bool fault = sigsetjmp(before_fault, 1) != 0;
  if (!fault) f(c);
  sigaction(SIGSEGV, &segv, nullptr);
  sigaction(SIGBUS, &bus, nullptr);
  return fault;
}

}  // extern "C"
}  // namespace pyroberta::PYROBERTA_ISA
