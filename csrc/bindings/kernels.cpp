// The kernels one by one, as the heads and the tests call them.
//
// Each binding does four things in this order: check, allocate, release the GIL, call.
#include <cstring>
#include <memory>
#include <optional>
#include <string>

#include "bindings/arrays.h"
#include "bindings/gil.h"
#include "memory.h"
#include "packing.h"
#include "threads/floating_point.h"
#include "threads/whole.h"

namespace pyroberta {
namespace {

// A weight [n, k] laid out for one build of the kernels: packed here, or in memory that another
// one's memory() gave, uint8[bytes].
class Packed {
 public:
  Packed(const Kernels& kernels, const FloatArray& weight, int compute_type)
      : type(type_of_build(kernels, compute_type_at(compute_type))), kernels_(kernels) {
    require_shape("weight", weight, {-1, -1});
    n = weight.shape(0);
    k = weight.shape(1);
    require_sides("n and k", {n, k});
    buffer_ = Buffer(words());
    without_gil([&] { pack(kernels, type, weight.data(), size(n), size(k), buffer_.data()); });
  }
  Packed(const Kernels& kernels, const ByteArray& memory, py::ssize_t rows, py::ssize_t columns,
         int compute_type)
      : type(type_of_build(kernels, compute_type_at(compute_type))),
        n(rows),
        k(columns),
        kernels_(kernels) {
    require_sides("n and k", {n, k});
    require_shape("memory", memory, {static_cast<py::ssize_t>(words() * sizeof(float))});
    shared_ = aligned_words(memory);
  }

  std::size_t words() const { return packed_size(kernels_, type, size(n), size(k)); }
  // The layout itself, [panels, rows, panel] words, for the test that draws it.
  FloatArray layout() const {
    const py::ssize_t panel = static_cast<py::ssize_t>(kernels_.panel);
    const std::size_t words = kernels_.panel_words(type, size(k));
    FloatArray copy(
        Shape{(n + panel - 1) / panel, static_cast<py::ssize_t>(words / kernels_.panel), panel});
    std::memcpy(copy.mutable_data(), data(), size(copy.nbytes()));
    return copy;
  }

  // Raises ValueError for other kernels than those that it was laid out for.
  void require(const Kernels& kernels) const {
    if (&kernels != &kernels_) {
      throw py::value_error(std::string("weight must be packed by the kernels of ") + kernels.isa +
                            ", not of " + kernels_.isa);
    }
  }
  const float* data() const { return shared_ == nullptr ? buffer_.data() : shared_.get(); }
  const ComputeType type;
  py::ssize_t n, k;

