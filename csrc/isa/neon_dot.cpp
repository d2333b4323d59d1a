// NEON with the dot products of FEAT_DotProd.
#define PYROBERTA_ISA neon_dot
#include "vec/neon.h"

#include "kernels/table.inl"
