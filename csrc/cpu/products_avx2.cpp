// The kernels for AVX2 with fused multiply-add.
#include "kernels.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC target("arch=x86-64-v3")

#include <immintrin.h>

#include "transpose_8.h"

namespace copgen::cpu {
namespace {

struct Avx2 {
  using type = __m256;
  using Half = Avx2;
  static constexpr bool kHalves = false;  // half a vector would take as long as a full one
  static constexpr int kLanes = 8, kRows = 6, kVectors = 2;  // 12 sums, 2 columns, 1 broadcast of A: 15 of 16 registers

  static type zero() { return _mm256_setzero_ps(); }
  static type all(float x) { return _mm256_set1_ps(x); }
  static type add(type x, type y) { return _mm256_add_ps(x, y); }
  static type subtract(type x, type y) { return _mm256_sub_ps(x, y); }
  static type multiply(type x, type y) { return _mm256_mul_ps(x, y); }
  static type multiply_add(type x, type y, type z) { return _mm256_fmadd_ps(x, y, z); }
  static type multiply_subtract(type x, type y, type z) { return _mm256_fmsub_ps(x, y, z); }
  static type divide(type x, type y) { return _mm256_div_ps(x, y); }
  static type max(type bound, type x) { return _mm256_max_ps(bound, x); }  // NaN if x is NaN
  // A bit for each lane; 0 for NaN.
  static unsigned at_least(type x, type y) { return _mm256_movemask_ps(_mm256_cmp_ps(x, y, _CMP_GE_OQ)); }
  // 2^n, for a number whose low bits are n.
  static type exponent(type x) {
    const auto bits = _mm256_castps_si256(x);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(127)), 23));
  }
  static __m256i lanes() { return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7); }
  static __m256i mask(int64_t left) {
    const int within = left >= kLanes ? kLanes : left <= 0 ? 0 : static_cast<int>(left);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(within), lanes());
  }
  static type load(const float* from) { return _mm256_loadu_ps(from); }
  static type load_first(const float* from, int64_t left) {
    return left >= kLanes ? _mm256_loadu_ps(from) : _mm256_maskload_ps(from, mask(left));
  }
  static void store_first(float* to, int64_t left, type x) {
    if (left >= kLanes) {
      _mm256_storeu_ps(to, x);
    } else {
      _mm256_maskstore_ps(to, mask(left), x);
    }
  }
  static type first(type x, int64_t left) { return _mm256_and_ps(x, _mm256_castsi256_ps(mask(left))); }
  static type without(type x, int64_t lane) {
    const __m256i same = _mm256_cmpeq_epi32(lanes(), _mm256_set1_epi32(static_cast<int>(lane)));
    return _mm256_andnot_ps(_mm256_castsi256_ps(same), x);
  }
  static float total(type x) {
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_shuffle_ps(half, half, 1)));
  }
};

}  // namespace
}  // namespace copgen::cpu

#include "products_kernel.h"

namespace copgen::cpu {

const Kernels* avx2_kernels() {
  static constexpr Kernels found = kernels_of<Avx2>("AVX2");
  return __builtin_cpu_supports("x86-64-v3") ? &found : nullptr;
}

}  // namespace copgen::cpu

#else

namespace copgen::cpu {

const Kernels* avx2_kernels() { return nullptr; }

}  // namespace copgen::cpu

#endif
