// Matrix products in float32 for operands that stay in a core's caches, whose elements are finished while they are in
// registers: what a library's general product would have to write out and read again.
//
// The sum of an element runs over `inner` in its order, whatever the shape around it and the number of threads: a row's
// result has the same bits in any batch.
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

// One instruction set's kernels. B comes in panels of up to `width` columns, packed: inner x width numbers, the columns
// that are missing filled up with zeros to a whole vector.
struct Kernels {
  const char* name;
  int64_t height;  // rows of A that are worked on at one time
  int64_t width;
  void (*pack)(Strided b, int64_t inner, int64_t columns, float* panel);
  void (*multiply)(int64_t rows, int64_t inner, int64_t columns, Strided a, const float* panel, float* c, int64_t c_row,
                   bool add);
  void (*exponentials)(int64_t rows, int64_t inner, int64_t columns, Strided a, const float* panel,
                       const Exponentials& finish);
  void (*layer)(int64_t rows, int64_t inner, int64_t columns, Strided a, const float* panel, const Layer& finish);
  // out = silu(factor x)
  void (*silu)(int64_t count, const float* x, float factor, float* out);
};

const Kernels* avx512_kernels();  // nullptr where the compiler cannot make them
const Kernels* avx2_kernels();

// The best that this processor has; nullptr: none, and a library's products are to be taken.
const Kernels* kernels();

// C (rows, columns), its rows c_row apart, = A B, or += A B; on the calling thread.
void multiply(const Kernels& with, int64_t rows, int64_t inner, int64_t columns, Strided a, Strided b, float* c,
              int64_t c_row, bool add);

// A matrix in panels, for several products.
class Packed {
 public:
  Packed(const Kernels& with, int64_t inner, int64_t columns, Strided b);
  ~Packed();
  Packed(const Packed&) = delete;
  Packed& operator=(const Packed&) = delete;

  // C = A B, or += A B.
  void multiply(int64_t rows, Strided a, float* c, int64_t c_row, bool add = false) const;

  void exponentials(int64_t rows, Strided a, const Exponentials& finish) const;

  void layer(int64_t rows, Strided a, const Layer& finish) const;

 private:
  int64_t panels() const { return (columns_ + with_->width - 1) / with_->width; }
  int64_t begin(int64_t panel) const { return panel * with_->width; }
  int64_t columns(int64_t panel) const;
  const float* data(int64_t panel) const { return data_ + begin(panel) * inner_; }

  const Kernels* with_ = nullptr;
  int64_t inner_ = 0, columns_ = 0;
  float* data_ = nullptr;
};

}  // namespace copgen::cpu
