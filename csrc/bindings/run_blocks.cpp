// Runs through the blocks of a model.
#include <cstring>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/gil.h"
#include "blocks/block.h"
#include "blocks/run_blocks.h"
#include "memory.h"

namespace pyroberta {
namespace {

// Of each block the keys and the values, [rows, slots, hidden] each; lengths [rows].
using CacheTuple = std::tuple<std::vector<FloatArray>, std::vector<FloatArray>, IntArray>;
// Of each block the keys and values [encoder tokens, 2 hidden]; offsets [encoder rows + 1]; rows
// [rows]; head_mask [blocks, heads].
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

// x [tokens, hidden] in rows by offsets [rows + 1]; head_mask [blocks, heads]. The blocks run in
// place on `out` [tokens, hidden], once x is in it (it may be x; a new array for none). Returns it
// and, where wanted, the attention weights and those of the cross attention: of one block, flat,
// row after row [heads, tokens, keys of the row].
py::tuple run_blocks_(const std::vector<const Block*>& blocks, const FloatArray& x,
                      const IntArray& offsets, Workspaces& workspaces,
                      const std::optional<FloatArray>& head_mask, bool causal, bool want_attentions,
                      std::optional<CacheTuple> cache_arrays,
                      const std::optional<CrossTuple>& cross_arrays,
                      std::optional<FloatArray> out) {
  if (blocks.empty()) throw py::value_error("blocks must be at least one, not 0");
  for (const Block* block : blocks) {
    if (block == nullptr) throw py::value_error("blocks must be blocks, not None");
  }
  const Block& b = *blocks[0];
  for (const Block* other : blocks) {
    if (other->hidden != b.hidden || other->heads != b.heads ||
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
  without_gil(
      [&] { run_blocks(blocks.data(), blocks.size(), batch, options, workspaces, result); });
  return py::make_tuple(y, attentions, cross_attentions);
}

}  // namespace

void bind_run_blocks(py::module_& m) {
  py::class_<Workspaces>(m, "Workspaces").def(py::init<>());

  m.def("run_blocks", &run_blocks_, "blocks"_a, "x"_a.noconvert(), "offsets"_a.noconvert(),
        "workspaces"_a, py::kw_only(), "head_mask"_a.noconvert() = py::none(), "causal"_a = false,
        "want_attentions"_a = false, "cache"_a.noconvert() = py::none(),
        "cross"_a.noconvert() = py::none(), "out"_a.noconvert() = py::none());
}

}  // namespace pyroberta
