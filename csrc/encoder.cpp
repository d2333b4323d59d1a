// The contract is in encoder.h.
#include "encoder.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "parallel.h"

namespace pyroberta {

Block::Block(const Kernels& k, std::size_t hidden_size, std::size_t intermediate,
             std::size_t num_heads, Activation f, float epsilon)
    : kernels(k),
      hidden(hidden_size),
      intermediate_size(intermediate),
      heads(num_heads),
      activation(f),
      eps(epsilon) {
  const std::pair<Linear*, std::pair<std::size_t, std::size_t>> linears[] = {
      {&query_key_value, {3 * hidden, hidden}},
      {&attention_output, {hidden, hidden}},
      {&this->intermediate, {intermediate_size, hidden}},
      {&output, {hidden, intermediate_size}}};
  LayerNorm* const norms[] = {&attention_norm, &output_norm};
  // Sizes rounded to a cache line, so that every packed weight starts on one.
  const auto layout = [&](float* base) {
    std::size_t at = 0;
    const auto take = [&](std::size_t size) {
      float* p = base == nullptr ? nullptr : base + at;
      at += round_up(size, 16);
      return p;
    };
    for (const auto& [linear, shape] : linears) {
      linear->n = shape.first;
      linear->k = shape.second;
      linear->packed = take(round_up(linear->n, kernels.panel) * linear->k);
    }
    for (const auto& [linear, shape] : linears) linear->bias = take(linear->n);
    for (LayerNorm* norm : norms) {
      norm->gamma = take(hidden);
      norm->beta = take(hidden);
    }
    return at;
  };
  weights_ = Buffer(layout(nullptr));
  layout(weights_.data());
}

namespace {

// Some queries of one row of the batch, for all its heads.
struct QueryChunk {
  std::size_t row_begin, row_tokens;  // where the row stands in the run of tokens
  std::size_t first, count;           // the queries, counted from the row's first token
  std::size_t attentions;             // where the row's attention weights begin
};

std::vector<QueryChunk> query_chunks(const RaggedBatch& batch, std::size_t heads) {
  std::vector<QueryChunk> chunks;
  std::size_t attentions = 0;
  for (std::size_t r = 0; r < batch.rows; ++r) {
    const std::size_t begin = static_cast<std::size_t>(batch.offsets[r]);
    const std::size_t tokens = static_cast<std::size_t>(batch.offsets[r + 1]) - begin;
    for (std::size_t first = 0; first < tokens; first += kAttentionQueries) {
      chunks.push_back(
          {begin, tokens, first, std::min(kAttentionQueries, tokens - first), attentions});
    }
    attentions += heads * tokens * tokens;
  }
  // The costly ones first: what is left for the end is small, and the threads end together.
  std::stable_sort(chunks.begin(), chunks.end(), [](const QueryChunk& a, const QueryChunk& b) {
    return a.row_tokens * a.count > b.row_tokens * b.count;
  });
  return chunks;
}

// The memory of one run, cut out of one workspace.
struct Workspace {
  float* wide;    // [tokens, max(3 hidden, intermediate)]: qkv, then y, then the intermediate
  float* narrow;  // [tokens, hidden]: the heads' results, then the output before its layer norm
  float* scratch;  // scratch_size floats for each thread
  std::size_t scratch_size;
};

class Run {
 public:
  Run(Team& team, const RaggedBatch& batch, const std::vector<QueryChunk>& chunks,
      const Workspace& work, std::atomic<int>& threads_seen, float* x)
      : team_(team), tokens_(batch.tokens()), chunks_(chunks), work_(work), x_(x) {
    scratch_ = work.scratch + static_cast<std::size_t>(threads_seen.fetch_add(1)) * work.scratch_size;
  }

  void block(const Block& b, const float* head_mask, bool causal, float* attentions) {
    product(b.kernels, b.query_key_value, x_, work_.wide, Activation::linear);
    attend(b, head_mask, causal, attentions);
    product(b.kernels, b.attention_output, work_.narrow, work_.wide, Activation::linear);
    normalise(b, b.attention_norm, work_.wide);
    const bool rowwise = is_rowwise(b.activation);
    product(b.kernels, b.intermediate, x_, work_.wide, rowwise ? Activation::linear : b.activation);
    if (rowwise) {
      in_rows([&](std::size_t first, std::size_t rows) {
        b.kernels.activate(b.activation, rows, b.intermediate_size,
                           work_.wide + first * b.intermediate_size);
      });
    }
    product(b.kernels, b.output, work_.wide, work_.narrow, Activation::linear);
    normalise(b, b.output_norm, work_.narrow);
  }

