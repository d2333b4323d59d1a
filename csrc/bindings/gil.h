// The GIL released while the kernels work, and what must hold when it is taken back.
#pragma once

#include <pybind11/pybind11.h>

#include "threads/interruption.h"

namespace pyroberta {

// The GIL is free from its making to its end. On Python's main thread the signals that have come
// meanwhile are handled a few times a second (Ctrl-C raises KeyboardInterrupt).
//
// A thread that comes back when the interpreter is ending never does: before Python 3.14 it would
// be ended by an exception, which may not leave a destructor.
class WithoutGil final : public Interruption {
 public:
  WithoutGil();
  ~WithoutGil();
  bool asked() noexcept override;
  // Whether a handler raised: its exception is set.
  bool interrupted() const { return interrupted_; }

 private:
  PyThreadState* state_;
  bool interrupted_ = false;
};

// Calls f without the GIL; raises what a signal's handler raised meanwhile.
template <class F>
void without_gil(const F& f) {
  bool interrupted;
  {
    const WithoutGil unlocked;
    f();
    interrupted = unlocked.interrupted();
  }
  if (interrupted) throw pybind11::error_already_set();
}

// To be called once, when the module is loaded.
void find_main_thread();

}  // namespace pyroberta
