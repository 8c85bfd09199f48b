// The kernels for AVX-512.
#include "kernels.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC target("arch=x86-64-v4")
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // in GCC's own header
#pragma GCC diagnostic ignored "-Wuninitialized"

#include <immintrin.h>

#include "transpose_8.h"

namespace copgen::cpu {
namespace {

// 8 columns, for processors that execute 16 in two steps.
struct Avx512Half {
  using type = __m256;

  static type zero() { return _mm256_setzero_ps(); }
  static type all(float x) { return _mm256_set1_ps(x); }
  static type add(type x, type y) { return _mm256_add_ps(x, y); }
  static type multiply_add(type x, type y, type z) { return _mm256_fmadd_ps(x, y, z); }
  static __mmask8 mask(int64_t left) { return left >= 8 ? 0xff : static_cast<__mmask8>((1u << left) - 1); }
  static type load(const float* from) { return _mm256_loadu_ps(from); }
  static type load_first(const float* from, int64_t left) { return _mm256_maskz_loadu_ps(mask(left), from); }
  static void store_first(float* to, int64_t left, type x) { _mm256_mask_storeu_ps(to, mask(left), x); }
};

struct Avx512 {
  using type = __m512;
  using Half = Avx512Half;
  static constexpr bool kHalves = true;
  static constexpr int kLanes = 16, kRows = 6, kVectors = 4;  // 24 sums, 4 columns, 1 broadcast of A: 29 of 32 registers

  static type zero() { return _mm512_setzero_ps(); }
  static type all(float x) { return _mm512_set1_ps(x); }
  static type add(type x, type y) { return _mm512_add_ps(x, y); }
  static type subtract(type x, type y) { return _mm512_sub_ps(x, y); }
  static type multiply(type x, type y) { return _mm512_mul_ps(x, y); }
  static type multiply_add(type x, type y, type z) { return _mm512_fmadd_ps(x, y, z); }
  static type multiply_subtract(type x, type y, type z) { return _mm512_fmsub_ps(x, y, z); }
  static type divide(type x, type y) { return _mm512_div_ps(x, y); }
  static type max(type bound, type x) { return _mm512_max_ps(bound, x); }  // NaN if x is NaN
  // A bit for each lane; 0 for NaN.
  static unsigned at_least(type x, type y) { return _mm512_cmp_ps_mask(x, y, _CMP_GE_OQ); }
  // 2^n, for a number whose low bits are n.
  static type exponent(type x) {
    const auto bits = _mm512_castps_si512(x);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(127)), 23));
  }
  static __mmask16 mask(int64_t left) {
    return left >= kLanes ? 0xffff : left <= 0 ? 0 : static_cast<__mmask16>((1u << left) - 1);
  }
  static type load(const float* from) { return _mm512_loadu_ps(from); }
  static type load_first(const float* from, int64_t left) { return _mm512_maskz_loadu_ps(mask(left), from); }
  static void store_first(float* to, int64_t left, type x) { _mm512_mask_storeu_ps(to, mask(left), x); }
  static type first(type x, int64_t left) { return _mm512_maskz_mov_ps(mask(left), x); }
  static type without(type x, int64_t lane) { return _mm512_maskz_mov_ps(static_cast<__mmask16>(~(1u << lane)), x); }
  static float total(type x) { return _mm512_reduce_add_ps(x); }
};

}  // namespace
}  // namespace copgen::cpu

#include "products_kernel.h"

namespace copgen::cpu {

const Kernels* avx512_kernels() {
  static constexpr Kernels found = kernels_of<Avx512>("AVX-512");
  return __builtin_cpu_supports("x86-64-v4") ? &found : nullptr;
}

}  // namespace copgen::cpu

#else

namespace copgen::cpu {

const Kernels* avx512_kernels() { return nullptr; }

}  // namespace copgen::cpu

#endif