 private:
  const Kernels& kernels_;
  Buffer buffer_;                        // its own memory, or
  std::shared_ptr<const float> shared_;  // that of somebody else
};

// x [rows, k] -> [rows, operand_words(type, k)].
FloatArray to_operand_(const Kernels& kernels, int compute_type, const FloatArray& x) {
  const ComputeType type = type_of_build(kernels, compute_type_at(compute_type));
  require_shape("x", x, {-1, -1});
  const std::size_t rows = size(x.shape(0)), k = size(x.shape(1));
  FloatArray operand(Shape{x.shape(0), static_cast<py::ssize_t>(kernels.operand_words(type, k))});
  float* out = operand.mutable_data();
  without_gil([&] { to_operand(kernels, type, x.data(), rows, k, out); });
  return operand;
}

// x [rows, k], the weight [n, k], bias [n] -> [rows, n].
FloatArray linear_(const Kernels& kernels, const FloatArray& x, const Packed& weight,
                   const std::optional<FloatArray>& bias, int activation) {
  weight.require(kernels);
  require_shape("x", x, {-1, weight.k});
  if (bias) require_shape("bias", *bias, {weight.n});
  const Activation f = activation_at(activation);
  if (is_rowwise(f)) throw py::value_error("activation must be element-wise, not a row's softmax");
  FloatArray y(Shape{x.shape(0), weight.n});
  float* out = y.mutable_data();
  const std::optional<FloatArray>& b = bias;
  without_gil([&] {
    linear(kernels, weight.type, x.data(), size(x.shape(0)), size(weight.k), size(weight.n),
           weight.data(), data_or_null(b), f, out);
  });
  return y;
}

// The same with its result as an operand [rows, operand_words(type, n)], on the calling thread.
FloatArray linear_operand_(const Kernels& kernels, const FloatArray& x, const Packed& weight,
                           const std::optional<FloatArray>& bias, int activation) {
  const ComputeType type = weight.type;
  weight.require(kernels);
  require_shape("x", x, {-1, weight.k});
  if (bias) require_shape("bias", *bias, {weight.n});
  const Activation f = activation_at(activation);
  if (is_rowwise(f)) throw py::value_error("activation must be element-wise, not a row's softmax");
  const std::size_t rows = size(x.shape(0)), n = size(weight.n), k = size(weight.k);
  const std::size_t words = kernels.operand_words(type, n);
  const std::size_t x_words = kernels.operand_words(type, k);
  FloatArray operand(Shape{x.shape(0), static_cast<py::ssize_t>(words)});
  const Buffer x_operand(rows * x_words + 1), scratch(rows * operand_columns(type) + 1);
  const LinearArgs args = {.type = type,
                           .x = x_operand.data(),
                           .x_stride = x_words,
                           .rows = rows,
                           .k = k,
                           .n = n,
                           .packed = weight.data(),
                           .bias = data_or_null(bias),
                           .activation = f,
                           .y = scratch.data(),
                           .y_stride = operand_columns(type),
                           .operand = operand.mutable_data(),
                           .operand_type = type};
  without_gil([&] {
    const UsualArithmetic usual;
    to_operand(kernels, type, x.data(), rows, k, x_operand.data());
    kernels.linear(args, 0, (n + kernels.panel - 1) / kernels.panel);
  });
  return operand;
}

// x [rows, k], weight [n, k], bias [n] -> [rows, n].
FloatArray linear_rows_(const Kernels& kernels, const FloatArray& x, const FloatArray& weight,
                        const std::optional<FloatArray>& bias) {
  require_shape("weight", weight, {-1, -1});
  const py::ssize_t n = weight.shape(0), k = weight.shape(1);
  require_shape("x", x, {-1, k});
  if (bias) require_shape("bias", *bias, {n});
  FloatArray y(Shape{x.shape(0), n});
  const LinearArgs args = {.type = ComputeType::float32,
                           .x = x.data(),
                           .x_stride = size(k),
                           .rows = size(x.shape(0)),
                           .k = size(k),
                           .n = size(n),
                           .packed = weight.data(),
                           .bias = data_or_null(bias),
                           .activation = Activation::linear,
                           .y = y.mutable_data(),
                           .y_stride = size(n)};
  without_gil([&] { linear_rows(kernels, args); });
  return y;
}

// x [rows, cols] -> [rows, cols].
FloatArray activate_(const Kernels& kernels, int activation, const FloatArray& x) {
  require_shape("x", x, {-1, -1});
  const Activation f = activation_at(activation);
  FloatArray y(Shape{x.shape(0), x.shape(1)});
  if (y.size() != 0) std::memcpy(y.mutable_data(), x.data(), size(x.nbytes()));
  float* out = y.mutable_data();
  without_gil([&] { activate(kernels, f, size(x.shape(0)), size(x.shape(1)), out); });
  return y;
}

// x, residual [rows, cols], gamma, beta [cols] -> [rows, cols].
FloatArray layer_norm_(const Kernels& kernels, const FloatArray& x,
                       const std::optional<FloatArray>& residual, const FloatArray& gamma,
                       const FloatArray& beta, float eps) {
  require_shape("x", x, {-1, -1});
  const py::ssize_t rows = x.shape(0), cols = x.shape(1);
  if (residual) require_shape("residual", *residual, {rows, cols});
  require_shape("gamma", gamma, {cols});
  require_shape("beta", beta, {cols});
  FloatArray y(Shape{rows, cols});
  float* out = y.mutable_data();
  without_gil([&] {
    layer_norm(kernels, x.data(), data_or_null(residual), gamma.data(), beta.data(), eps,
               size(rows), size(cols), out);
  });
  return y;
}

// Tables [their rows, cols], ids, types, positions [rows], gamma, beta [cols] -> [rows, cols].
FloatArray embeddings_(const Kernels& kernels, const FloatArray& word, const FloatArray& type,
                       const FloatArray& position, const IntArray& ids, const IntArray& types,
                       const IntArray& positions, const FloatArray& gamma, const FloatArray& beta,
                       float eps) {
  require_shape("word", word, {-1, -1});
  const py::ssize_t cols = word.shape(1), rows = ids.size();
  require_shape("type", type, {-1, cols});
  require_shape("position", position, {-1, cols});
  require_shape("gamma", gamma, {cols});
  require_shape("beta", beta, {cols});
  require_shape("ids", ids, {-1});
  require_shape("types", types, {rows});
  require_shape("positions", positions, {rows});
  require_below("ids", ids, word.shape(0));
  require_below("types", types, type.shape(0));
  require_below("positions", positions, position.shape(0));
  FloatArray y(Shape{rows, cols});
  float* out = y.mutable_data();
  without_gil([&] {
    embeddings(kernels, word.data(), type.data(), position.data(), ids.data(), types.data(),
               positions.data(), gamma.data(), beta.data(), eps, size(rows), size(cols), out);
  });
  return y;
}

// q [queries, head_size], k, v [keys, head_size] -> one head's attention [queries, head_size], or
// (v null) its weights [queries, keys].
FloatArray attention_(const Kernels& kernels, const FloatArray& q, const FloatArray& k,
                      const FloatArray* v, std::size_t visible, float scale, float head_weight,
                      ComputeType type) {
  require_shape("q", q, {-1, -1});
  const py::ssize_t queries = q.shape(0), head_size = q.shape(1);
  require_shape("k", k, {-1, head_size});
  const py::ssize_t keys = k.shape(0);
  if (v != nullptr) require_shape("v", *v, {keys, head_size});
  if (size(queries) > kAttentionQueries) {
    throw py::value_error("q must have at most " + std::to_string(kAttentionQueries) +
                          " rows, not " + std::to_string(queries));
  }
  FloatArray y(Shape{queries, v != nullptr ? head_size : keys});
  const Buffer scratch(kernels.attention_scratch(size(head_size)));
  const std::size_t stride = size(head_size);
  const AttentionArgs args = {.q = q.data(),
                              .k = k.data(),
                              .v = v != nullptr ? v->data() : nullptr,
                              .q_stride = stride,
                              .k_stride = stride,
                              .v_stride = stride,
                              .queries = size(queries),
                              .keys = size(keys),
                              .head_size = stride,
                              .visible = visible,
                              .scale = scale,
                              .head_weight = head_weight,
                              .y = y.mutable_data(),
                              .y_stride = size(y.shape(1)),
                              .scratch = scratch.data(),
                              .type = type};
  without_gil([&] {
    const UsualArithmetic usual;
    (v != nullptr ? kernels.attention : kernels.attention_weights)(args);
  });
  return y;
}

}  // namespace

void bind_kernels(py::module_& m) {
  // Both before the signatures that name them.
  py::class_<Kernels> kernels(m, "Kernels");
  py::class_<Packed> packed(m, "Packed");
  kernels.def_readonly("isa", &Kernels::isa)
      .def_readonly("panel", &Kernels::panel)
      .def_readonly("together", &Kernels::together)
      .def_readonly("has_bfloat16x3", &Kernels::has_bfloat16x3)
      .def("to_operand", &to_operand_, "compute_type"_a, "x"_a.noconvert())
      .def("linear_operand", &linear_operand_, "x"_a.noconvert(), "weight"_a, "bias"_a.noconvert(),
           "activation"_a)
      .def("linear", &linear_, "x"_a.noconvert(), "weight"_a, "bias"_a.noconvert(), "activation"_a)
      .def("linear_rows", &linear_rows_, "x"_a.noconvert(), "weight"_a.noconvert(),
           "bias"_a.noconvert())
      .def("activate", &activate_, "activation"_a, "x"_a.noconvert())
      .def("layer_norm", &layer_norm_, "x"_a.noconvert(), "residual"_a.noconvert(),
           "gamma"_a.noconvert(), "beta"_a.noconvert(), "eps"_a)
      .def("embeddings", &embeddings_, "word"_a.noconvert(), "type"_a.noconvert(),
           "position"_a.noconvert(), "ids"_a.noconvert(), "types"_a.noconvert(),
           "positions"_a.noconvert(), "gamma"_a.noconvert(), "beta"_a.noconvert(), "eps"_a)
      .def(
          "attention",
          [](const Kernels& kernels, const FloatArray& q, const FloatArray& k, const FloatArray& v,
             std::size_t visible, float scale, float head_weight, int compute_type) {
            return attention_(kernels, q, k, &v, visible, scale, head_weight,
                              type_of_build(kernels, compute_type_at(compute_type)));
          },
          "q"_a.noconvert(), "k"_a.noconvert(), "v"_a.noconvert(), "visible"_a, "scale"_a,
          "head_weight"_a, "compute_type"_a = 0)
      .def(
          "attention_weights",
          [](const Kernels& kernels, const FloatArray& q, const FloatArray& k, std::size_t visible,
             float scale, float head_weight) {
            return attention_(kernels, q, k, nullptr, visible, scale, head_weight,
                              ComputeType::float32);
          },
          "q"_a.noconvert(), "k"_a.noconvert(), "visible"_a, "scale"_a, "head_weight"_a);

  packed
      .def(py::init<const Kernels&, const FloatArray&, int>(), "kernels"_a, "weight"_a.noconvert(),
           "compute_type"_a = 0)
      .def(py::init<const Kernels&, const ByteArray&, py::ssize_t, py::ssize_t, int>(), "kernels"_a,
           "memory"_a.noconvert(), "n"_a, "k"_a, "compute_type"_a)
      .def("memory",
           [](const py::object& self) {
             const Packed& packed = self.cast<const Packed&>();
             return view_words(packed.data(), packed.words(), self);
           })
      .def_readonly("n", &Packed::n)
      .def_readonly("k", &Packed::k)
      .def("layout", &Packed::layout);
}

}  // namespace pyroberta
