// The contract is in gil.h.
#include "bindings/gil.h"

#include <atomic>

#include "system.h"
#include "threads/floating_point.h"

namespace pyroberta {
namespace {

// The thread that handles Python's signals; in the child of a fork the one that called fork.
std::atomic<unsigned long> main_thread{0};

void after_fork_in_child() { main_thread.store(PyThread_get_thread_ident()); }

void take_gil(PyThreadState* state) noexcept {
  // pthread_exit, which Python calls here where it is ending, unwinds by an exception; a handler
  // that it never leaves ends that.
  try {
    PyEval_RestoreThread(state);
  } catch (...) {
    wait_for_ever();
  }
}

}  // namespace

WithoutGil::WithoutGil()
    : Interruption(PyThread_get_thread_ident() == main_thread.load(std::memory_order_relaxed)),
      state_(PyEval_SaveThread()) {}

WithoutGil::~WithoutGil() { take_gil(state_); }

bool WithoutGil::asked() noexcept {
  if (interrupted_) return true;
  take_gil(state_);
  const UsualArithmetic for_python(UsualArithmetic::Subnormals::kept);
  interrupted_ = PyErr_CheckSignals() != 0;
  state_ = PyEval_SaveThread();
  return interrupted_;
}

void find_main_thread() {
  namespace py = pybind11;
  const py::object ident = py::module_::import("threading").attr("main_thread")().attr("ident");
  main_thread.store(ident.cast<unsigned long>());
  at_fork(nullptr, nullptr, after_fork_in_child);
}

}  // namespace pyroberta
