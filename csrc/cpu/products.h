// Matrix products in float32 for operands that stay in a core's caches, whose elements are finished while they are in
// registers: what a library's general product would have to write out and read again.
//
// The sum of an element runs over `inner` in its order, whatever the shape around it and the number of threads: a row's
// result has the same bits in any batch.
#pragma once

#include <cstdint>

#include "kernels.h"
#include "scratch.h"

namespace copgen::cpu {

// The best that this processor has; nullptr: none, and a library's products are to be taken.
const Kernels* kernels();

// Whether `multiply` takes B where it lies: small, and its rows of whole eights. Otherwise it is packed at each call.
bool read_in_place(int64_t inner, int64_t columns, Strided b);

// C (rows, columns), its rows c_row apart, = A B, or += A B; on the calling thread.
void multiply(const Kernels& with, int64_t rows, int64_t inner, int64_t columns, Strided a, Strided b, float* c,
              int64_t c_row, bool add);

// A matrix in panels, for several products.
class Packed {
 public:
  Packed(const Kernels& with, int64_t inner, int64_t columns, Strided b);

  // C = A B, or += A B.
  void multiply(int64_t rows, Strided a, float* c, int64_t c_row, bool add = false) const;

  void exponentials(int64_t rows, Strided a, const Exponentials& finish) const;

  void layer(int64_t rows, Strided a, const Layer& finish) const;

 private:
  int64_t panels() const { return (columns_ + with_->width - 1) / with_->width; }
  int64_t begin(int64_t panel) const { return panel * with_->width; }
  int64_t columns(int64_t panel) const;
  Panel at(int64_t panel) const { return {scratch_.as<float>() + begin(panel) * inner_, packed_row(columns(panel), with_->lanes)}; }

  const Kernels* with_;
  int64_t inner_, columns_;
  Scratch scratch_;
};

}  // namespace copgen::cpu
