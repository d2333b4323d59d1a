// A way for somebody to end a call before it is done.
#pragma once

namespace pyroberta {

// Asked by the Teams of the thread that made it, a few times a second for as long as they work.
class Interruption {
 public:
  Interruption(const Interruption&) = delete;
  Interruption& operator=(const Interruption&) = delete;

  // Whether the call shall end: no further task of the Team runs then, and what it was to write
  // holds anything. Must not throw.
  virtual bool asked() noexcept = 0;

  // This thread's, or null.
  static Interruption* current();

 protected:
  // From here to the destructor this thread's, if `wanted`.
  explicit Interruption(bool wanted);
  ~Interruption();

 private:
  Interruption* outer_;
};

}  // namespace pyroberta
