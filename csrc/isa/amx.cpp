// AVX-512 with its dot products, and AMX for the products of all types but float32, which has none.
#define PYROBERTA_ISA amx
#define PYROBERTA_TILES
#include "vec/avx512.h"
#include "vec/amx.h"

#include "kernels/table.inl"
