// Products, rows and attention of every build, of any sizes and any bits, for libFuzzer.
//
// Beside what the sanitizers see: a result in parts is that of the whole, bit for bit; nothing is
// written between the rows; tame numbers give finite ones.
#include "input.h"

namespace pyroberta::fuzz {
namespace {

void check_gaps(const Array& y, std::size_t rows, std::size_t cols, std::size_t stride) {
  for (std::size_t r = 0; r + 1 < rows; ++r) {
    for (std::size_t c = cols; c < stride; ++c) {
      if (y.data()[r * stride + c] != -7.5f) fail("something is written between rows");
    }
  }
}

std::size_t panels_of(const Kernels& kernels, std::size_t n) {
  return (n + kernels.panel - 1) / kernels.panel;
}

// Columns of an operand in two parts.
Array make_operand(Input& in, const Kernels& kernels, ComputeType type, const Array& x,
                   std::size_t rows, std::size_t k) {
  Array operand(rows * kernels.operand_words(type, k), 0.0f);
  const std::size_t step = operand_columns(type);
  const std::size_t middle = std::min(k, in.between(0, (k + step - 1) / step) * step);
  if (middle > 0) kernels.to_operand(type, x.data(), k, rows, k, 0, middle, operand.data());
  if (middle < k) {
    kernels.to_operand(type, x.data() + middle, k, rows, k, middle, k, operand.data());
  }
  return operand;
}

void product(Input& in) {
  const Kernels& kernels = any_build(in);
  const ComputeType type = any_type(in, kernels), next = any_type(in, kernels);
  const std::size_t rows = in.between(1, 30), n = in.between(1, 140);
  // One in four is longer than a run of float32, and may be longer than a group of int8.
  const std::size_t k = in.between(0, 3) != 0 ? in.between(1, 100) : in.between(1, 900);
  const std::size_t gap = in.between(0, 9), panels = panels_of(kernels, n);
  const std::size_t cut = in.between(0, panels), cut_rows = in.between(0, rows);
  const bool tame = in.flag(), has_bias = in.flag(), as_operand = in.flag();
  const Activation activation = any_activation(in, false);
  const Array w = in.floats(n * k, tame), x = in.floats(rows * k, tame);
  const Array bias = in.floats(n, tame);

  const std::size_t words = panels * kernels.panel_words(type, k);
  Array packed(words, 0.0f), scratch(kernels.panel * k);
  if (cut > 0) kernels.pack(type, w.data(), k, n, k, 0, cut, scratch.data(), packed.data());
  if (cut < panels) {
    kernels.pack(type, w.data(), k, n, k, cut, panels, scratch.data(), packed.data());
  }
  const std::size_t own = kernels.operand_words(type, k);
  const Array operand = make_operand(in, kernels, type, x, rows, k);

  LinearArgs args{};
  args.type = type;
  args.x = type == ComputeType::float32 ? x.data() : operand.data();
  args.x_stride = type == ComputeType::float32 ? k : own;
  args.rows = rows, args.k = k, args.n = n;
  args.packed = packed.data();
  args.bias = has_bias ? bias.data() : nullptr;
  args.activation = activation;
  args.y_stride = n + gap;
  Array y(rows * args.y_stride), parts(rows * args.y_stride);
  args.y = y.data();
  kernels.linear(args, 0, panels);
  check_gaps(y, rows, n, args.y_stride);
  args.y = parts.data();
  for (const auto& [first, count] :
       {std::pair{std::size_t{0}, cut_rows}, std::pair{cut_rows, rows - cut_rows}}) {
    if (count == 0) continue;
    const LinearArgs part = args.of_rows(first, count);
    if (cut > 0) kernels.linear(part, 0, cut);
    if (cut < panels) kernels.linear(part, cut, panels);
  }
  check_same(y.data(), parts.data(), y.size, "a product in parts is another one");

  if (as_operand && next != ComputeType::float32) {
    Array plain(rows * n), want(rows * kernels.operand_words(next, n), 0.0f);
    for (std::size_t r = 0; r < rows; ++r) {
      std::memcpy(plain.data() + r * n, y.data() + r * args.y_stride, n * sizeof(float));
    }
    kernels.to_operand(next, plain.data(), n, rows, n, 0, n, want.data());
    Array found(want.size, 0.0f), kept(rows * operand_columns(next));
    LinearArgs made = args;
    made.y = kept.data(), made.y_stride = operand_columns(next);
    made.operand = found.data(), made.operand_type = next;
    kernels.linear(made, 0, panels);
    check_same(want.data(), found.data(), want.size, "an operand is not that of the product");
  }

  LinearArgs plain = args;
  plain.type = ComputeType::float32, plain.x = x.data(), plain.x_stride = k;
  plain.packed = w.data(), plain.activation = Activation::linear;
  Array whole(rows * args.y_stride), halves(rows * args.y_stride);
  plain.y = whole.data();
  kernels.linear_rows(plain, 0, n);
  check_gaps(whole, rows, n, args.y_stride);
  plain.y = halves.data();
  const std::size_t column = in.between(0, n);
  if (column > 0) kernels.linear_rows(plain, 0, column);
  if (column < n) kernels.linear_rows(plain, column, n);
  check_same(whole.data(), halves.data(), whole.size, "a product by rows in parts is another one");
  if (tame) {
    for (std::size_t r = 0; r < rows; ++r) {
      check_finite(whole.data() + r * args.y_stride, n, "a tame product by rows is not finite");
      if (activation == Activation::linear) {
        check_finite(y.data() + r * args.y_stride, n, "a tame product is not finite");
      }
    }
  }
}

void rows(Input& in) {
  const Kernels& kernels = any_build(in);
  const std::size_t rows = in.between(1, 20), cols = in.between(1, 700);
  const std::size_t cut = in.between(0, rows), count = in.between(1, 9);
  const bool tame = in.flag(), has_residual = in.flag(), in_place = in.flag();
  const Activation f = any_activation(in, true);
  const float eps = in.flag() ? 1e-5f : 1e-12f;
  const Array x = in.floats(rows * cols, tame), residual = in.floats(rows * cols, tame);
  const Array gamma = in.floats(cols, tame), beta = in.floats(cols, tame);

  Array y(x.size), parts(x.size);
  std::memcpy(y.data(), x.data(), x.size * sizeof(float));
  std::memcpy(parts.data(), x.data(), x.size * sizeof(float));
  kernels.activate(f, rows, cols, y.data());
  if (cut > 0) kernels.activate(f, cut, cols, parts.data());
  if (cut < rows) kernels.activate(f, rows - cut, cols, parts.data() + cut * cols);
  check_same(y.data(), parts.data(), y.size, "an activation in parts is another one");

  const float* add = has_residual ? residual.data() : nullptr;
  Array z(x.size);
  kernels.layer_norm(x.data(), add, gamma.data(), beta.data(), eps, rows, cols, z.data());
  std::memcpy(parts.data(), in_place || !add ? x.data() : add, x.size * sizeof(float));
  float* y_in = parts.data();
  if (in_place || !add) {
    kernels.layer_norm(y_in, add, gamma.data(), beta.data(), eps, rows, cols, y_in);
  } else {
    kernels.layer_norm(x.data(), y_in, gamma.data(), beta.data(), eps, rows, cols, y_in);
  }
  check_same(z.data(), parts.data(), z.size, "a norm in place is another one");
  if (tame) check_finite(z.data(), z.size, "a tame norm is not finite");

  std::vector<std::int64_t> ids(rows), types(rows), positions(rows);
  for (std::size_t r = 0; r < rows; ++r) {
    ids[r] = static_cast<std::int64_t>(in.between(0, count - 1));
    types[r] = static_cast<std::int64_t>(in.between(0, 1));
    positions[r] = static_cast<std::int64_t>(in.between(0, count - 1));
  }
  const Array word = in.floats(count * cols, tame), type = in.floats(2 * cols, tame);
  const Array position = in.floats(count * cols, tame);
  kernels.embeddings(word.data(), type.data(), position.data(), ids.data(), types.data(),
                     positions.data(), gamma.data(), beta.data(), eps, rows, cols, z.data());
  for (std::size_t r = 0; r < rows; ++r) {
    kernels.embeddings(word.data(), type.data(), position.data(), &ids[r], &types[r], &positions[r],
                       gamma.data(), beta.data(), eps, 1, cols, parts.data() + r * cols);
  }
  check_same(z.data(), parts.data(), z.size, "embeddings row by row are others");
}

void attention(Input& in) {
  const Kernels& kernels = any_build(in);
  AttentionArgs args{};
  args.type = any_type(in, kernels);
  args.queries = in.between(1, kAttentionQueries), args.keys = in.between(1, 280);
  args.head_size = in.between(1, 70);
  args.visible = in.between(0, args.keys + 1);
  const std::size_t gap = in.between(0, 70);
  const bool tame = in.flag();
  args.q_stride = args.k_stride = args.v_stride = args.head_size + gap;
  args.y_stride = args.head_size + in.between(0, 9);
  args.scale = 1.0f / std::sqrt(static_cast<float>(args.head_size));
  args.head_weight = in.flag() ? 1.0f : 0.25f;
  // No gap behind the last row: it is another head's, and for the last head there is none.
  const auto made = [&](std::size_t rows, std::size_t stride) {
    return in.floats((rows - 1) * stride + args.head_size, tame);
  };
  const Array q = made(args.queries, args.q_stride), k = made(args.keys, args.k_stride);
  const Array v = made(args.keys, args.v_stride);
  args.q = q.data(), args.k = k.data(), args.v = v.data();
  Array scratch(kernels.attention_scratch(args.head_size));
  args.scratch = scratch.data();
  Array y(args.queries * args.y_stride);
  args.y = y.data();
  kernels.attention(args);
  check_gaps(y, args.queries, args.head_size, args.y_stride);
  for (std::size_t i = 0; tame && i < args.queries; ++i) {
    check_finite(y.data() + i * args.y_stride, args.head_size, "tame attention is not finite");
  }
  // The last query by itself, after another call has left its numbers in the scratch.
  Array last(args.head_size);
  AttentionArgs one = args;
  one.queries = 1, one.q = args.q + (args.queries - 1) * args.q_stride;
  one.visible = args.visible + args.queries - 1;
  one.y = last.data(), one.y_stride = args.head_size;
  kernels.attention(one);
  check_same(last.data(), y.data() + (args.queries - 1) * args.y_stride, args.head_size,
             "a query by itself has another answer");

  args.y_stride = args.keys + gap;
  Array weights(args.queries * args.y_stride);
  args.y = weights.data();
  kernels.attention_weights(args);
  check_gaps(weights, args.queries, args.keys, args.y_stride);
}

}  // namespace
}  // namespace pyroberta::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace pyroberta::fuzz;
  Input in(data, size);
  TARGET(in);
  return 0;
}
