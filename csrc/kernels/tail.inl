// The end of a row, where some lanes of a vector may not exist.
#pragma once

#include <cstddef>

#include "vec/vec.h"

namespace pyroberta::PYROBERTA_ISA {
namespace {

// The first n lanes, 0 in the others; all of them where n is kLanes or more.
inline Vec load_some(const float* p, std::size_t n) {
  return n >= kLanes ? load(p) : load_first(p, n);
}

}  // namespace
}  // namespace pyroberta::PYROBERTA_ISA
