// Products of a block of rows with a weight shared by all blocks: by the kernels of products.h for float32 if the
// processor supports them, otherwise by BLAS.
#pragma once

#include <ATen/EmptyTensor.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/mm.h>

#include <optional>
#include <type_traits>

#include "products.h"

namespace copgen::cpu {

// An uninitialised tensor, without the dispatcher overhead of `at::empty`.
inline at::Tensor unfilled(at::IntArrayRef sizes, at::ScalarType type) { return at::detail::empty_cpu(sizes, type); }

// Contiguous and in the dtype of the computation; the tensor itself if it already is.
template <typename T>
at::Tensor numbers(const at::Tensor& x) {
  constexpr auto type = c10::CppTypeToScalarType<T>::value;
  // Checked here, as calling the operators costs more even if they have nothing to do.
  return x.scalar_type() == type && x.is_contiguous() ? x : x.to(type).contiguous();
}

template <typename T>
at::Tensor matrix_at(const T* data, int64_t rows, int64_t columns) {
  return at::from_blob(const_cast<T*>(data), {rows, columns}, at::TensorOptions().dtype(c10::CppTypeToScalarType<T>::value));
}

// y = x W^T, or x W if `plain`, for contiguous W and batches of `rows`. W is packed once for all batches, unless it can
// be read in place; a large W only for many rows, as for few, packing takes a tenth of the product's time.
template <typename T>
class Linear {
 public:
  Linear(int64_t rows, const at::Tensor& weight, bool plain = false)
      : weight_(weight), plain_(plain), inner_(weight.size(plain ? 0 : 1)), columns_(weight.size(plain ? 1 : 0)) {
    if constexpr (std::is_same_v<T, float>) {
      const Strided rows_of_weight{weight.const_data_ptr<float>(), weight.size(1), 1};
      strided_ = plain ? rows_of_weight : rows_of_weight.t();
      in_place_ = kernels() && read_in_place(inner_, columns_, strided_);
      if (!in_place_ && kernels() && (rows >= kManyRows || weight.numel() <= kSmallWeight)) {
        packed_.emplace(*kernels(), inner_, columns_, strided_);
      }
    }
  }

  // x (rows, inner) and y (rows, columns) are contiguous; y is overwritten or accumulated.
  void operator()(int64_t rows, const T* x, T* y, bool add = false) const {
    if constexpr (std::is_same_v<T, float>) {
      if (packed_) {
        packed_->multiply(rows, {x, inner_, 1}, y, columns_, add);
        return;
      }
      if (in_place_) {
        multiply(*kernels(), rows, inner_, columns_, {x, inner_, 1}, strided_, y, columns_, add);
        return;
      }
    }
    at::Tensor out = matrix_at(y, rows, columns_);
    const at::Tensor b = plain_ ? weight_ : weight_.t();
    if (add) {
      out.addmm_(matrix_at(x, rows, inner_), b);
    } else {
      at::mm_out(out, matrix_at(x, rows, inner_), b);
    }
  }

 private:
  static constexpr int64_t kManyRows = 128, kSmallWeight = 1 << 17;

  at::Tensor weight_;
  bool plain_;
  int64_t inner_, columns_;
  Strided strided_{};
  bool in_place_ = false;
  std::optional<Packed> packed_;
};

// dw (rows, columns) = or += left^T right, for `count` rows of left, with a stride of `left_row`, and of contiguous right.
template <typename T>
void outer(int64_t count, int64_t rows, int64_t columns, const T* left, int64_t left_row, const T* right, T* dw, bool add) {
  if constexpr (std::is_same_v<T, float>) {
    if (kernels()) {
      multiply(*kernels(), rows, count, columns, {left, 1, left_row}, {right, columns, 1}, dw, columns, add);
      return;
    }
  }
  const at::Tensor turned = at::from_blob(
      const_cast<T*>(left), {rows, count}, {1, left_row}, at::TensorOptions().dtype(c10::CppTypeToScalarType<T>::value));
  at::Tensor out = matrix_at(dw, rows, columns);
  if (add) {
    out.addmm_(turned, matrix_at(right, count, columns));
  } else {
    at::mm_out(out, turned, matrix_at(right, count, columns));
  }
}

}  // namespace copgen::cpu
