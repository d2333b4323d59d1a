// The contract is in interruption.h.
#include "threads/interruption.h"

namespace pyroberta {
namespace {

thread_local Interruption* of_this_thread = nullptr;

}  // namespace

Interruption* Interruption::current() { return of_this_thread; }

Interruption::Interruption(bool wanted) : outer_(of_this_thread) {
  of_this_thread = wanted ? this : nullptr;
}

Interruption::~Interruption() { of_this_thread = outer_; }

}  // namespace pyroberta
