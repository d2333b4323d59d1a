// Runs of blocks over ragged batches, of any sizes and options, for libFuzzer.
//
// Beside what the sanitizers see: three threads give the bits of one; a row by itself gives those
// that it has in the batch; tame numbers give finite ones.
#include "blocks/run_blocks.h"

#include <numeric>

#include "input.h"
#include "packing.h"
#include "threads/team.h"

namespace pyroberta::fuzz {
namespace {

void fill(Input& in, const Kernels& kernels, Block& block, bool tame) {
  for (const LinearField& field : kLinearFields) {
    const Linear& layer = block.*field.field;
    if (layer.packed == nullptr) continue;
    const Array w = in.floats(layer.n * layer.k, tame), bias = in.floats(layer.n, tame);
    pack(kernels, layer.type, w.data(), layer.n, layer.k, layer.packed);
    std::memcpy(layer.bias, bias.data(), layer.n * sizeof(float));
  }
  for (const NormField& field : kNormFields) {
    const LayerNorm& norm = block.*field.field;
    if (norm.gamma == nullptr) continue;
    const Array gamma = in.floats(block.hidden, tame), beta = in.floats(block.hidden, tame);
    std::memcpy(norm.gamma, gamma.data(), block.hidden * sizeof(float));
    std::memcpy(norm.beta, beta.data(), block.hidden * sizeof(float));
  }
}

// From 0, one more than there are rows.
std::vector<std::int64_t> offsets_of(Input& in, std::size_t rows, std::size_t most) {
  std::vector<std::int64_t> offsets(1, 0);
  for (std::size_t r = 0; r < rows; ++r) {
    offsets.push_back(offsets.back() + static_cast<std::int64_t>(in.between(0, most)));
  }
  return offsets;
}

void blocks(Input& in) {
  const Kernels& kernels = any_build(in);
  const ComputeType type = any_type(in, kernels);
  const std::size_t heads = in.between(1, 4), hidden = heads * in.between(1, 20);
  const std::size_t count = in.between(1, 2);
  const bool tame = in.flag(), causal = in.flag(), has_cross = in.flag(), has_cache = in.flag();
  const bool wants_weights = count == 1 && in.flag(), has_head_mask = in.flag();
  const Activation activation = any_activation(in, true);
  const std::size_t intermediate = in.between(1, 100);
  std::vector<std::unique_ptr<Block>> made;
  std::vector<const Block*> run;
  for (std::size_t b = 0; b < count; ++b) {
    made.push_back(std::make_unique<Block>(kernels, type, hidden, intermediate, heads, activation,
                                           1e-5f, has_cross));
    fill(in, kernels, *made.back(), tame);
    run.push_back(made.back().get());
  }

  const std::size_t rows = in.between(0, 5);
  const std::vector<std::int64_t> offsets = offsets_of(in, rows, in.between(0, 3) != 0 ? 6 : 160);
  const std::size_t tokens = static_cast<std::size_t>(offsets.back());
  const Array x = in.floats(tokens * hidden, tame);

  // The tokens before.
  std::vector<std::int64_t> lengths(rows, 0);
  std::size_t slots = 1;
  for (std::size_t r = 0; r < rows; ++r) {
    if (has_cache) lengths[r] = static_cast<std::int64_t>(in.between(0, 9));
    slots = std::max(slots, static_cast<std::size_t>(lengths[r] + offsets[r + 1] - offsets[r]));
  }
  const std::size_t cached = has_cache ? rows * slots * hidden : 0;
  const Array before = in.floats(2 * count * cached, tame);

  // The encoder's output.
  const std::vector<std::int64_t> encoder = offsets_of(in, in.between(1, 3), 40);
  std::vector<Array> key_values;
  std::vector<std::int64_t> encoder_rows(rows);
  for (std::size_t b = 0; has_cross && b < count; ++b) {
    key_values.push_back(in.floats(static_cast<std::size_t>(encoder.back()) * 2 * hidden, tame));
  }
  for (auto& row : encoder_rows) {
    row = static_cast<std::int64_t>(in.between(0, encoder.size() - 2));
  }
  const Array head_mask = in.floats(count * heads, true);
  std::size_t weights = 0, cross_weights = 0;
  for (std::size_t r = 0; r < rows; ++r) {
    const std::int64_t own = offsets[r + 1] - offsets[r], row = encoder_rows[r];
    weights += heads * static_cast<std::size_t>(own * (own + lengths[r]));
    cross_weights += heads * static_cast<std::size_t>(own * (encoder[row + 1] - encoder[row]));
  }

  struct Result {
    Array x, cache, attentions, cross_attentions;
  };
  Workspaces workspaces;
  const auto run_rows = [&](int threads, std::size_t first, std::size_t end) {
    set_num_threads(threads);
    std::vector<std::int64_t> part(offsets.begin() + static_cast<std::ptrdiff_t>(first),
                                   offsets.begin() + static_cast<std::ptrdiff_t>(end) + 1);
    for (std::size_t i = part.size(); i-- > 0;) part[i] -= part[0];
    const std::size_t from = static_cast<std::size_t>(offsets[first]);
    const std::size_t n = static_cast<std::size_t>(part.back());
    const bool whole = first == 0 && end == rows;
    Result out{Array(n * hidden), Array(2 * count * (end - first) * (cached ? slots * hidden : 0)),
               Array(wants_weights && whole ? weights : 0),
               Array(wants_weights && whole ? cross_weights : 0)};
    std::memcpy(out.x.data(), x.data() + from * hidden, n * hidden * sizeof(float));
    KeyValueCache cache{{}, {}, slots, lengths.data() + first};
    const std::size_t each = cached ? (end - first) * slots * hidden : 0;
    for (std::size_t i = 0; i < 2 * count; ++i) {
      std::memcpy(out.cache.data() + i * each,
                  before.data() + i * cached + first * (cached ? slots * hidden : 0),
                  each * sizeof(float));
      (i < count ? cache.keys : cache.values).push_back(out.cache.data() + i * each);
    }
    CrossAttention cross{{}, encoder.data(), encoder_rows.data() + first, nullptr};
    for (const Array& one : key_values) cross.key_values.push_back(one.data());
    RunOptions options;
    options.head_mask = has_head_mask ? head_mask.data() : nullptr;
    options.causal = causal || has_cache;
    options.cache = has_cache ? &cache : nullptr;
    options.cross = has_cross ? &cross : nullptr;
    if (wants_weights && whole) {
      options.attentions = out.attentions.data();
      options.cross_attentions = has_cross ? out.cross_attentions.data() : nullptr;
    }
    run_blocks(run.data(), count, RaggedBatch{part.data(), end - first}, options, workspaces,
               out.x.data());
    return out;
  };
  const Result one = run_rows(1, 0, rows), three = run_rows(3, 0, rows);
  check_same(one.x.data(), three.x.data(), one.x.size, "three threads give other numbers");
  check_same(one.cache.data(), three.cache.data(), one.cache.size, "three threads cache others");
  check_same(one.attentions.data(), three.attentions.data(), one.attentions.size,
             "three threads give other weights");
  if (tame) check_finite(one.x.data(), one.x.size, "tame blocks are not finite");
  for (std::size_t r = 0; r < rows; ++r) {
    const Result alone = run_rows(1, r, r + 1);
    check_same(alone.x.data(), one.x.data() + static_cast<std::size_t>(offsets[r]) * hidden,
               alone.x.size, "a row by itself is another one");
  }
}

}  // namespace
}  // namespace pyroberta::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  pyroberta::fuzz::Input in(data, size);
  pyroberta::fuzz::TARGET(in);
  return 0;
}
