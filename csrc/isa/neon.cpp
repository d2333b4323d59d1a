#include "vec/neon.h"

#include "kernels/table.inl"
