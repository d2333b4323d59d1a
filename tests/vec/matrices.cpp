// Every operation of csrc/vec/neon_matrices.h as a plain function, for test_matrices.py to call.
#define PYROBERTA_ISA neon_matrices
#include "vec/neon_matrices.h"

namespace pyroberta::PYROBERTA_ISA {
extern "C" {

void matrices_load_rows(const float* p, const float* q, float* out) { store(out, load_rows(p, q)); }
void matrices_multiply_bfloat16(const float* a, const float* b, float* acc) {
  store(acc, multiply_bfloat16(load(a), load(b), load(acc)));
}
void matrices_multiply_int8(const float* a, const float* b, float* acc) {
  store(acc, multiply_int8(load(a), load(b), load(acc)));
}
void matrices_first_row(const float* a, const float* b, float* out) {
  store(out, first_row(load(a), load(b)));
}
void matrices_second_row(const float* a, const float* b, float* out) {
  store(out, second_row(load(a), load(b)));
}

}  // extern "C"
}  // namespace pyroberta::PYROBERTA_ISA
