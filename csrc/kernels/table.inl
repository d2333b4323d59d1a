// Every kernel, in one table, for the instruction set this file is being compiled for.
// Included last by each csrc/isa/*.cpp. The order is that of struct Kernels.
#include "kernels.h"
#include "kernels/functions.inl"
#include "kernels/activate.inl"
#include "kernels/tile.inl"
#include "kernels/operand.inl"
#include "kernels/layer_norm.inl"
#include "kernels/linear_panels.inl"
#ifdef PYROBERTA_TILES
#include "kernels/linear_tiles.inl"
#endif
#include "kernels/linear.inl"
#include "kernels/attention_operands.inl"
#include "kernels/attention.inl"

#define PYROBERTA_STRING_(x) #x
#define PYROBERTA_STRING(x) PYROBERTA_STRING_(x)

namespace pyroberta::PYROBERTA_ISA {

extern const Kernels table;
const Kernels table = {PYROBERTA_STRING(PYROBERTA_ISA),
                       kPanel,
                       kSplits,
                       operand_words,
                       panel_words,
                       to_operand,
                       pack,
                       linear,
                       linear_rows,
                       activate,
                       layer_norm,
                       embeddings,
                       attention,
                       attention_weights};

}  // namespace pyroberta::PYROBERTA_ISA
