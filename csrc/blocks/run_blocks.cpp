// The contract is in run_blocks.h.
#include "blocks/run_blocks.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "blocks/attention_tasks.h"
#include "blocks/workspace.h"
#include "kernels.h"
#include "threads/product_tasks.h"
#include "threads/team.h"

namespace pyroberta {

namespace {

class Run {
 public:
  Run(Team& team, const RaggedBatch& batch, const RunOptions& options,
      const std::vector<QueryChunk>& chunks, const std::vector<QueryChunk>& cross_chunks,
      const Workspace& work, float* x)
      : team_(team),
        batch_(batch),
        tokens_(batch.tokens()),
        options_(options),
        chunks_(chunks),
        cross_chunks_(cross_chunks),
        work_(work),
        x_(x) {}

  // x as the first block wants it.
  void begin(const Block& b) { convert(b.kernels, b.query_key_value, x_, work_.x_operand); }

  // One block; `next` is the one that follows, or null.
  void block(const Block& b, std::size_t index, const Block* next) {
    product(b.kernels, b.query_key_value, {x_, work_.x_operand}, work_.wide, Activation::linear);
    if (options_.cache != nullptr) append(b, index);
    attend(b, index);
    const Operand heads = {work_.narrow, work_.narrow_operand};
    convert(b.kernels, b.attention_output, heads.x, work_.narrow_operand);
    product(b.kernels, b.attention_output, heads, work_.wide, Activation::linear);
    if (options_.cross != nullptr) {
      normalise(b, b.attention_norm, work_.wide, &b.cross_query);
      product(b.kernels, b.cross_query, {x_, work_.x_operand}, work_.wide, Activation::linear);
      cross_attend(b, index);
      convert(b.kernels, b.cross_output, heads.x, work_.narrow_operand);
      product(b.kernels, b.cross_output, heads, work_.wide, Activation::linear);
      normalise(b, b.cross_norm, work_.wide, &b.intermediate);
    } else {
      normalise(b, b.attention_norm, work_.wide, &b.intermediate);
    }
    const Operand x = {x_, work_.x_operand};
    if (is_rowwise(b.activation)) {
      product(b.kernels, b.intermediate, x, work_.wide, Activation::linear);
      in_rows([&](std::size_t first, std::size_t rows) {
        b.kernels.activate(b.activation, rows, b.intermediate_size,
                           work_.wide + first * b.intermediate_size);
      });
      convert(b.kernels, b.output, work_.wide, work_.wide_operand);
    } else {
      product(b.kernels, b.intermediate, x, work_.wide, b.activation, &b.output);
    }
    product(b.kernels, b.output, {work_.wide, work_.wide_operand}, work_.narrow,
            Activation::linear);
    normalise(b, b.output_norm, work_.narrow, next == nullptr ? nullptr : &next->query_key_value);
  }

 private:
  // What a product reads: x itself for float32, else its operand.
  struct Operand {
    const float *x, *operand;
  };

  // Rows [first, first + rows) of x as an operand of `linear`.
  void convert_rows(const Kernels& kernels, const Linear& linear, const float* x, float* operand,
                    std::size_t first, std::size_t rows) {
    kernels.to_operand(linear.type, x + first * linear.k, linear.k, rows, linear.k, 0, linear.k,
                       operand + first * kernels.operand_words(linear.type, linear.k));
  }

  void convert(const Kernels& kernels, const Linear& linear, const float* x, float* operand) {
    if (linear.type == ComputeType::float32) return;
    in_rows([&](std::size_t first, std::size_t rows) {
      convert_rows(kernels, linear, x, operand, first, rows);
    });
  }

