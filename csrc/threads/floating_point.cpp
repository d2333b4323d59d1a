// The contract is in floating_point.h.
#include "threads/floating_point.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace pyroberta {

#if defined(__SSE2__)
SubnormalsAsZero::SubnormalsAsZero() : saved_(_mm_getcsr()) {
  _mm_setcsr(static_cast<unsigned>(saved_) | 0x8040u);
}
SubnormalsAsZero::~SubnormalsAsZero() { _mm_setcsr(static_cast<unsigned>(saved_)); }
#elif defined(__aarch64__)
SubnormalsAsZero::SubnormalsAsZero() {
  asm volatile("mrs %0, fpcr" : "=r"(saved_));
  asm volatile("msr fpcr, %0" ::"r"(saved_ | (1ull << 24)));
}
SubnormalsAsZero::~SubnormalsAsZero() { asm volatile("msr fpcr, %0" ::"r"(saved_)); }
#else
SubnormalsAsZero::SubnormalsAsZero() : saved_(0) {}
SubnormalsAsZero::~SubnormalsAsZero() = default;
#endif

}  // namespace pyroberta
