// The blocks of a model: their weights, and runs through them.
#include <fcntl.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <tuple>

#include "bindings/arrays.h"
#include "blocks/block.h"
#include "blocks/run_blocks.h"
#include "packing.h"
#include "threads/whole.h"

namespace pyroberta {
namespace {

void require_own_memory(const Block& block) {
  if (!block.owns_memory()) throw py::value_error("block must own its memory to be written");
}

// The layer called `name`, its bias set.
Linear& layer_with_bias(Block& block, const std::string& name, const FloatArray& bias) {
  require_own_memory(block);
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
  require_shape("bias", bias, {static_cast<py::ssize_t>(linear->n)});
  std::memcpy(linear->bias, bias.data(), linear->n * sizeof(float));
  return *linear;
}

void set_linear(Block& block, const std::string& name, const FloatArray& weight,
                const FloatArray& bias) {
  const Linear& linear = layer_with_bias(block, name, bias);
  require_shape("weight", weight,
                {static_cast<py::ssize_t>(linear.n), static_cast<py::ssize_t>(linear.k)});
  py::gil_scoped_release unlocked;
  pack(block.kernels, linear.type, weight.data(), linear.n, linear.k, linear.packed);
}

// Open files, closed again whatever happens.
class Files {
 public:
  explicit Files(std::size_t count) { files_.reserve(count); }
  Files(const Files&) = delete;
  Files& operator=(const Files&) = delete;
  ~Files() {
    for (const int file : files_) close(file);
  }
  int open(const std::string& path) {
    files_.push_back(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (files_.back() < 0) {
      files_.pop_back();
      PyErr_SetFromErrnoWithFilename(PyExc_OSError, path.c_str());
      throw py::error_already_set();
    }
    return files_.back();
  }

 private:
  std::vector<int> files_;
};

// places: for each part of the weight its file, the byte where it begins, and its rows.
void read_linear(Block& block, const std::string& name,
                 const std::vector<std::tuple<std::string, std::uint64_t, std::size_t>>& places,
                 const FloatArray& bias) {
  const Linear& linear = layer_with_bias(block, name, bias);
  Files files(places.size());
  std::vector<FileRows> parts;
  std::size_t rows = 0;
  for (const auto& [path, offset, count] : places) {
    parts.push_back({files.open(path), offset, count});
    rows += count;
  }
  if (rows != linear.n) {
    throw py::value_error("places must have " + std::to_string(linear.n) + " rows, not " +
                          std::to_string(rows));
  }
  bool sound;
  {
    py::gil_scoped_release unlocked;
    sound = pack_from_files(block.kernels, linear.type, parts, linear.n, linear.k, linear.packed);
  }
  if (!sound) {
    PyErr_SetString(PyExc_OSError, "the file ends early, or can not be read");
    throw py::error_already_set();
  }
}

void set_norm(Block& block, const std::string& name, const FloatArray& gamma,
              const FloatArray& beta) {
  require_own_memory(block);
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
  float* out = y.mutable_data();
  py::gil_scoped_release unlocked;
  linear(block.kernels, layer.type, x.data(), size(x.shape(0)), layer.k, layer.n, layer.packed,
         layer.bias, Activation::linear, out);
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

// The blocks run in place on `out`, once x is in it (it may be x; a new array for none). Returns
// it, and the attention weights where wanted.
py::tuple run_blocks_(const std::vector<const Block*>& blocks, const FloatArray& x,
                      const IntArray& offsets, const std::optional<FloatArray>& head_mask,
                      bool causal, bool want_attentions, Workspaces& workspaces,
                      std::optional<CacheTuple> cache_arrays,
                      const std::optional<CrossTuple>& cross_arrays,
                      std::optional<FloatArray> out) {
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
  if (out) require_shape("out", *out, {x.shape(0), x.shape(1)});
  FloatArray y = out ? std::move(*out) : FloatArray(Shape{x.shape(0), x.shape(1)});
  if (!y.writeable()) throw py::value_error("out must be writable");
  float* result = y.mutable_data();
  if (y.size() != 0 && result != x.data()) std::memmove(result, x.data(), size(x.nbytes()));
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
  {
    py::gil_scoped_release unlocked;
    run_blocks(blocks.data(), blocks.size(), batch, options, workspaces, result);
  }
  return py::make_tuple(y, attentions, cross_attentions);
}

}  // namespace

void bind_blocks(py::module_& m) {
  const auto make = [](const Kernels& kernels, std::size_t hidden, std::size_t intermediate_size,
                       std::size_t heads, int activation, float eps, bool has_cross,
                       int compute_type, const std::optional<ByteArray>& memory) {
    if (hidden == 0 || heads == 0 || hidden % heads != 0) {
      throw py::value_error("hidden must be a multiple of heads");
    }
    return std::make_unique<Block>(kernels, compute_type_at(compute_type), hidden,
                                   intermediate_size, heads, activation_at(activation), eps,
                                   has_cross, memory ? aligned_words(*memory) : nullptr,
                                   memory ? size(memory->nbytes()) / sizeof(float) : 0);
  };
  py::class_<Block>(m, "Block")
      .def(py::init(make), "kernels"_a, "hidden"_a, "intermediate_size"_a, "heads"_a,
           "activation"_a, "eps"_a, "has_cross"_a = false, "compute_type"_a = 0,
           "memory"_a.noconvert() = py::none(), py::keep_alive<1, 10>())
      .def("memory",
           [](const py::object& self) {
             const Block& block = self.cast<const Block&>();
             return view_words(block.memory(), block.words(), self);
           })
      .def("cross_key_values", &cross_key_values, "x"_a.noconvert())
      .def("set_linear", &set_linear, "name"_a, "weight"_a.noconvert(), "bias"_a.noconvert())
      .def("read_linear", &read_linear, "name"_a, "places"_a, "bias"_a.noconvert())
      .def("set_norm", &set_norm, "name"_a, "gamma"_a.noconvert(), "beta"_a.noconvert());

  py::class_<Workspaces>(m, "Workspaces").def(py::init<>());

  m.def("run_blocks", &run_blocks_, "blocks"_a, "x"_a.noconvert(), "offsets"_a.noconvert(),
        "head_mask"_a.noconvert(), "causal"_a, "want_attentions"_a, "workspaces"_a,
        "cache"_a.noconvert() = py::none(), "cross"_a.noconvert() = py::none(),
        "out"_a.noconvert() = py::none());
}

}  // namespace pyroberta