  // y = f(x w^T + bias), cut into tasks of some rows and some panels. With `reader`, y is written
  // as that layer wants it: for float32 to y, else to work_.wide_operand (and y holds anything).
  void product(const Kernels& kernels, const Linear& linear, Operand from, float* y, Activation f,
               const Linear* reader = nullptr) {
    const bool is_float = linear.type == ComputeType::float32;
    const float* x = is_float ? from.x : from.operand;
    const std::size_t x_words = kernels.operand_words(linear.type, linear.k);
    const std::size_t panels = (linear.n + kernels.panel - 1) / kernels.panel;
    ProductTasks tasks(tokens_, panels, team_.size());
    bool as_operand = false;
    if (reader != nullptr && reader->type != ComputeType::float32) {
      // Groups of the operand are not divided: where that leaves a thread without a task, they are
      // made of float32 after the product.
      const ProductTasks whole(tokens_, panels, team_.size(),
                               operand_columns(reader->type) / kernels.panel);
      as_operand = whole.count() >= static_cast<std::size_t>(team_.size());
      if (as_operand) tasks = whole;
    }
    const LinearArgs all = {.type = linear.type,
                            .x = x,
                            .x_stride = x_words,
                            .rows = tokens_,
                            .k = linear.k,
                            .n = linear.n,
                            .packed = linear.packed,
                            .bias = linear.bias,
                            .activation = f,
                            .y = y,
                            .y_stride = linear.n};
    const std::size_t y_words = as_operand ? kernels.operand_words(reader->type, linear.n) : 0;
    team_.for_each(tasks.shares(), [&](std::size_t index, int thread) {
      const ProductTasks::Task task = tasks[index];
      LinearArgs args = all.of_rows(task.row, task.rows);
      if (as_operand) {
        args.y = work_.scratch(thread);
        args.operand = work_.wide_operand + task.row * y_words;
        args.operand_type = reader->type;
      }
      kernels.linear(args, task.first, task.last);
    });
    if (reader != nullptr && !as_operand) convert(kernels, *reader, y, work_.wide_operand);
  }

  // The new tokens' keys and values go to their slots.
  void append(const Block& b, std::size_t index) {
    const KeyValueCache& cache = *options_.cache;
    team_.for_each(batch_.rows, [&](std::size_t row, int) {
      const std::size_t begin = static_cast<std::size_t>(batch_.offsets[row]);
      const std::size_t end = static_cast<std::size_t>(batch_.offsets[row + 1]);
      std::size_t at =
          (row * cache.slots + static_cast<std::size_t>(cache.lengths[row])) * b.hidden;
      for (std::size_t token = begin; token < end; ++token, at += b.hidden) {
        const float* key = work_.wide + token * 3 * b.hidden + b.hidden;
        std::memcpy(cache.keys[index] + at, key, b.hidden * sizeof(float));
        std::memcpy(cache.values[index] + at, key + b.hidden, b.hidden * sizeof(float));
      }
    });
  }

  // Where one head of one row finds its keys and values.
  struct Keys {
    const float *k, *v;
    std::size_t stride;
  };

