// NumPy arrays as the bindings take them, and the checks that keep memory safe, whoever calls. The
// checks that explain a user's mistake are in pyroberta/.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels.h"

namespace pyroberta {

namespace py = pybind11;
using namespace pybind11::literals;

using FloatArray = py::array_t<float, py::array::c_style>;
using IntArray = py::array_t<std::int64_t, py::array::c_style>;
using Shape = std::vector<py::ssize_t>;

inline std::size_t size(py::ssize_t n) { return static_cast<std::size_t>(n); }

// "float32[2, 3]", for error messages.
inline std::string describe(const std::string& dtype, const Shape& shape) {
  std::string text = dtype + "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

// The most that a size may be where memory does not bound it: an array without numbers may say
// 2^60, and products of sizes would wrap. A weight's sides are below kMostSide.
inline constexpr py::ssize_t kMostSize = py::ssize_t{1} << 40, kMostSide = py::ssize_t{1} << 28;

inline void require_sides(const char* names, std::initializer_list<py::ssize_t> sides) {
  for (const py::ssize_t side : sides) {
    if (side < 0 || side >= kMostSide) {
      throw py::value_error(std::string(names) + " must be in [0, 2**28), not " +
                            std::to_string(side));
    }
  }
}

// Raises ValueError unless `a` has exactly this shape; -1 stands for any size.
inline void require_shape(const char* name, const py::array& a, const Shape& wanted) {
  const Shape shape(a.shape(), a.shape() + a.ndim());
  bool same = shape.size() == wanted.size();
  for (std::size_t i = 0; same && i < shape.size(); ++i) {
    same = wanted[i] < 0 ? shape[i] <= kMostSize : shape[i] == wanted[i];
  }
  if (!same) {
    const std::string dtype = py::str(a.dtype()).cast<std::string>();
    throw py::value_error(std::string(name) + " must be " + describe(dtype, wanted) + ", not " +
                          describe(dtype, shape));
  }
}

inline void require_below(const char* name, const IntArray& ids, py::ssize_t limit) {
  const std::int64_t* data = ids.data();
  for (py::ssize_t i = 0; i < ids.size(); ++i) {
    if (data[i] < 0 || data[i] >= limit) {
      throw py::value_error(std::string(name) + " must be in [0, " + std::to_string(limit) +
                            "), not " + std::to_string(data[i]));
    }
  }
}

inline Activation activation_at(int index) {
  if (index < 0 || index >= static_cast<int>(Activation::count)) {
    throw py::value_error("activation must be in [0, " +
                          std::to_string(static_cast<int>(Activation::count)) + "), not " +
                          std::to_string(index));
  }
  return static_cast<Activation>(index);
}

inline ComputeType compute_type_at(int index) {
  if (index < 0 || index >= static_cast<int>(ComputeType::count)) {
    throw py::value_error("compute_type must be in [0, " +
                          std::to_string(static_cast<int>(ComputeType::count)) + "), not " +
                          std::to_string(index));
  }
  return static_cast<ComputeType>(index);
}

using ByteArray = py::array_t<std::uint8_t, py::array::c_style>;

// The floats of a packed weight in memory that somebody else made; it lives as long as they are
// pointed to.
inline std::shared_ptr<const float> aligned_words(const ByteArray& memory) {
  if (reinterpret_cast<std::uintptr_t>(memory.data()) % 64 != 0) {
    throw py::value_error("memory must be aligned to 64 bytes");
  }
  const auto let_go = [owner = py::object(memory)](const float*) mutable {
    const py::gil_scoped_acquire locked;
    owner = py::object();
  };
  return {reinterpret_cast<const float*>(memory.data()), let_go};
}

// A read-only view of `words` floats that `owner` keeps.
inline ByteArray view_words(const float* data, std::size_t words, const py::object& owner) {
  ByteArray view(static_cast<py::ssize_t>(words * sizeof(float)),
                 reinterpret_cast<const std::uint8_t*>(data), owner);
  py::detail::array_proxy(view.ptr())->flags &= ~py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
  return view;
}

inline const float* data_or_null(const std::optional<FloatArray>& a) {
  return a.has_value() ? a->data() : nullptr;
}

// Each file's classes and functions.
void bind_kernels(py::module_& m);
void bind_block(py::module_& m);
void bind_run_blocks(py::module_& m);

}  // namespace pyroberta