 private:
  // y = f(x w^T + bias), cut into tasks of some rows and some panels.
  void product(const Kernels& kernels, const Linear& linear, const float* x, float* y,
               Activation f) {
    const std::size_t panels = (linear.n + kernels.panel - 1) / kernels.panel;
    const std::size_t row_blocks = (tokens_ + kRows - 1) / kRows;
    // About eight tasks for each thread: the last one to end then costs little.
    const std::size_t wanted = 8 * static_cast<std::size_t>(team_.size());
    const std::size_t groups = std::min(panels, (wanted + row_blocks - 1) / row_blocks);
    const std::size_t size = (panels + groups - 1) / groups;
    const std::size_t pieces = (panels + size - 1) / size;
    team_.for_each(row_blocks * pieces, [&](std::size_t task) {
      const std::size_t row = task / pieces * kRows, first = task % pieces * size;
      const LinearArgs args = {x + row * linear.k, linear.k, std::min(kRows, tokens_ - row),
                               linear.k,           linear.n, linear.packed,
                               linear.bias,        f,        y + row * linear.n,
                               linear.n};
      kernels.linear(args, first, std::min(panels, first + size));
    });
  }

  void attend(const Block& b, const float* head_mask, bool causal, float* attentions) {
    const std::size_t head_size = b.hidden / b.heads, stride = 3 * b.hidden;
    team_.for_each(chunks_.size() * b.heads, [&](std::size_t task) {
      const QueryChunk& chunk = chunks_[task / b.heads];
      const std::size_t head = task % b.heads;
      const float* row = work_.wide + chunk.row_begin * stride + head * head_size;
      AttentionArgs args;
      args.q = row + chunk.first * stride;
      args.k = row + b.hidden;
      args.v = row + 2 * b.hidden;
      args.q_stride = args.k_stride = args.v_stride = stride;
      args.queries = chunk.count;
      args.keys = chunk.row_tokens;
      args.head_size = head_size;
      args.visible = causal ? chunk.first + 1 : chunk.row_tokens;
      args.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_size)));
      args.head_weight = head_mask == nullptr ? 1.0f : head_mask[head];
      args.y = work_.narrow + (chunk.row_begin + chunk.first) * b.hidden + head * head_size;
      args.y_stride = b.hidden;
      args.scratch = scratch_;
      b.kernels.attention(args);
      if (attentions != nullptr) {
        args.y = attentions + chunk.attentions +
                 (head * chunk.row_tokens + chunk.first) * chunk.row_tokens;
        args.y_stride = chunk.row_tokens;
        b.kernels.attention_weights(args);
      }
    });
  }

  // x = layer_norm(y + x).
  void normalise(const Block& b, const LayerNorm& norm, const float* y) {
    in_rows([&](std::size_t first, std::size_t rows) {
      const std::size_t at = first * b.hidden;
      b.kernels.layer_norm(y + at, x_ + at, norm.gamma, norm.beta, b.eps, rows, b.hidden, x_ + at);
    });
  }

  template <class F>
  void in_rows(const F& f) {
    constexpr std::size_t kPiece = 16;
    team_.for_each((tokens_ + kPiece - 1) / kPiece, [&](std::size_t piece) {
      f(piece * kPiece, std::min(kPiece, tokens_ - piece * kPiece));
    });
  }

  static constexpr std::size_t kRows = 96;  // 96 rows of 768 are 295 KB: x and a panel fit in L2

  Team& team_;
  const std::size_t tokens_;
  const std::vector<QueryChunk>& chunks_;
  const Workspace& work_;
  float* scratch_;
  float* x_;
};

}  // namespace

void run_blocks(const Block* const* blocks, std::size_t count, const RaggedBatch& batch,
                const float* head_mask, bool causal, float* attentions, Workspaces& workspaces,
                float* x) {
  const std::size_t tokens = batch.tokens();
  if (count == 0 || tokens == 0) return;
  const Block& b = *blocks[0];
  const std::vector<QueryChunk> chunks = query_chunks(batch, b.heads);
  Workspace work;
  const int threads = num_threads();  // read once: the scratch below is for this many
  const std::size_t wide = round_up(tokens * std::max(3 * b.hidden, b.intermediate_size), 16);
  const std::size_t narrow = round_up(tokens * b.hidden, 16);
  work.scratch_size = round_up(attention_scratch(b.hidden / b.heads, b.kernels.panel), 16);
  Buffer buffer =
      workspaces.take(wide + narrow + work.scratch_size * static_cast<std::size_t>(threads));
  work.wide = buffer.data();
  work.narrow = work.wide + wide;
  work.scratch = work.narrow + narrow;
  std::atomic<int> threads_seen{0};
  run_team(threads, [&](Team& team) {
    Run run(team, batch, chunks, work, threads_seen, x);
    for (std::size_t i = 0; i < count; ++i) {
      run.block(*blocks[i], head_mask == nullptr ? nullptr : head_mask + i * b.heads, causal,
                attentions);
    }
  });
  workspaces.give_back(std::move(buffer));
}

}  // namespace pyroberta