  // narrow = attention of every chunk and head; `keys` gives a row's Keys for head 0.
  template <class F>
  void attend_chunks(const Block& b, const std::vector<QueryChunk>& chunks, std::size_t q_stride,
                     const float* head_mask, bool causal, float* attentions, const F& keys) {
    const std::size_t head_size = b.hidden / b.heads;
    // Up to four heads a task, each of which fetches what the next one reads: a short row's head
    // takes a few us, as long as its keys and queries take to come from L3.
    const std::size_t wanted = 16 * static_cast<std::size_t>(team_.size());
    const std::size_t group =
        std::clamp(chunks.size() * b.heads / wanted, std::size_t{1}, std::size_t{4});
    const std::size_t groups = (b.heads + group - 1) / group;
    const Shares tasks = share_out(chunks, groups, static_cast<std::size_t>(team_.shares()));
    team_.for_each(tasks, [&](std::size_t task, int thread) {
      const QueryChunk& chunk = chunks[task / groups];
      const std::size_t first = task % groups * group, last = std::min(b.heads, first + group);
      const std::size_t query = chunk.begin + chunk.first;
      const Keys row = keys(chunk);
      AttentionArgs args;
      args.q_stride = q_stride;
      args.k_stride = args.v_stride = row.stride;
      args.queries = chunk.count;
      args.keys = chunk.keys;
      args.head_size = head_size;
      args.visible = causal ? chunk.keys - chunk.tokens + chunk.first + 1 : chunk.keys;
      args.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_size)));
      args.scratch = work_.scratch(thread);
      args.type = b.attention_output.type;
      for (std::size_t head = first; head < last; ++head) {
        args.q = work_.wide + query * q_stride + head * head_size;
        args.k = row.k + head * head_size;
        args.v = row.v + head * head_size;
        args.head_weight = head_mask == nullptr ? 1.0f : head_mask[head];
        args.y = work_.narrow + query * b.hidden + head * head_size;
        args.y_stride = b.hidden;
        args.fetched = head != first;
        args.fetch_next = head + 1 < last;
        b.kernels.attention(args);
        if (attentions == nullptr) continue;
        args.y = attentions + chunk.attentions + (head * chunk.tokens + chunk.first) * chunk.keys;
        args.y_stride = chunk.keys;
        b.kernels.attention_weights(args);
      }
    });
  }

  void attend(const Block& b, std::size_t index) {
    const std::size_t stride = 3 * b.hidden;
    const float* head_mask =
        options_.head_mask == nullptr ? nullptr : options_.head_mask + index * b.heads;
    attend_chunks(b, chunks_, stride, head_mask, options_.causal, options_.attentions,
                  [&](const QueryChunk& chunk) {
                    if (options_.cache != nullptr) {
                      const std::size_t at = chunk.row * options_.cache->slots * b.hidden;
                      return Keys{options_.cache->keys[index] + at,
                                  options_.cache->values[index] + at, b.hidden};
                    }
                    const float* row = work_.wide + chunk.begin * stride;
                    return Keys{row + b.hidden, row + 2 * b.hidden, stride};
                  });
  }

  void cross_attend(const Block& b, std::size_t index) {
    const CrossAttention& cross = *options_.cross;
    const float* head_mask =
        cross.head_mask == nullptr ? nullptr : cross.head_mask + index * b.heads;
    attend_chunks(b, cross_chunks_, b.hidden, head_mask, false, options_.cross_attentions,
                  [&](const QueryChunk& chunk) {
                    const std::int64_t begin = cross.offsets[cross.rows[chunk.row]];
                    const float* row =
                        cross.key_values[index] + static_cast<std::size_t>(begin) * 2 * b.hidden;
                    return Keys{row, row + b.hidden, 2 * b.hidden};
                  });
  }

  // x = layer_norm(y + x), as `reader` wants it too.
  void normalise(const Block& b, const LayerNorm& norm, const float* y, const Linear* reader) {
    in_rows([&](std::size_t first, std::size_t rows) {
      const std::size_t at = first * b.hidden;
      b.kernels.layer_norm(y + at, x_ + at, norm.gamma, norm.beta, b.eps, rows, b.hidden, x_ + at);
      if (reader != nullptr && reader->type != ComputeType::float32) {
        convert_rows(b.kernels, *reader, x_, work_.x_operand, first, rows);
      }
    });
  }

  template <class F>
  void in_rows(const F& f) {
    constexpr std::size_t kPiece = 16;
    team_.for_each((tokens_ + kPiece - 1) / kPiece, [&](std::size_t piece, int) {
      f(piece * kPiece, std::min(kPiece, tokens_ - piece * kPiece));
    });
  }

  Team& team_;
  const RaggedBatch& batch_;
  const std::size_t tokens_;
  const RunOptions& options_;
  const std::vector<QueryChunk>&chunks_, &cross_chunks_;
  const Workspace& work_;
  float* x_;
};

}  // namespace

void run_blocks(const Block* const* blocks, std::size_t count, const RaggedBatch& batch,
                const RunOptions& options, Workspaces& workspaces, float* x) {
  const std::size_t tokens = batch.tokens();
  if (count == 0 || tokens == 0) return;
  const Block& b = *blocks[0];
  const auto own = [&](std::size_t row, std::size_t new_tokens) {
    const KeyValueCache* cache = options.cache;
    return new_tokens + (cache == nullptr ? 0 : static_cast<std::size_t>(cache->lengths[row]));
  };
  const auto of_encoder = [&](std::size_t row, std::size_t) {
    const CrossAttention& cross = *options.cross;
    const std::int64_t source = cross.rows[row];
    return static_cast<std::size_t>(cross.offsets[source + 1] - cross.offsets[source]);
  };
  const std::vector<QueryChunk> chunks = query_chunks(batch, b.heads, own);
  std::vector<QueryChunk> cross_chunks;
  if (options.cross != nullptr) cross_chunks = query_chunks(batch, b.heads, of_encoder);

  // Threads wait for each other seven times a block: below half a million multiply-adds a block one
  // thread is not slower than two. (Read once: the workspace is for this many.)
  const std::size_t products = tokens * b.hidden * (4 * b.hidden + 2 * b.intermediate_size);
  const int threads = products < 500'000 ? 1 : num_threads();
  const Workspace work(blocks, count, tokens, threads, workspaces);
  Team team(threads);
  Run run(team, batch, options, chunks, cross_chunks, work, x);
  run.begin(b);
  for (std::size_t i = 0; i < count; ++i) {
    run.block(*blocks[i], i, i + 1 < count ? blocks[i + 1] : nullptr);
  }
}

}  // namespace pyroberta
