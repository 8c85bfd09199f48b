// The kernels of matrix products in float32, a set for each instruction set, as products.h calls them. Sources that are
// compiled for one include this before they say so, and nothing else that others share.
#pragma once

#include <cstdint>

namespace copgen::cpu {

// Element (i, j) at data[i * row + j * column].
struct Strided {
  const float* data;
  int64_t row;
  int64_t column;

  Strided t() const { return {data, column, row}; }
  Strided from(int64_t i, int64_t j) const { return {data + i * row + j * column, row, column}; }
};

// Some columns of B, their numbers side by side and its rows `row` apart.
struct Panel {
  const float* data;
  int64_t row;
};

// What becomes of the products: element (i, j) is 2^(scale <a_i, b_j>), times row_weights[i] + column_weights[j] where
// either is given, and 0 where j = i + diagonal. Sums are added to.
struct Exponentials {
  static constexpr int64_t kNoDiagonal = INT64_MAX / 2;

  float scale;
  int64_t diagonal = kNoDiagonal;
  const float* row_weights = nullptr;
  const float* column_weights = nullptr;
  float* row_sums = nullptr;
  float* column_sums = nullptr;
  float* out = nullptr;  // where the elements go, rows without gaps of `out_row`; nothing is kept without
  int64_t out_row = 0;
};

// What becomes of the products in a layer: element (i, j) is y = <a_i, b_j> + bias[j], or silu(y) = y / (1 + e^-y).
struct Layer {
  const float* bias;
  bool silu;
  float* out;  // rows without gaps of `out_row`
  int64_t out_row;
};

// The numbers from a packed row to the next: its columns, filled up with zeros to whole vectors of `lanes`.
constexpr int64_t packed_row(int64_t columns, int64_t lanes) { return (columns + lanes - 1) / lanes * lanes; }

// One instruction set's kernels. B comes in panels of up to `width` columns, and is read in whole vectors; `multiply` is
// content with eight numbers where those are half of one.
struct Kernels {
  const char* name;
  int64_t height;  // rows of A that are worked on at one time
  int64_t width;
  int64_t lanes;  // numbers in a vector
  void (*pack)(Strided b, int64_t inner, int64_t columns, float* panel);
  void (*multiply)(int64_t rows, int64_t inner, int64_t columns, Strided a, Panel b, float* c, int64_t c_row, bool add);
  void (*exponentials)(int64_t rows, int64_t inner, int64_t columns, Strided a, Panel b, const Exponentials& finish);
  void (*layer)(int64_t rows, int64_t inner, int64_t columns, Strided a, Panel b, const Layer& finish);
  // out = silu(factor x)
  void (*silu)(int64_t count, const float* x, float factor, float* out);
};

const Kernels* avx512_kernels();  // nullptr where the compiler cannot make them
const Kernels* avx2_kernels();

}  // namespace copgen::cpu
