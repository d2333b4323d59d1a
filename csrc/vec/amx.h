// AMX: eight tiles of at most 16 rows of 64 bytes, beside the vectors of vec/avx512.h.
//
//   set_shapes(shapes): the shapes of all tiles, which become zero. Before all others, on each
//     thread; and release_tiles() after them.
//   clear_tile<T>(): tile T becomes zero.
//   load_tile<T>(p, stride): its rows from p, p + stride and so on, in bytes. What its shape leaves
//     of the tile becomes zero.
//   store_tile<T>(p, stride): and back. Memory beyond the bytes of its rows is not touched.
//   dot_tiles_bfloat16<C, A, B>(): C += A B for tiles of words C [r, n], A [r, w] and B [w, n].
//     To a float32 of C each word of A and of B adds the products of their two bfloat16, in an
//     order of AMX's own; a subnormal may count as 0.
//   dot_tiles_int8<C, A, B>(): the same for int32 of C, and the four products of unsigned bytes of
//     A and signed bytes of B.
//
// The words of a row of A are as many as B has rows; B and C have 16 columns.
//
// With PYROBERTA_EMULATE_AMX the tiles are arrays and the instructions loops, so that a CPU without
// AMX can test the kernels that are written over them. Written as assembly, since GCC 12's
// intrinsics take tile numbers as literals alone, and its _tile_loadconfig says of 8 bytes of the
// configuration only that they are read. tests/vec holds both to these words.
#pragma once

#ifndef PYROBERTA_ISA
#define PYROBERTA_ISA amx
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace pyroberta::PYROBERTA_ISA {
namespace {

// The shapes of the tiles, as ldtilecfg wants them.
struct alignas(64) TileShapes {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {};
  std::uint8_t rows[16] = {};
};

#ifdef PYROBERTA_EMULATE_AMX

struct Tiles {
  TileShapes shapes;
  char data[8][16][64] = {};
};
inline Tiles& tiles() {
  static thread_local Tiles all;
  return all;
}

inline void set_shapes(const TileShapes& shapes) {
  tiles() = Tiles{};
  tiles().shapes = shapes;
}
inline void release_tiles() {}
template <int T>
inline void clear_tile() {
  std::memset(tiles().data[T], 0, sizeof tiles().data[T]);
}
template <int T>
inline void load_tile(const void* p, std::size_t stride) {
  clear_tile<T>();
  for (std::size_t r = 0; r < tiles().shapes.rows[T]; ++r) {
    std::memcpy(tiles().data[T][r], static_cast<const char*>(p) + r * stride,
                tiles().shapes.row_bytes[T]);
  }
}
template <int T>
inline void store_tile(void* p, std::size_t stride) {
  for (std::size_t r = 0; r < tiles().shapes.rows[T]; ++r) {
    std::memcpy(static_cast<char*>(p) + r * stride, tiles().data[T][r],
                tiles().shapes.row_bytes[T]);
  }
}
// For each row of tile A, each word w of it and each word column n of tile B: add(c, a, b).
template <int C, int A, int B, class F>
inline void each_product(const F& add) {
  Tiles& t = tiles();
  for (std::size_t r = 0; r < t.shapes.rows[A]; ++r)
    for (std::size_t w = 0; w < t.shapes.row_bytes[A] / 4u; ++w)
      for (std::size_t n = 0; n < 16; ++n) {
        add(t.data[C][r] + 4 * n, t.data[A][r] + 4 * w, t.data[B][w] + 4 * n);
      }
}
template <int C, int A, int B>
inline void dot_tiles_bfloat16() {
  each_product<C, A, B>([](char* c, const char* a, const char* b) {
    std::uint16_t x[2], w[2];
    float sum;
    std::memcpy(x, a, 4);
    std::memcpy(w, b, 4);
    std::memcpy(&sum, c, 4);
    for (int i = 0; i < 2; ++i) {
      const std::uint32_t x_bits = std::uint32_t{x[i]} << 16, w_bits = std::uint32_t{w[i]} << 16;
      float xf, wf;
      std::memcpy(&xf, &x_bits, 4);
      std::memcpy(&wf, &w_bits, 4);
      sum = __builtin_fmaf(xf, wf, sum);
    }
    std::memcpy(c, &sum, 4);
  });
}
template <int C, int A, int B>
inline void dot_tiles_int8() {
  each_product<C, A, B>([](char* c, const char* a, const char* b) {
    std::int32_t sum;
    std::memcpy(&sum, c, 4);
    for (int i = 0; i < 4; ++i) {
      sum += static_cast<std::uint8_t>(a[i]) * static_cast<std::int8_t>(b[i]);
    }
    std::memcpy(c, &sum, 4);
  });
}

#else

inline void set_shapes(const TileShapes& shapes) {
  asm volatile("ldtilecfg %0" ::"m"(shapes) : "memory");
}
inline void release_tiles() { asm volatile("tilerelease" ::: "memory"); }
template <int T>
inline void clear_tile() {
  asm volatile("tilezero %%tmm%c0" ::"i"(T));
}
template <int T>
inline void load_tile(const void* p, std::size_t stride) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(p), "r"(stride), "i"(T) : "memory");
}
template <int T>
inline void store_tile(void* p, std::size_t stride) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(p), "r"(stride), "i"(T) : "memory");
}
template <int C, int A, int B>
inline void dot_tiles_bfloat16() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(C), "i"(A), "i"(B));
}
template <int C, int A, int B>
inline void dot_tiles_int8() {
  asm volatile("tdpbusd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(C), "i"(A), "i"(B));
}

#endif

}  // namespace
}  // namespace pyroberta::PYROBERTA_ISA
