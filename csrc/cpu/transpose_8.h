// For sources compiled for AVX.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace copgen::cpu {
namespace {

// Transposes 8 x 8 numbers, from row stride `row` to row stride `to_row`.
inline __attribute__((always_inline)) void transpose_8(const float* from, int64_t row, float* to, int64_t to_row) {
  __m256 pairs[8], quads[8];
  for (int i = 0; i < 8; i += 2) {
    const __m256 x = _mm256_loadu_ps(from + i * row), y = _mm256_loadu_ps(from + (i + 1) * row);
    pairs[i] = _mm256_unpacklo_ps(x, y);
    pairs[i + 1] = _mm256_unpackhi_ps(x, y);
  }
  for (int i = 0; i < 8; i += 4) {
    quads[i] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0x44);
    quads[i + 1] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0xee);
    quads[i + 2] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0x44);
    quads[i + 3] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0xee);
  }
  for (int i = 0; i < 4; ++i) {
    _mm256_storeu_ps(to + i * to_row, _mm256_permute2f128_ps(quads[i], quads[i + 4], 0x20));
    _mm256_storeu_ps(to + (i + 4) * to_row, _mm256_permute2f128_ps(quads[i], quads[i + 4], 0x31));
  }
}

}  // namespace
}  // namespace copgen::cpu
