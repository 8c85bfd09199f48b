// The interface of the float32 matrix product kernels, one set per instruction set, called by products.h. Sources that
// are compiled for an instruction set include this before they select it, and no other shared header.
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

// Some columns of B: adjacent in memory, with a stride of `row` between rows.
struct Panel {
  const float* data;
  int64_t row;
};

// Epilogue of the products: element (i, j) is 2^(scale <a_i, b_j>), times row_weights[i] + column_weights[j] if either is
// given, and 0 where j = i + diagonal. The sums are accumulated.
struct Exponentials {
  static constexpr int64_t kNoDiagonal = INT64_MAX / 2;

  float scale;
  int64_t diagonal = kNoDiagonal;
  const float* row_weights = nullptr;
  const float* column_weights = nullptr;
  float* row_sums = nullptr;
  float* column_sums = nullptr;
  float* out = nullptr;  // the elements, with a row stride of `out_row`; not stored if null
  int64_t out_row = 0;
};

// Epilogue of a layer's products: element (i, j) is y = <a_i, b_j> + bias[j], or silu(y) = y / (1 + e^-y).
struct Layer {
  const float* bias;
  bool silu;
  float* out;  // contiguous rows with a stride of `out_row`
  int64_t out_row;
};

// Place of an element of a product.
struct Place {
  int32_t row, column;
};

// Epilogue that keeps no element: the places of those that are at least known[j] of their column are appended.
struct Reaching {
  const float* known;  // of whole vectors of columns; infinite where there is no column
  Place* places;       // room for all elements
  int64_t* count;
};

// The stride of packed rows: the columns, zero-padded to whole vectors of `lanes`.
constexpr int64_t packed_row(int64_t columns, int64_t lanes) { return (columns + lanes - 1) / lanes * lanes; }

// One instruction set's kernels. B comes in panels of up to `width` columns, and is read in whole vectors; `multiply` also
// takes half a vector of eight numbers.
struct Kernels {
  const char* name;
  int64_t height;  // rows of A processed at a time
  int64_t width;
  int64_t lanes;  // numbers in a vector
  void (*pack)(Strided b, int64_t inner, int64_t columns, float* panel);
  void (*multiply)(int64_t rows, int64_t inner, int64_t columns, Strided a, Panel b, float* c, int64_t c_row, bool add);
  void (*exponentials)(int64_t rows, int64_t inner, int64_t columns, Strided a, Panel b, const Exponentials& finish);
  void (*layer)(int64_t rows, int64_t inner, int64_t columns, Strided a, Panel b, const Layer& finish);
  void (*reaching)(int64_t rows, int64_t inner, int64_t columns, Strided a, Panel b, const Reaching& finish);
  float (*dot)(int64_t count, const float* a, const float* b);
  // out = silu(factor x)
  void (*silu)(int64_t count, const float* x, float factor, float* out);
};

const Kernels* avx512_kernels();  // nullptr if the compiler does not support them
const Kernels* avx2_kernels();

}  // namespace copgen::cpu
