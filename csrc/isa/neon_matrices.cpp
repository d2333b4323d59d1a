// NEON with the dot products and the small matrices of FEAT_I8MM and FEAT_BF16.
#define PYROBERTA_ISA neon_matrices
#define PYROBERTA_MATRICES
#include "vec/neon.h"
#include "vec/neon_matrices.h"

#include "kernels/table.inl"
