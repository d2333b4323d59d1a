// What the kernels compute. This header has no SIMD in it and no Python.
//
// Each kernel is written once (csrc/kernels/*.inl) and compiled once for each instruction set
// (csrc/isa/*.cpp). A `Kernels` is one such build: a table of function pointers. A kernel runs on
// the thread that calls it; blocks/ and threads/ share work among threads.
//
// These hold for every kernel, and are not repeated below:
//   - [rows, cols] is a row-major float32 array with no gaps; [rows, cols; stride] has `stride`
//     floats from one row to the next.
//   - Pointers need no alignment. An output overlaps no input unless the text allows it.
//   - Any size may be 0. Nothing outside the shapes given is read or written.
//   - Kernels do not allocate, throw, or check. bindings/ has checked for them.
//   - The bits of an output row depend on the inputs of that row alone: every sum has one order,
//     whatever the number of rows, and however the work is cut into calls.
// u is 2^-24, the unit roundoff of float32. The tests named after a bound hold the kernel to it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pyroberta {

// The function that an activation is: activations.py gives each formula. Softmax and log-softmax go
// over a whole row: `activate` computes them, `linear` refuses them.
enum class Activation : int {
  linear,
#define ACTIVATION(name) name,
#define ROWWISE(name) name,
#include "activations.inc"
  count
};

constexpr bool is_rowwise(Activation f) {
  switch (f) {
#define ACTIVATION(name)
#define ROWWISE(name) case Activation::name:
#include "activations.inc"
    return true;
    default:
      return false;
  }
}

// K, the length of the products in `linear`, is summed in runs of kRun (the last one may be
// shorter), and the runs are added in order. The error of one long sum grows with its length:
// tests/kernels/test_linear.py shows the gain of one product, bench/results/base.md the mean error
// of 12 blocks beside PyTorch's.
inline constexpr std::size_t kRun = 128;

// What the two sides of a product are rounded to before they are multiplied (compute_types.py has
// each one in NumPy). Sums, and all that is not such a product, are float32 in each of them.
//
//   float32     nothing is rounded
//   bfloat16x3  each number to the sum of two bfloat16, high + low; low * low is left out. A build
//               that gains nothing by it (has_bfloat16x3) does float32 instead
//   bfloat16    each number to bfloat16, to nearest even
//   int8        x row by row, in groups of kInt8Group columns, the weight column by column: to
//               scale * code with codes in [-127, 127], the largest magnitude being 127. Before
//               that both are turned by the same orthogonal matrix, which leaves the product what
//               it is
enum class ComputeType : int { float32, bfloat16x3, bfloat16, int8, count };

inline constexpr std::size_t kInt8Group = 768;

// Sums along a row (norms, softmax, `linear_rows`) have one order on every build: number i is added
// to lane i % kRowLanes, the first numbers first; then lanes i + kRowLanes / 2 are added to lanes
// i, and so on for half as many until one is left.
inline constexpr std::size_t kRowLanes = 16;

// An operand is the left side of a product as one build stores it for one compute type: rows of
// `operand_words(type, k)` 4-byte words. For float32 it is x itself. A word holds one number, two
// bfloat16 or four codes (or fewer, where the instruction set multiplies no such pairs or fours). A
// packed weight is made of words likewise, with as many numbers in each as here:
constexpr std::size_t values_in_word(ComputeType type) {
  return type == ComputeType::bfloat16 ? 2 : type == ComputeType::int8 ? 4 : 1;
}
constexpr std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }
constexpr std::size_t int8_groups(std::size_t k) { return (k + kInt8Group - 1) / kInt8Group; }
// The words of K: filled up with zeros to 16, a row of an AMX tile, where numbers share a word.
constexpr std::size_t packed_steps(ComputeType type, std::size_t k) {
  const std::size_t values = values_in_word(type);
  return values == 1 ? k : round_up((k + values - 1) / values, 16);
}

// `linear` writes operands by so many columns at a time: its first panel is at a multiple of them,
// and so is its last, or at the end of n.
constexpr std::size_t operand_columns(ComputeType type) {
  return type == ComputeType::int8 ? kInt8Group : 64;
}

