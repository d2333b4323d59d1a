// The kernels on a whole input, their work shared among threads. Pointers, sizes and results are as
// in kernels.h. An exception (std::bad_alloc) is thrown before the work begins.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels.h"

namespace pyroberta {

// All columns of x [rows, k] as an operand [rows, operand_words(type, k)].
void to_operand(const Kernels& kernels, ComputeType type, const float* x, std::size_t rows,
                std::size_t k, float* operand);

// y = f(x w^T + bias): x [rows, k], y [rows, n], both float32; packed in `type`.
void linear(const Kernels& kernels, ComputeType type, const float* x, std::size_t rows,
            std::size_t k, std::size_t n, const float* packed, const float* bias,
            Activation activation, float* y);

// All columns and rows of `args`.
void linear_rows(const Kernels& kernels, const LinearArgs& args);

// These three over all rows.
void layer_norm(const Kernels& kernels, const float* x, const float* residual, const float* gamma,
                const float* beta, float eps, std::size_t rows, std::size_t cols, float* y);
void activate(const Kernels& kernels, Activation f, std::size_t rows, std::size_t cols, float* y);
void embeddings(const Kernels& kernels, const float* word, const float* type, const float* position,
                const std::int64_t* ids, const std::int64_t* types, const std::int64_t* positions,
                const float* gamma, const float* beta, float eps, std::size_t rows,
                std::size_t cols, float* y);

}  // namespace pyroberta
