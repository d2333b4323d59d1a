// How a thread's arithmetic rounds, what it does with subnormal numbers, and whether it traps.
#pragma once

namespace pyroberta {

// Arithmetic as the kernels are written for, in this thread for as long as it lives: rounded to
// nearest, no exception trapped, whatever the caller set. Its environment is put back after, flags
// and all. Made and gone in one thread.
class UsualArithmetic {
 public:
  // Subnormal numbers are taken as zero in the kernels: arithmetic on them costs over 100 cycles an
  // instruction.
  enum class Subnormals { zero, kept };
  explicit UsualArithmetic(Subnormals subnormals = Subnormals::zero);
  ~UsualArithmetic();
  UsualArithmetic(const UsualArithmetic&) = delete;
  UsualArithmetic& operator=(const UsualArithmetic&) = delete;

 private:
  unsigned long long saved_;  // the control register
};

}  // namespace pyroberta
