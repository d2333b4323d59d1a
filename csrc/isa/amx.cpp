// AMX has no float32 products: in float32 this build is AVX-512's code under its own name.
#define PYROBERTA_ISA amx
#include "vec/avx512.h"

#include "kernels/table.inl"
