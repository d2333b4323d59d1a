// Every operation of csrc/vec/amx.h as a plain function, for test_tiles.py to call.
#include <cstddef>

#include "vec/amx.h"

namespace pyroberta::PYROBERTA_ISA {
namespace {

// Calls f<T>() with T = tile.
template <class F, int T = 7>
void with_tile(int tile, const F& f) {
  if (tile == T) {
    f.template operator()<T>();
  } else if constexpr (T > 0) {
    with_tile<F, T - 1>(tile, f);
  }
}

}  // namespace

extern "C" {

void tiles_set_shapes(const unsigned char* rows, const unsigned short* row_bytes) {
  TileShapes shapes;
  for (int t = 0; t < 8; ++t) {
    shapes.rows[t] = rows[t];
    shapes.row_bytes[t] = row_bytes[t];
  }
  set_shapes(shapes);
}
void tiles_release() { release_tiles(); }
void tiles_clear(int tile) {
  with_tile(tile, []<int T>() { clear_tile<T>(); });
}
void tiles_load(int tile, const void* p, std::size_t stride) {
  with_tile(tile, [&]<int T>() { load_tile<T>(p, stride); });
}
void tiles_store(int tile, void* p, std::size_t stride) {
  with_tile(tile, [&]<int T>() { store_tile<T>(p, stride); });
}
// C += A B for the tiles that linear takes together: C is 0 to 3, A 4 or 5, B 6 or 7.
void tiles_dot_bfloat16(int c) {
  switch (c) {
    case 0:
      return dot_tiles_bfloat16<0, 4, 6>();
    case 1:
      return dot_tiles_bfloat16<1, 4, 7>();
    case 2:
      return dot_tiles_bfloat16<2, 5, 6>();
    default:
      return dot_tiles_bfloat16<3, 5, 7>();
  }
}
void tiles_dot_int8(int c) {
  switch (c) {
    case 0:
      return dot_tiles_int8<0, 4, 6>();
    case 1:
      return dot_tiles_int8<1, 4, 7>();
    case 2:
      return dot_tiles_int8<2, 5, 6>();
    default:
      return dot_tiles_int8<3, 5, 7>();
  }
}

}  // extern "C"
}  // namespace pyroberta::PYROBERTA_ISA
