// The Python face of the kernels. The only file that includes pybind11.
//
// Each binding does four things in this order: check, allocate, release the GIL, call. The checks
// keep memory safe, whoever calls; the checks that explain a user's mistake are in pyroberta/.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstring>
#include <string>
#include <vector>

#include "encoder.h"
#include "kernels.h"
#include "parallel.h"
#include "products.h"

namespace py = pybind11;
using namespace pybind11::literals;

namespace pyroberta {
namespace {

using FloatArray = py::array_t<float, py::array::c_style>;
using IntArray = py::array_t<std::int64_t, py::array::c_style>;
using Shape = std::vector<py::ssize_t>;

std::size_t size(py::ssize_t n) { return static_cast<std::size_t>(n); }

// "float32[2, 3]", for error messages.
std::string describe(const std::string& dtype, const Shape& shape) {
  std::string text = dtype + "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

// Raises ValueError unless `a` has exactly this shape; -1 stands for any size.
void require_shape(const char* name, const py::array& a, const Shape& wanted) {
  const Shape shape(a.shape(), a.shape() + a.ndim());
  bool same = shape.size() == wanted.size();
  for (std::size_t i = 0; same && i < shape.size(); ++i) {
    same = wanted[i] < 0 || shape[i] == wanted[i];
  }
  if (!same) {
    const std::string dtype = py::str(a.dtype()).cast<std::string>();
    throw py::value_error(std::string(name) + " must be " + describe(dtype, wanted) + ", not " +
                          describe(dtype, shape));
  }
}

void require_below(const char* name, const IntArray& ids, py::ssize_t limit) {
  const std::int64_t* data = ids.data();
  for (py::ssize_t i = 0; i < ids.size(); ++i) {
    if (data[i] < 0 || data[i] >= limit) {
      throw py::value_error(std::string(name) + " must be in [0, " + std::to_string(limit) +
                            "), not " + std::to_string(data[i]));
    }
  }
}

Activation activation_at(int index) {
  if (index < 0 || index >= static_cast<int>(Activation::count)) {
    throw py::value_error("activation must be in [0, " +
                          std::to_string(static_cast<int>(Activation::count)) + "), not " +
                          std::to_string(index));
  }
  return static_cast<Activation>(index);
}

const float* data_or_null(const std::optional<FloatArray>& a) {
  return a.has_value() ? a->data() : nullptr;
}

// A weight laid out for one build of the kernels.
class Packed {
 public:
  Packed(const Kernels& kernels, const FloatArray& weight) : kernels_(kernels) {
    require_shape("weight", weight, {-1, -1});
    n = weight.shape(0);
    k = weight.shape(1);
    buffer_ = Buffer(packed_size(kernels, size(n), size(k)));
    py::gil_scoped_release unlocked;
    pack(kernels, weight.data(), size(n), size(k), buffer_.data());
  }

  // The layout itself, [panels, k, panel], for the test that draws it.
  FloatArray layout() const {
    const py::ssize_t panel = static_cast<py::ssize_t>(kernels_.panel);
    FloatArray copy(Shape{(n + panel - 1) / panel, k, panel});
    std::memcpy(copy.mutable_data(), buffer_.data(), size(copy.nbytes()));
    return copy;
  }

  const float* data() const { return buffer_.data(); }
  py::ssize_t n, k;

 private:
  const Kernels& kernels_;
  Buffer buffer_;
};

FloatArray linear_(const Kernels& kernels, const FloatArray& x, const Packed& weight,
                   const std::optional<FloatArray>& bias, int activation) {
  require_shape("x", x, {-1, weight.k});
  if (bias) require_shape("bias", *bias, {weight.n});
  const Activation f = activation_at(activation);
  if (is_rowwise(f)) throw py::value_error("activation must be element-wise, not a row's softmax");
  FloatArray y(Shape{x.shape(0), weight.n});
  const LinearArgs args = {x.data(),         size(weight.k), size(x.shape(0)),   size(weight.k),
                           size(weight.n),   weight.data(),  data_or_null(bias), f,
                           y.mutable_data(), size(weight.n)};
  py::gil_scoped_release unlocked;
  linear(kernels, args);
  return y;
}

FloatArray linear_rows_(const Kernels& kernels, const FloatArray& x, const FloatArray& weight,
                        const std::optional<FloatArray>& bias) {
  require_shape("weight", weight, {-1, -1});
  const py::ssize_t n = weight.shape(0), k = weight.shape(1);
  require_shape("x", x, {-1, k});
  if (bias) require_shape("bias", *bias, {n});
  FloatArray y(Shape{x.shape(0), n});
  const LinearArgs args = {x.data(),         size(k),       size(x.shape(0)),   size(k),
                           size(n),          weight.data(), data_or_null(bias), Activation::linear,
                           y.mutable_data(), size(n)};
  py::gil_scoped_release unlocked;
  linear_rows(kernels, args);
  return y;
}

FloatArray activate_(const Kernels& kernels, int activation, const FloatArray& x) {
  require_shape("x", x, {-1, -1});
  const Activation f = activation_at(activation);
  FloatArray y(Shape{x.shape(0), x.shape(1)});
  if (y.size() != 0) std::memcpy(y.mutable_data(), x.data(), size(x.nbytes()));
  float* out = y.mutable_data();
  py::gil_scoped_release unlocked;
  activate(kernels, f, size(x.shape(0)), size(x.shape(1)), out);
  return y;
}

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
  py::gil_scoped_release unlocked;
  layer_norm(kernels, x.data(), data_or_null(residual), gamma.data(), beta.data(), eps, size(rows),
             size(cols), out);
  return y;
}

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
  py::gil_scoped_release unlocked;
  embeddings(kernels, word.data(), type.data(), position.data(), ids.data(), types.data(),
             positions.data(), gamma.data(), beta.data(), eps, size(rows), size(cols), out);
  return y;
}

// One head's attention, or (v null) its weights.
FloatArray attention_(const Kernels& kernels, const FloatArray& q, const FloatArray& k,
                      const FloatArray* v, std::size_t visible, float scale, float head_weight) {
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
  const Buffer scratch(attention_scratch(size(head_size), kernels.panel));
  const std::size_t stride = size(head_size);
  const AttentionArgs args = {q.data(),
                              k.data(),
                              v != nullptr ? v->data() : nullptr,
                              stride,
                              stride,
                              stride,
                              size(queries),
                              size(keys),
                              stride,
                              visible,
                              scale,
                              head_weight,
                              y.mutable_data(),
                              size(y.shape(1)),
                              scratch.data()};
  py::gil_scoped_release unlocked;
  (v != nullptr ? kernels.attention : kernels.attention_weights)(args);
  return y;
}

void set_linear(Block& block, const std::string& name, const FloatArray& weight,
                const FloatArray& bias) {
  Linear* linear = name == "query_key_value"    ? &block.query_key_value
                   : name == "attention_output" ? &block.attention_output
                   : name == "intermediate"     ? &block.intermediate
                   : name == "output"           ? &block.output
                   : name == "cross_query"      ? &block.cross_query
                   : name == "cross_key_value"  ? &block.cross_key_value
                   : name == "cross_output"     ? &block.cross_output
                                                : nullptr;
  if (linear == nullptr || linear->packed == nullptr) {
    throw py::value_error("name must be that of a linear layer of the block, not " + name);
  }
  const py::ssize_t n = static_cast<py::ssize_t>(linear->n),
                    k = static_cast<py::ssize_t>(linear->k);
  require_shape("weight", weight, {n, k});
  require_shape("bias", bias, {n});
  std::memcpy(linear->bias, bias.data(), linear->n * sizeof(float));
  py::gil_scoped_release unlocked;
  pack(block.kernels, weight.data(), linear->n, linear->k, linear->packed);
}

void set_norm(Block& block, const std::string& name, const FloatArray& gamma,
              const FloatArray& beta) {
  LayerNorm* norm = name == "attention_norm" ? &block.attention_norm
                    : name == "output_norm"  ? &block.output_norm
                    : name == "cross_norm"   ? &block.cross_norm
                                             : nullptr;
  if (norm == nullptr || norm->gamma == nullptr) {
    throw py::value_error("name must be that of a layer norm of the block, not " + name);
  }
  require_shape("gamma", gamma, {static_cast<py::ssize_t>(block.hidden)});
  require_shape("beta", beta, {static_cast<py::ssize_t>(block.hidden)});
  std::memcpy(norm->gamma, gamma.data(), block.hidden * sizeof(float));
  std::memcpy(norm->beta, beta.data(), block.hidden * sizeof(float));
}

// An encoder's output [tokens, hidden] -> the block's keys and values of it [tokens, 2 hidden].
FloatArray cross_key_values(const Block& block, const FloatArray& x) {
  if (!block.has_cross) throw py::value_error("block must have cross attention");
  require_shape("x", x, {-1, static_cast<py::ssize_t>(block.hidden)});
  const Linear& layer = block.cross_key_value;
  FloatArray y(Shape{x.shape(0), static_cast<py::ssize_t>(layer.n)});
  const LinearArgs args = {x.data(),     layer.k,    size(x.shape(0)),   layer.k,          layer.n,
                           layer.packed, layer.bias, Activation::linear, y.mutable_data(), layer.n};
  py::gil_scoped_release unlocked;
  linear(block.kernels, args);
  return y;
}

using CacheTuple = std::tuple<std::vector<FloatArray>, std::vector<FloatArray>, IntArray>;
using CrossTuple =
    std::tuple<std::vector<FloatArray>, IntArray, IntArray, std::optional<FloatArray>>;

// Checks the arrays of a cache for `blocks` blocks and the rows of `offsets`, and points to them.
KeyValueCache read_cache(CacheTuple& tuple, std::size_t blocks, const IntArray& offsets,
                         py::ssize_t hidden) {
  auto& [keys, values, lengths] = tuple;
  const py::ssize_t rows = offsets.size() - 1;
  if (keys.size() != blocks || values.size() != blocks) {
    throw py::value_error("cache must have keys and values for each block");
  }
  require_shape("lengths", lengths, {rows});
  const py::ssize_t slots = keys[0].ndim() == 3 ? keys[0].shape(1) : 0;
  KeyValueCache cache;
  cache.slots = size(slots);
  cache.lengths = lengths.data();
  for (std::size_t i = 0; i < blocks; ++i) {
    require_shape("keys", keys[i], {rows, slots, hidden});
    require_shape("values", values[i], {rows, slots, hidden});
    cache.keys.push_back(keys[i].mutable_data());
    cache.values.push_back(values[i].mutable_data());
  }
  for (py::ssize_t r = 0; r < rows; ++r) {
    const std::int64_t before = lengths.at(r), added = offsets.at(r + 1) - offsets.at(r);
    if (before < 0 || before > slots || added > slots - before) {
      throw py::value_error("lengths must leave room for the new tokens in " +
                            std::to_string(slots) + " slots");
    }
  }
  return cache;
}

CrossAttention read_cross(const CrossTuple& tuple, std::size_t blocks, py::ssize_t rows,
                          const Block& b) {
  const auto& [key_values, offsets, sources, head_mask] = tuple;
  const py::ssize_t hidden = static_cast<py::ssize_t>(b.hidden);
  if (!b.has_cross) throw py::value_error("block must have cross attention");
  if (key_values.size() != blocks) {
    throw py::value_error("key_values must be one for each block");
  }
  require_shape("offsets", offsets, {-1});
  require_shape("rows", sources, {rows});
  if (head_mask) {
    require_shape("head_mask", *head_mask,
                  {static_cast<py::ssize_t>(blocks), static_cast<py::ssize_t>(b.heads)});
  }
  require_below("rows", sources, offsets.size() - 1);
  CrossAttention cross;
  cross.offsets = offsets.data();
  cross.rows = sources.data();
  cross.head_mask = data_or_null(head_mask);
  for (py::ssize_t r = 0; r + 1 < offsets.size(); ++r) {
    if (offsets.at(r) < 0 || offsets.at(r) > offsets.at(r + 1)) {
      throw py::value_error("offsets must not fall");
    }
  }
  for (const FloatArray& kv : key_values) {
    require_shape("key_values", kv, {-1, 2 * hidden});
    if (offsets.size() != 0 && kv.shape(0) < offsets.at(offsets.size() - 1)) {
      throw py::value_error("offsets must end within key_values");
    }
    cross.key_values.push_back(kv.data());
  }
  return cross;
}

// The blocks run in place on a copy of x; returns it, and the attention weights where wanted.
py::tuple run_blocks_(const std::vector<const Block*>& blocks, const FloatArray& x,
                      const IntArray& offsets, const std::optional<FloatArray>& head_mask,
                      bool causal, bool want_attentions, Workspaces& workspaces,
                      std::optional<CacheTuple> cache_arrays,
                      const std::optional<CrossTuple>& cross_arrays) {
  if (blocks.empty()) throw py::value_error("blocks must be at least one, not 0");
  const Block& b = *blocks[0];
  for (const Block* other : blocks) {
    if (other == nullptr || other->hidden != b.hidden || other->heads != b.heads ||
        other->intermediate_size != b.intermediate_size || &other->kernels != &b.kernels ||
        other->has_cross != b.has_cross) {
      throw py::value_error("blocks must all have the sizes and kernels of the first");
    }
  }
  const py::ssize_t count = static_cast<py::ssize_t>(blocks.size());
  const py::ssize_t heads = static_cast<py::ssize_t>(b.heads);
  require_shape("x", x, {-1, static_cast<py::ssize_t>(b.hidden)});
  require_shape("offsets", offsets, {-1});
  if (head_mask) require_shape("head_mask", *head_mask, {count, heads});
  const py::ssize_t rows = offsets.size() - 1;
  if (rows < 0 || offsets.at(0) != 0 || offsets.at(rows) != x.shape(0)) {
    throw py::value_error("offsets must begin with 0 and end with the rows of x");
  }
  for (py::ssize_t r = 0; r < rows; ++r) {
    if (offsets.at(r + 1) < offsets.at(r)) throw py::value_error("offsets must not fall");
  }
  if (want_attentions && count != 1) {
    throw py::value_error("blocks must be one for its attentions, not " + std::to_string(count));
  }

  RunOptions options;
  options.head_mask = data_or_null(head_mask);
  options.causal = causal;
  KeyValueCache cache;
  CrossAttention cross;
  if (cache_arrays) {
    cache = read_cache(*cache_arrays, blocks.size(), offsets, static_cast<py::ssize_t>(b.hidden));
    options.cache = &cache;
  }
  if (cross_arrays) {
    cross = read_cross(*cross_arrays, blocks.size(), rows, b);
    options.cross = &cross;
  }
  FloatArray y(Shape{x.shape(0), x.shape(1)});
  if (y.size() != 0) std::memcpy(y.mutable_data(), x.data(), size(x.nbytes()));
  py::object attentions = py::none(), cross_attentions = py::none();
  if (want_attentions) {
    py::ssize_t own = 0, others = 0;
    for (py::ssize_t r = 0; r < rows; ++r) {
      const py::ssize_t tokens = offsets.at(r + 1) - offsets.at(r);
      own += heads * tokens * (tokens + (cache_arrays ? cache.lengths[r] : 0));
      if (cross_arrays) {
        others +=
            heads * tokens * (cross.offsets[cross.rows[r] + 1] - cross.offsets[cross.rows[r]]);
      }
    }
    FloatArray weights(Shape{own});
    options.attentions = weights.mutable_data();
    attentions = std::move(weights);
    if (cross_arrays) {
      FloatArray cross_weights(Shape{others});
      options.cross_attentions = cross_weights.mutable_data();
      cross_attentions = std::move(cross_weights);
    }
  }
  const RaggedBatch batch = {offsets.data(), size(rows)};
  float* out = y.mutable_data();
  {
    py::gil_scoped_release unlocked;
    run_blocks(blocks.data(), blocks.size(), batch, options, workspaces, out);
  }
  return py::make_tuple(y, attentions, cross_attentions);
}

std::vector<std::string> built_isas() {
  std::size_t count;
  const Kernels* const* builds = built_kernels(count);
  std::vector<std::string> names;
  for (std::size_t i = 0; i < count; ++i) names.emplace_back(builds[i]->isa);
  return names;
}

// The build called `isa`, or null where this binary or this CPU lacks it.
const Kernels* find_kernels(const std::string& isa) {
  std::size_t count;
  const Kernels* const* builds = built_kernels(count);
  for (std::size_t i = 0; i < count; ++i) {
    if (isa == builds[i]->isa) return runs_here(*builds[i]) ? builds[i] : nullptr;
  }
  return nullptr;
}

}  // namespace
}  // namespace pyroberta

