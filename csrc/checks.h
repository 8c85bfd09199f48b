// Validation of the operators' arguments. The Python functions make the same checks with longer messages: before the
// call, or, for navigate, after the operator has raised.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cmath>
#include <optional>

namespace copgen {

// 16-bit inputs are computed and summed in float32.
inline at::ScalarType accumulator(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

inline void check_matrix(const char* name, const at::Tensor& x) {
  TORCH_CHECK_VALUE(x.dim() == 2, name, " has ", x.dim(), " dimensions; expected 2.");
  const auto type = x.scalar_type();
  TORCH_CHECK_VALUE(
      type == at::kFloat || type == at::kDouble || type == at::kBFloat16,
      name, " is ", type, "; expected float32, float64 or bfloat16.");
}

inline void check_same_place(const char* name, const at::Tensor& x, const at::Tensor& z) {
  TORCH_CHECK_VALUE(x.device() == z.device(), name, " is on ", x.device(), " and z on ", z.device(), ".");
}

inline void check_delta(std::optional<double> delta) {
  TORCH_CHECK_VALUE(
      !delta || (std::isfinite(*delta) && *delta >= 0), "delta is ", *delta, "; expected a finite number >= 0.");
}

inline void check_weight(const char* name, const at::Tensor& w, at::IntArrayRef shape, const at::Tensor& z) {
  TORCH_CHECK_VALUE(w.sizes() == shape, name, " has shape ", w.sizes(), "; expected ", shape, ".");
  TORCH_CHECK_VALUE(
      w.scalar_type() == z.scalar_type() || (w.scalar_type() == at::kBFloat16 && z.scalar_type() == at::kFloat),
      name, " is ", w.scalar_type(), " and z ", z.scalar_type(), ".");
  check_same_place(name, w, z);
}

inline void check_navigator(
    const at::Tensor& z, const at::Tensor& w1, const at::Tensor& b1, const at::Tensor& w2, const at::Tensor& b2) {
  check_matrix("z", z);
  check_matrix("w1", w1);
  TORCH_CHECK_VALUE(z.size(1) > 0 && w1.size(0) > 0, "z and the hidden layer need at least one column.");
  check_weight("w1", w1, {w1.size(0), z.size(1)}, z);
  check_weight("b1", b1, {w1.size(0)}, z);
  check_weight("w2", w2, {z.size(1), w1.size(0)}, z);
  check_weight("b2", b2, {z.size(1)}, z);
}

inline void check_backward(
    const std::optional<at::Tensor>& g, const std::optional<at::Tensor>& g_d, const at::Tensor& z,
    const at::Tensor& d) {
  TORCH_CHECK_VALUE(g || g_d, "Pass g or g_d.");
  TORCH_CHECK_VALUE(!g || g->sizes() == z.sizes(), "The shape of g differs from that of z.");
  TORCH_CHECK_VALUE(!g_d || g_d->sizes() == d.sizes(), "The shape of g_d differs from that of d.");
  TORCH_CHECK_VALUE(d.dim() == 1 && d.size(0) == z.size(0) && d.scalar_type() == accumulator(z), "d does not match z.");
}

inline void check_hidden(const at::Tensor& hidden, const at::Tensor& z, int64_t width) {
  TORCH_CHECK_VALUE(
      hidden.dim() == 2 && hidden.size(0) <= z.size(0) && hidden.size(1) == width && 
          hidden.scalar_type() == accumulator(z) && hidden.is_contiguous(),
      "hidden does not match z.");
}

inline void check_move(const at::Tensor& z, const at::Tensor& z_pos) {
  check_matrix("z", z);
  TORCH_CHECK_VALUE(z.size(1) > 0, "z needs at least one column.");
  TORCH_CHECK_VALUE(z_pos.sizes() == z.sizes(), "z_pos has shape ", z_pos.sizes(), " and z ", z.sizes(), ".");
  TORCH_CHECK_VALUE(
      z_pos.scalar_type() == z.scalar_type(), "z_pos is ", z_pos.scalar_type(), " and z ", z.scalar_type(), ".");
  check_same_place("z_pos", z_pos, z);
}

inline void check_mode(c10::string_view mode, std::optional<double> delta) {
  TORCH_CHECK_VALUE(
      mode == "report" || mode == "reject" || mode == "project", "mode is '", mode,
      "'; expected report, reject or project.");
  TORCH_CHECK_VALUE(delta || mode == "report", "mode '", mode, "' needs a delta.");
}

inline void check_draw(const at::Tensor& rows, int64_t dim) {
  TORCH_CHECK_VALUE(rows.dim() == 1 && rows.scalar_type() == at::kLong, "rows must be a vector of int64.");
  TORCH_CHECK_VALUE(dim >= 0 && dim < (int64_t{1} << 34), "dim is ", dim, "; expected 0 <= dim < 2^34.");
}

inline void check_anderson(
    const at::Tensor& x, const at::Tensor& proposal, const at::Tensor& rows, const at::Tensor& bound,
    const at::Tensor& vectors, const at::Tensor& scalars, int64_t slot) {
  const auto type = x.scalar_type();
  const bool real = type == at::kFloat || type == at::kDouble;
  TORCH_CHECK_VALUE(x.dim() == 2 && real, "x must be a matrix of float32 or float64.");
  TORCH_CHECK_VALUE(proposal.sizes() == x.sizes(), "The shape of proposal differs from that of x.");
  const bool numbers = rows.dim() == 1 && rows.scalar_type() == at::kLong;
  TORCH_CHECK_VALUE(numbers && rows.size(0) == x.size(0), "rows must be one int64 index for each row of x.");
  TORCH_CHECK_VALUE(bound.dim() == 1, "bound must be a vector.");
  TORCH_CHECK_VALUE(scalars.dim() == 2 && scalars.size(1) > 0, "scalars must be a matrix.");
  const int64_t items = bound.size(0), window = scalars.size(1) - 1;
  TORCH_CHECK_VALUE(scalars.size(0) == items, "scalars and bound differ in their number of items.");
  const bool fits = vectors.sizes() == at::IntArrayRef({items, 2 + 2 * window, x.size(1)});
  TORCH_CHECK_VALUE(fits, "vectors has shape ", vectors.sizes(), ".");
  const bool there = slot >= 0 && slot < std::max<int64_t>(1, window);
  TORCH_CHECK_VALUE(there, "slot is ", slot, "; the window is ", window, ".");
  for (const at::Tensor* other : {&proposal, &bound, &vectors, &scalars}) {
    TORCH_CHECK_VALUE(other->scalar_type() == type, "The dtype of an argument differs from that of x.");
  }
  TORCH_CHECK_VALUE(vectors.is_contiguous() && scalars.is_contiguous(), "vectors and scalars must be contiguous.");
}

inline void check_layers(
    const at::Tensor& y, const std::optional<at::Tensor>& entry, at::TensorList weights, at::TensorList biases) {
  const auto is_float = [](const at::Tensor& one) { return one.scalar_type() == at::kFloat; };
  TORCH_CHECK_VALUE(y.dim() == 2 && y.size(1) > 0 && is_float(y), "y is not a float32 matrix.");
  TORCH_CHECK_VALUE(!entry || (entry->numel() == 1 && is_float(*entry)), "entry is not a single float32 number.");
  TORCH_CHECK_VALUE(
      !weights.empty() && weights.size() == biases.size(), "There are ", weights.size(), " weights and ", biases.size(),
      " biases.");
  int64_t inputs = y.size(1);
  for (size_t k = 0; k < weights.size(); ++k) {
    const at::Tensor &weight = weights[k], &bias = biases[k];
    TORCH_CHECK_VALUE(weight.dim() == 2 && is_float(weight), "weight ", k, " is not a float32 matrix.");
    TORCH_CHECK_VALUE(
        weight.size(1) == inputs, "weight ", k, " has ", weight.size(1), " columns; expected ", inputs, ".");
    inputs = weight.size(0);
    TORCH_CHECK_VALUE(
        bias.dim() == 1 && bias.size(0) == inputs && is_float(bias), "bias ", k, " is not a float32 vector of ", inputs,
        " numbers.");
  }
  TORCH_CHECK_VALUE(inputs == y.size(1), "The layers map ", y.size(1), " numbers to ", inputs, "; expected as many.");
}

}  // namespace copgen