// One linear layer's operands, for `linear`.
struct LinearArgs {
  ComputeType type;
  const float* x;  // the operand [rows, operand_words(type, k); x_stride]
  std::size_t x_stride;
  std::size_t rows, k, n;
  const float* packed;    // the weight [n, k], as `pack` lays it out
  const float* bias;      // [n], or null for none
  Activation activation;  // not a row-wise one
  float* y;               // [rows, n; y_stride], or where operand is given a scratch:
  std::size_t y_stride;   // [rows, operand_columns(operand_type)] of any content
  // y as the next product's operand, [rows, operand_words(operand_type, n)], or null.
  float* operand = nullptr;
  ComputeType operand_type = ComputeType::float32;

  // The same for rows [first, first + count) of x and y.
  LinearArgs of_rows(std::size_t first, std::size_t count) const {
    LinearArgs part = *this;
    part.rows = count;
    part.x += first * x_stride;
    part.y += first * y_stride;
    return part;
  }
};

// One head of one row of the batch, for `attention` and `attention_weights`.
struct AttentionArgs {
  const float *q, *k, *v;  // [queries, head_size; q_stride], [keys, head_size; k_stride], ...
  std::size_t q_stride, k_stride, v_stride;
  std::size_t queries, keys, head_size;
  std::size_t visible;  // query i attends to the first min(keys, visible + i) keys
  float scale;          // 1 / sqrt(head_size)
  float head_weight;    // the head mask's entry: multiplies the result
  float* y;             // [queries, head_size; y_stride]
  std::size_t y_stride;
  float* scratch;                           // attention_scratch(head_size) floats, any content
  ComputeType type = ComputeType::float32;  // of attention; its weights are float32 in all
  // Whether the next call is for the head in the following columns of the same rows, which this one
  // then fetches; and whether the one before has done so.
  bool fetch_next = false, fetched = false;
};

// How many queries an `attention` call may have at most, and the keys in a block of its softmax.
inline constexpr std::size_t kAttentionQueries = 144;
inline constexpr std::size_t kAttentionKeys = 128;

struct Kernels {
  const char* isa;       // its name in isa/builds.inc
  std::size_t panel;     // columns in a panel of a packed weight
  std::size_t together;  // words of a column side by side in a panel of bfloat16 or int8: 1 or 2
  bool has_bfloat16x3;   // else that compute type is to be replaced by float32 before any call

  // The words of one row of an operand, and of one panel of a packed weight.
  std::size_t (*operand_words)(ComputeType type, std::size_t k);
  std::size_t (*panel_words)(ComputeType type, std::size_t k);

  // Columns [first, last) of an operand [rows, operand_words(type, k)]. x: their values [rows, last
  // - first; x_stride]. first: a multiple of operand_columns(type); last: also, or k. A number's
  // rounding depends on it alone, an int8 group's on that group's numbers alone; NaN or an infinity
  // in a group makes all that it enters NaN. The rounding is that of compute_types.py, bit for bit.
  // tests/kernels/test_operand.py
  void (*to_operand)(ComputeType type, const float* x, std::size_t x_stride, std::size_t rows,
                     std::size_t k, std::size_t first, std::size_t last, float* operand);

  // Lays the weight [n, k; w_stride] out for `linear`: rows n go into panels of `panel`, each
  // stored k-major, the last one filled up with zeros. Drawn for panel = 4, n = 6, k = 2
  // (w01 is w[0, 1]) in float32:
  //
  //   panel 0: w00 w10 w20 w30 | w01 w11 w21 w31     panel 1: w40 w50 0 0 | w41 w51 0 0
  //
  // In bfloat16 and int8 a place holds two or four numbers that follow each other in k, and K is
  // filled up to packed_steps; with `together` 2 a panel has two places of w00's row, two of w10's
  // and so on, then the next two; behind each panel of int8 stand the scales of its columns and,
  // for each group of K, -128 times the sums of their codes (int32): [1 + groups, panel] words. w:
  // the whole weight, of which the rows of panels [first, last) are read. scratch: panel * k
  // floats, any content. packed: [ceil(n / panel), panel_words(type, k)] as a whole. As exact as
  // `to_operand`. tests/kernels/test_pack.py shows the picture.
  void (*pack)(ComputeType type, const float* w, std::size_t w_stride, std::size_t n, std::size_t k,
               std::size_t first, std::size_t last, float* scratch, float* packed);

