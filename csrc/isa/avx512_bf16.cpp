// AVX-512 with the dot products of AVX512_BF16 and AVX512_VNNI.
#define PYROBERTA_ISA avx512_bf16
#include "vec/avx512.h"

#include "kernels/table.inl"