PYBIND11_MODULE(_core, m) {
  using namespace pyroberta;
  m.doc() = "The compiled kernels. Private: use the pyroberta package.";
  m.attr("version") = PYROBERTA_VERSION;
  m.attr("openmp") = openmp_version();
  m.attr("attention_queries") = kAttentionQueries;

  py::class_<Kernels>(m, "Kernels")
      .def_readonly("isa", &Kernels::isa)
      .def_readonly("panel", &Kernels::panel)
      .def_readonly("tile_rows", &Kernels::tile_rows)
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
             std::size_t visible, float scale, float head_weight) {
            return attention_(kernels, q, k, &v, visible, scale, head_weight);
          },
          "q"_a.noconvert(), "k"_a.noconvert(), "v"_a.noconvert(), "visible"_a, "scale"_a,
          "head_weight"_a)
      .def(
          "attention_weights",
          [](const Kernels& kernels, const FloatArray& q, const FloatArray& k, std::size_t visible,
             float scale, float head_weight) {
            return attention_(kernels, q, k, nullptr, visible, scale, head_weight);
          },
          "q"_a.noconvert(), "k"_a.noconvert(), "visible"_a, "scale"_a, "head_weight"_a);

  py::class_<Packed>(m, "Packed")
      .def(py::init<const Kernels&, const FloatArray&>(), "kernels"_a, "weight"_a.noconvert())
      .def_readonly("n", &Packed::n)
      .def_readonly("k", &Packed::k)
      .def("layout", &Packed::layout);

  py::class_<Block>(m, "Block")
      .def(py::init([](const Kernels& kernels, std::size_t hidden, std::size_t intermediate_size,
                       std::size_t heads, int activation, float eps, bool has_cross) {
             if (hidden == 0 || heads == 0 || hidden % heads != 0) {
               throw py::value_error("hidden must be a multiple of heads");
             }
             return std::make_unique<Block>(kernels, hidden, intermediate_size, heads,
                                            activation_at(activation), eps, has_cross);
           }),
           "kernels"_a, "hidden"_a, "intermediate_size"_a, "heads"_a, "activation"_a, "eps"_a,
           "has_cross"_a = false)
      .def("cross_key_values", &cross_key_values, "x"_a.noconvert())
      .def("set_linear", &set_linear, "name"_a, "weight"_a.noconvert(), "bias"_a.noconvert())
      .def("set_norm", &set_norm, "name"_a, "gamma"_a.noconvert(), "beta"_a.noconvert());

  py::class_<Workspaces>(m, "Workspaces").def(py::init<>());

  m.def("run_blocks", &run_blocks_, "blocks"_a, "x"_a.noconvert(), "offsets"_a.noconvert(),
        "head_mask"_a.noconvert(), "causal"_a, "want_attentions"_a, "workspaces"_a,
        "cache"_a.noconvert() = py::none(), "cross"_a.noconvert() = py::none());
  m.def("built_isas", &built_isas);
  m.def("find_kernels", &find_kernels, "isa"_a, py::return_value_policy::reference);
  m.def("set_num_threads", &set_num_threads, "n"_a);
  m.def("get_num_threads", &num_threads);
}