  // y[r, j] = f(sum_i x[r, i] * w[j, i] + bias[j]), for the columns of panels [first, last):
  // j from first * panel to min(last * panel, n).
  //
  // Error: with f linear, within (min(k, kRun) + k / kRun + 8) * u * (sum_i |x[r, i] w[j, i]| +
  // |bias[j]|) of the exact value for the rounded x and w; bfloat16x3: (3 k + 8) * u, and 2^-17 of
  // the sum, since low * low is left out; bfloat16: (k + 8) * u; int8: (2 groups + 8) * u, where
  // x and w are the turned ones. tests/kernels/test_linear.py
  void (*linear)(const LinearArgs& args, std::size_t first, std::size_t last);

  // The same product with the weight as a file has it, [n, k] row-major, for columns
  // [first, last) and with no activation: for heads (a few columns) and for a
  // language-model head tied to the mapped word table. args.packed is that weight.
  // Error: within (k / 16 + 12) * u * (sum_i |x[r, i] w[j, i]| + |bias[j]|).
  // tests/kernels/test_linear_rows.py
  void (*linear_rows)(const LinearArgs& args, std::size_t first, std::size_t last);

  // y = f(y), element by element, or row by row for softmax and log-softmax. y: [rows, cols].
  // Error: tests/kernels/test_activate.py states a bound for each; for gelu (exact, with erf)
  // 8u * (1 + x^2 / 2) * |gelu(x)|. Results below 16 FLT_MIN may be 0.
  void (*activate)(Activation f, std::size_t rows, std::size_t cols, float* y);

  // Adds the residual, then normalises each row r (Ba et al. 2016, arXiv:1607.06450):
  //
  //   z = x + residual                                            [rows, cols]
  //   y[r] = (z[r] - mean(z[r])) / sqrt(var(z[r]) + eps) * gamma + beta
  //
  // residual may be null for none. gamma, beta: [cols]. eps > 0. y may be x or residual.
  // Error: each y is within 4e-7 * (1 + |(z - mean) / std|) * max(1, |mean| / std) * |gamma| + 1
  // ulp of the exact value of the float32 z, for cols <= 1024. tests/kernels/test_layer_norm.py
  void (*layer_norm)(const float* x, const float* residual, const float* gamma, const float* beta,
                     float eps, std::size_t rows, std::size_t cols, float* y);

  // y[t] = layer_norm(word[ids[t]] + type[types[t]] + position[positions[t]]) for `rows` tokens.
  // word, type, position: tables of `cols` columns. The ids are in range: bindings/ checks.
  // Error: as layer_norm, of the float32 sum. tests/kernels/test_embeddings.py
  void (*embeddings)(const float* word, const float* type, const float* position,
                     const std::int64_t* ids, const std::int64_t* types,
                     const std::int64_t* positions, const float* gamma, const float* beta,
                     float eps, std::size_t rows, std::size_t cols, float* y);

  // The floats of AttentionArgs::scratch.
  std::size_t (*attention_scratch)(std::size_t head_size);

  // Scaled dot-product attention (Vaswani et al. 2017, arXiv:1706.03762) of at most
  // kAttentionQueries queries of one head, without ever storing all the scores:
  //
  //   y[i] = head_weight * sum_j softmax_j(scale * q[i] . k[j]) * v[j],   j < visible + i
  //
  // by blocks of kAttentionKeys keys counted from key 0, with a running maximum and sum (online
  // softmax: Milakov and Gimelshein 2018, arXiv:1805.02867). A query that sees no key gives 0.
  // Error: within (8 + S / 2) * 1e-6 * max_j |v[j]| * |head_weight| for each column, S the largest
  // sum_c |scale * q[i, c] * k[j, c]|; this for the numbers as the type rounds them to bfloat16
  // (compute_types.rounded_attention): the weights and v in bfloat16, in int8 q (scaled, to base 2)
  // and k as well. A weight on the edge between two of them may be rounded to the other one: 2^-7
  // of its share. tests/kernels/test_attention.py
  void (*attention)(const AttentionArgs& args);

  // The weights of that sum themselves: y[i, j] = head_weight * softmax_j(...), 0 where j is not
  // visible; y is [queries, keys; y_stride]. v is not read. At most kAttentionQueries queries.
  // Error: within (8 + S / 2) * 1e-6 * y + FLT_MIN. tests/kernels/test_attention.py
  void (*attention_weights)(const AttentionArgs& args);
};

// Every build in this binary, fastest first; `count` is set to their number.
const Kernels* const* built_kernels(std::size_t& count);

// Whether this CPU, and the system on it, can run that build.
bool runs_here(const Kernels& kernels);

}  // namespace pyroberta
