// Every kernel, in one table, for the instruction set this file is being compiled for.
// Included last by each csrc/isa/*.cpp. The order is that of struct Kernels.
#pragma once

#include "kernels.h"
#include "kernels/activate.inl"
#include "kernels/attention.inl"
#include "kernels/layer_norm.inl"
#include "kernels/linear.inl"
#include "kernels/operand.inl"
#include "kernels/pack.inl"
#include "kernels/storage.inl"
#include "kernels/tile.inl"
#include "vec/vec.h"

#define PYROBERTA_STRING_(x) #x
#define PYROBERTA_STRING(x) PYROBERTA_STRING_(x)

namespace pyroberta::PYROBERTA_ISA {

extern const Kernels table;
const Kernels table = {
    .isa = PYROBERTA_STRING(PYROBERTA_ISA),
    .panel = kPanel,
    .together = kTogether,
    .has_bfloat16x3 = kSplits,
    .operand_words = operand_words,
    .panel_words = panel_words,
    .to_operand = to_operand,
    .pack = pack,
    .linear = linear,
    .linear_rows = linear_rows,
    .activate = activate,
    .layer_norm = layer_norm,
    .embeddings = embeddings,
    .attention_scratch = attention_scratch,
    .attention = attention,
    .attention_weights = attention_weights,
};

}  // namespace pyroberta::PYROBERTA_ISA
