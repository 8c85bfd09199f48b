// Rows of a matrix, read and written in the dtype of the computation.
//
// Plain loops, because threads of a parallel region do not inherit the caller's modes: there, torch's operators would
// record a graph for gradients.
#pragma once

#include "../tensor.h"

namespace copgen::cpu {

// Calls f with a value of the dtype.
template <typename F>
void with_type(ScalarType type, const F& f) {
  switch (type) {
    case kDouble:
      return f(double{});
    case kFloat:
      return f(float{});
    default:
      return f(BFloat16{});
  }
}

// out = rows `begin` to begin + rows of a matrix with any strides; out is contiguous.
template <typename work_t>
void read_rows(const Tensor& x, int64_t begin, int64_t rows, work_t* out) {
  const int64_t columns = x.size(1), row = x.stride(0), column = x.stride(1);
  with_type(x.scalar_type(), [&](auto kind) {
    const auto* from = x.const_data_ptr<decltype(kind)>() + begin * row;
    for (int64_t i = 0; i < rows; ++i, from += row, out += columns) {
      for (int64_t j = 0; j < columns; ++j) {
        out[j] = static_cast<work_t>(from[j * column]);
      }
    }
  });
}

// The reverse, for a contiguous matrix.
template <typename work_t>
void write_rows(const Tensor& x, int64_t begin, int64_t rows, const work_t* from) {
  const int64_t columns = x.size(1);
  with_type(x.scalar_type(), [&](auto kind) {
    using T = decltype(kind);
    T* to = x.mutable_data_ptr<T>() + begin * columns;
    for (int64_t j = 0; j < rows * columns; ++j) {
      to[j] = static_cast<T>(from[j]);
    }
  });
}

}  // namespace copgen::cpu
