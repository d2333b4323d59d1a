// The loops of peaks.cpp: each does nothing but multiply and add, in one type, on one ISA.
//
// They are in assembly, since compilers spill accumulators of peak loops. Operands are ordinary
// numbers: zeros may run faster than data.
#pragma once

#include <cstdint>

#if defined(__AMX_TILE__) && defined(__AMX_BF16__) && defined(__AMX_INT8__)
#include <immintrin.h>
#define HAS_AMX 1
#endif

namespace {

// A loop on values of one type: two vectors are filled with a dword each, and every instruction
// adds their product to an accumulator of its own. The dwords are numbers as that type reads them.
struct Operands {
  std::uint32_t a, b;
};
const Operands kFloat = {0x3f000000, 0x3a83126f};     // 0.5, 0.001
const Operands kBfloat16 = {0x3f003f00, 0x3a833a83};  // two of each
const Operands kInt8 = {0x03050709, 0x02040608};      // four, and no product of them saturates

// 12 accumulators: two pipes times a latency of 4 or 5, and some more.
#define REPEAT6(F, ...) \
  F(0, __VA_ARGS__) F(1, __VA_ARGS__) F(2, __VA_ARGS__) \
  F(3, __VA_ARGS__) F(4, __VA_ARGS__) F(5, __VA_ARGS__)
#define REPEAT12(F, ...) \
  REPEAT6(F, __VA_ARGS__) F(6, __VA_ARGS__) F(7, __VA_ARGS__) F(8, __VA_ARGS__) \
  F(9, __VA_ARGS__) F(10, __VA_ARGS__) F(11, __VA_ARGS__)
#define REPEAT24(F, ...) \
  REPEAT12(F, __VA_ARGS__) F(12, __VA_ARGS__) F(13, __VA_ARGS__) F(14, __VA_ARGS__) \
  F(15, __VA_ARGS__) F(16, __VA_ARGS__) F(17, __VA_ARGS__) F(18, __VA_ARGS__) \
  F(19, __VA_ARGS__) F(20, __VA_ARGS__) F(21, __VA_ARGS__) F(22, __VA_ARGS__) F(23, __VA_ARGS__)
#define XMM0_TO_15 \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
      "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"

#if defined(__x86_64__)
#define ZERO_YMM(i, _) "vxorps %%ymm" #i ", %%ymm" #i ", %%ymm" #i "\n"
#define ADD_YMM(i, instruction) instruction " %%ymm14, %%ymm15, %%ymm" #i "\n"
#define LOOP_YMM(name, instruction, operands) \
  void name(long n) { \
    asm volatile( \
        "vpbroadcastd (%1), %%ymm15\n vpbroadcastd 4(%1), %%ymm14\n" REPEAT12(ZERO_YMM, ) \
        ".p2align 5\n 1:\n" REPEAT12(ADD_YMM, instruction) REPEAT12(ADD_YMM, instruction) \
        "dec %0\n jnz 1b\n vzeroupper\n" \
        : "+r"(n) \
        : "r"(&operands) \
        : "cc", "memory", XMM0_TO_15); \
  }

LOOP_YMM(fma_avx2, "vfmadd231ps", kFloat)
#if defined(__AVXVNNI__)
LOOP_YMM(int8_avxvnni, "%{vex%} vpdpbusd", kInt8)
#endif

// AVX2 has no product of bytes that adds up in 32 bits: three instructions make one.
void int8_avx2(long n) {
#define ADD3(i, temporary) \
  "vpmaddubsw %%ymm14, %%ymm15, %%ymm" #temporary "\n" \
  "vpmaddwd %%ymm13, %%ymm" #temporary ", %%ymm" #temporary "\n" \
  "vpaddd %%ymm" #temporary ", %%ymm" #i ", %%ymm" #i "\n"
#define ADD3_6 ADD3(0, 6) ADD3(1, 7) ADD3(2, 8) ADD3(3, 9) ADD3(4, 10) ADD3(5, 11)
  asm volatile(
      "vpbroadcastd (%1), %%ymm15\n vpbroadcastd 4(%1), %%ymm14\n" REPEAT6(ZERO_YMM, )
      "vpcmpeqw %%ymm13, %%ymm13, %%ymm13\n vpsrlw $15, %%ymm13, %%ymm13\n"  // 16 ones
      ".p2align 5\n 1:\n" ADD3_6 ADD3_6 "dec %0\n jnz 1b\n vzeroupper\n"
      : "+r"(n)
      : "r"(&kInt8)
      : "cc", "memory", XMM0_TO_15);
}
#endif

#if defined(__AVX512F__)
#define ZERO_ZMM(i, _) "vpxord %%zmm" #i ", %%zmm" #i ", %%zmm" #i "\n"
#define ADD_ZMM(i, instruction) instruction " %%zmm30, %%zmm31, %%zmm" #i "\n"
#define LOOP_ZMM(name, instruction, operands) \
  void name(long n) { \
    asm volatile( \
        "vpbroadcastd (%1), %%zmm31\n vpbroadcastd 4(%1), %%zmm30\n" REPEAT24(ZERO_ZMM, ) \
        ".p2align 5\n 1:\n" REPEAT24(ADD_ZMM, instruction) "dec %0\n jnz 1b\n vzeroupper\n" \
        : "+r"(n) \
        : "r"(&operands) \
        : "cc", "memory", XMM0_TO_15, "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", \
          "xmm22", "xmm23", "xmm30", "xmm31"); \
  }

LOOP_ZMM(fma_avx512, "vfmadd231ps", kFloat)
#if defined(__AVX512BF16__)
LOOP_ZMM(bfloat16_avx512, "vdpbf16ps", kBfloat16)
#endif
#if defined(__AVX512VNNI__)
LOOP_ZMM(int8_avx512, "vpdpbusd", kInt8)
#endif
#endif

#ifdef HAS_AMX
struct alignas(64) TileConfig {
  unsigned char palette = 1, start = 0, reserved[14] = {};
  unsigned short columns[16] = {};
  unsigned char rows[16] = {};
};

// Two tiles of numbers in registers 6 and 7, as `operands` says, and four accumulators.
// Freshly zeroed operands would overstate the peak.
void load_tiles(const Operands& operands) {
  TileConfig config;
  for (int t = 0; t < 8; ++t) config.columns[t] = 64, config.rows[t] = 16;
  alignas(64) std::uint32_t data[256];
  for (int i = 0; i < 256; ++i) data[i] = i % 2 ? operands.a : operands.b;
  // The intrinsic has an operand of 8 bytes: without this the other 56 may never be stored.
  asm volatile("" ::"r"(&config), "r"(data) : "memory");
  _tile_loadconfig(&config);
  _tile_loadd(6, data, 64);
  _tile_loadd(7, data, 64);
  _tile_zero(0); _tile_zero(1); _tile_zero(2); _tile_zero(3);
}

// Fillers between the products help on CPUs whose AMX unit is slow after its own kind; both ways
// are tried.
#define FILL if (filler) asm volatile("nop\n nop\n nop\n nop\n nop\n nop\n nop\n nop\n")
#define LOOP_AMX(name, product, operands) \
  template <bool filler> \
  void name(long n) { \
    load_tiles(operands); \
    for (long i = 0; i < n; ++i) { \
      product(0, 6, 7); FILL; \
      product(1, 6, 7); FILL; \
      product(2, 6, 7); FILL; \
      product(3, 6, 7); FILL; \
    } \
    _tile_release(); \
  }

LOOP_AMX(bfloat16_amx, _tile_dpbf16ps, kBfloat16)
LOOP_AMX(int8_amx, _tile_dpbssd, kInt8)
#endif

// The loops that this CPU has, and how many operations one round of each is.
struct Loop {
  const char* name;
  void (*run)(long);
  double operations;
};
const Loop kLoops[] = {
#if defined(__x86_64__)
    {"fma_avx2", fma_avx2, 24 * 8 * 2},
    {"int8_avx2", int8_avx2, 12 * 32 * 2},
#endif
#if defined(__AVXVNNI__)
    {"int8_avxvnni", int8_avxvnni, 24 * 32 * 2},
#endif
#if defined(__AVX512F__)
    {"fma_avx512", fma_avx512, 24 * 16 * 2},
#if defined(__AVX512BF16__)
    {"bfloat16_avx512", bfloat16_avx512, 24 * 32 * 2},
#endif
#if defined(__AVX512VNNI__)
    {"int8_avx512", int8_avx512, 24 * 64 * 2},
#endif
#endif
#ifdef HAS_AMX
    {"bfloat16_amx", bfloat16_amx<false>, 4 * 16 * 16 * 32 * 2},
    {"bfloat16_amx_filled", bfloat16_amx<true>, 4 * 16 * 16 * 32 * 2},
    {"int8_amx", int8_amx<false>, 4 * 16 * 16 * 64 * 2},
    {"int8_amx_filled", int8_amx<true>, 4 * 16 * 16 * 64 * 2},
#endif
};

}  // namespace
