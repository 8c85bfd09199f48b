// Matrix products in float32 for operands that fit a core's caches, with a fused epilogue: a library's general product
// would have to write the elements to memory and read them again.
//
// The sum of an element always runs over `inner` in ascending order, so a row's result has the same bits in any batch and
// for any number of threads.
#pragma once

#include <cstdint>

#include "kernels.h"
#include "scratch.h"

namespace copgen::cpu {

// The best kernels for this processor; nullptr if there are none (use a library's products).
const Kernels* kernels();

// Whether `multiply` reads B in place: if it is small and its row length is a multiple of eight. Otherwise each call packs
// it.
bool read_in_place(int64_t inner, int64_t columns, Strided b);

// C (rows, columns), with row stride c_row, = or += A B; on the calling thread.
void multiply(const Kernels& with, int64_t rows, int64_t inner, int64_t columns, Strided a, Strided b, float* c,
              int64_t c_row, bool add);

// A matrix packed in panels, for several products.
class Packed {
 public:
  Packed(const Kernels& with, int64_t inner, int64_t columns, Strided b);

  // C = or += A B.
  void multiply(int64_t rows, Strided a, float* c, int64_t c_row, bool add = false) const;

  void exponentials(int64_t rows, Strided a, const Exponentials& finish) const;

  void layer(int64_t rows, Strided a, const Layer& finish) const;

  // Of one panel, whose first column is number panel * width; `finish` is for its columns.
  void reaching(int64_t panel, int64_t rows, Strided a, const Reaching& finish) const;

  int64_t panels() const { return (columns_ + with_->width - 1) / with_->width; }

 private:
  int64_t begin(int64_t panel) const { return panel * with_->width; }
  int64_t columns(int64_t panel) const;
  Panel at(int64_t panel) const { return {scratch_.as<float>() + begin(panel) * inner_, packed_row(columns(panel), with_->lanes)}; }

  const Kernels* with_;
  int64_t inner_, columns_;
  Scratch scratch_;
};

}  // namespace copgen::cpu
