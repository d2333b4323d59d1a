// What the CPU has and the system lets a program use: a function for each feature that the builds
// of this processor name in isa/builds.inc.
//
// Asked of the CPU (x86: cpuid and xgetbv) or of the system, not by __builtin_cpu_supports, for
// which clang's own library has no symbol everywhere.
#pragma once

namespace pyroberta {

// x86_64
bool cpu_has_fma();
bool cpu_has_avx2();
bool cpu_has_avx512f();
bool cpu_has_avx512dq();
bool cpu_has_avx512bw();
bool cpu_has_avx512vl();
bool cpu_has_avx512_vnni();
bool cpu_has_avx512_bf16();
bool cpu_has_amx_tile();
bool cpu_has_amx_bf16();
bool cpu_has_amx_int8();

// aarch64
bool cpu_has_asimddp();
bool cpu_has_i8mm();
bool cpu_has_bf16();

}  // namespace pyroberta
