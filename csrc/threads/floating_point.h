// How a thread's arithmetic treats subnormal numbers.
#pragma once

namespace pyroberta {

// Takes subnormal numbers as zero in this thread (arithmetic on them costs over 100 cycles an
// instruction) for as long as it lives, and puts the thread's floating-point environment back
// after. Made and gone in one thread.
class SubnormalsAsZero {
 public:
  SubnormalsAsZero();
  ~SubnormalsAsZero();
  SubnormalsAsZero(const SubnormalsAsZero&) = delete;
  SubnormalsAsZero& operator=(const SubnormalsAsZero&) = delete;

 private:
  unsigned long long saved_;  // the control register
};

}  // namespace pyroberta
