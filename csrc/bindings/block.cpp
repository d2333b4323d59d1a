// The weights of a block, from arrays and from files.
#include <cstring>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/gil.h"
#include "blocks/block.h"
#include "packing.h"
#include "threads/whole.h"

namespace pyroberta {
namespace {

void require_own_memory(const Block& block) {
  if (!block.owns_memory()) throw py::value_error("block must own its memory to be written");
}

// The layer called `name` [n, k], its bias [n] set.
Linear& layer_with_bias(Block& block, const std::string& name, const FloatArray& bias) {
  require_own_memory(block);
  Linear* linear = nullptr;
  for (const LinearField& of : kLinearFields) {
    if (name == of.name) linear = &(block.*of.field);
  }
  if (linear == nullptr || linear->packed == nullptr) {
    throw py::value_error("name must be that of a linear layer of the block, not " + name);
  }
  require_shape("bias", bias, {static_cast<py::ssize_t>(linear->n)});
  std::memcpy(linear->bias, bias.data(), linear->n * sizeof(float));
  return *linear;
}

// Packs the weight [n, k] of a layer, and sets its bias [n].
void set_linear(Block& block, const std::string& name, const FloatArray& weight,
                const FloatArray& bias) {
  const Linear& linear = layer_with_bias(block, name, bias);
  require_shape("weight", weight,
                {static_cast<py::ssize_t>(linear.n), static_cast<py::ssize_t>(linear.k)});
  without_gil(
      [&] { pack(block.kernels, linear.type, weight.data(), linear.n, linear.k, linear.packed); });
}

// The same with the weight [n, k] from open files. places: for each part of it, one below the
// other, the file's descriptor, the byte where it begins, and its rows.
void read_linear(Block& block, const std::string& name,
                 const std::vector<std::tuple<int, std::uint64_t, std::size_t>>& places,
                 const FloatArray& bias) {
  const Linear& linear = layer_with_bias(block, name, bias);
  std::vector<FileRows> parts;
  std::size_t rows = 0;
  for (const auto& [file, offset, count] : places) {
    parts.push_back({file, offset, count});
    rows += count;
  }
  if (rows != linear.n) {
    throw py::value_error("places must have " + std::to_string(linear.n) + " rows, not " +
                          std::to_string(rows));
  }
  bool sound = false;
  without_gil([&] {
    sound = pack_from_files(block.kernels, linear.type, parts, linear.n, linear.k, linear.packed);
  });
  if (!sound) {
    PyErr_SetString(PyExc_OSError, "the file ends early, or can not be read");
    throw py::error_already_set();
  }
}

// gamma, beta: [hidden].
void set_norm(Block& block, const std::string& name, const FloatArray& gamma,
              const FloatArray& beta) {
  require_own_memory(block);
  LayerNorm* norm = nullptr;
  for (const NormField& of : kNormFields) {
    if (name == of.name) norm = &(block.*of.field);
  }
  if (norm == nullptr || norm->gamma == nullptr) {
    throw py::value_error("name must be that of a layer norm of the block, not " + name);
  }
  require_shape("gamma", gamma, {static_cast<py::ssize_t>(block.hidden)});
  require_shape("beta", beta, {static_cast<py::ssize_t>(block.hidden)});
  std::memcpy(norm->gamma, gamma.data(), block.hidden * sizeof(float));
  std::memcpy(norm->beta, beta.data(), block.hidden * sizeof(float));
}

// An encoder's output x [tokens, hidden] -> the block's keys and values of it [tokens, 2 hidden].
FloatArray cross_key_values(const Block& block, const FloatArray& x) {
  if (!block.has_cross) throw py::value_error("block must have cross attention");
  require_shape("x", x, {-1, static_cast<py::ssize_t>(block.hidden)});
  const Linear& layer = block.cross_key_value;
  FloatArray y(Shape{x.shape(0), static_cast<py::ssize_t>(layer.n)});
  float* out = y.mutable_data();
  without_gil([&] {
    linear(block.kernels, layer.type, x.data(), size(x.shape(0)), layer.k, layer.n, layer.packed,
           layer.bias, Activation::linear, out);
  });
  return y;
}

}  // namespace

void bind_block(py::module_& m) {
  // memory: uint8[bytes] that another block's memory() gave; the block keeps it alive.
  const auto make = [](const Kernels& kernels, std::size_t hidden, std::size_t intermediate_size,
                       std::size_t heads, int activation, float eps, bool has_cross,
                       int compute_type, const std::optional<ByteArray>& memory) {
    if (hidden == 0 || heads == 0 || hidden % heads != 0) {
      throw py::value_error("hidden must be a multiple of heads");
    }
    // Beyond ssize_t they come out negative.
    require_sides("hidden and intermediate_size",
                  {static_cast<py::ssize_t>(hidden), static_cast<py::ssize_t>(intermediate_size)});
    return std::make_unique<Block>(kernels, compute_type_at(compute_type), hidden,
                                   intermediate_size, heads, activation_at(activation), eps,
                                   has_cross, memory ? aligned_words(*memory) : nullptr,
                                   memory ? size(memory->nbytes()) / sizeof(float) : 0);
  };
  py::class_<Block>(m, "Block")
      .def(py::init(make), "kernels"_a, "hidden"_a, "intermediate_size"_a, "heads"_a,
           "activation"_a, "eps"_a, "has_cross"_a = false, "compute_type"_a = 0,
           "memory"_a.noconvert() = py::none())
      .def("memory",
           [](const py::object& self) {
             const Block& block = self.cast<const Block&>();
             return view_words(block.memory(), block.words(), self);
           })
      .def("cross_key_values", &cross_key_values, "x"_a.noconvert())
      .def("set_linear", &set_linear, "name"_a, "weight"_a.noconvert(), "bias"_a.noconvert())
      .def("read_linear", &read_linear, "name"_a, "places"_a, "bias"_a.noconvert())
      .def("set_norm", &set_norm, "name"_a, "gamma"_a.noconvert(), "beta"_a.noconvert());
}

}  // namespace pyroberta
