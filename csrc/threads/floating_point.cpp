// The contract is in floating_point.h.
#include "threads/floating_point.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace pyroberta {

#if defined(__SSE2__)
// MXCSR: all exceptions masked, to nearest, no flag set; and the two bits for subnormals.
UsualArithmetic::UsualArithmetic(Subnormals subnormals) : saved_(_mm_getcsr()) {
  _mm_setcsr(subnormals == Subnormals::zero ? 0x1f80u | 0x8040u : 0x1f80u);
}
UsualArithmetic::~UsualArithmetic() { _mm_setcsr(static_cast<unsigned>(saved_)); }
#elif defined(__aarch64__)
// FPCR: zeros are to nearest, no trap, subnormals kept.
UsualArithmetic::UsualArithmetic(Subnormals subnormals) {
  asm volatile("mrs %0, fpcr" : "=r"(saved_));
  const unsigned long long usual = subnormals == Subnormals::zero ? 1ull << 24 : 0;
  asm volatile("msr fpcr, %0" ::"r"(usual));
}
UsualArithmetic::~UsualArithmetic() { asm volatile("msr fpcr, %0" ::"r"(saved_)); }
#else
UsualArithmetic::UsualArithmetic(Subnormals) : saved_(0) {}
UsualArithmetic::~UsualArithmetic() = default;
#endif

}  // namespace pyroberta
