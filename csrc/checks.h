// Validation of the operators' arguments. The Python functions make the same checks with longer messages: before the
// call, or, for navigate, after the operator has raised.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <string_view>

#include "tensor.h"

namespace copgen {

// 16-bit inputs are computed and summed in float32.
inline ScalarType accumulator(const Tensor& x) { return x.scalar_type() == kDouble ? kDouble : kFloat; }

inline void check_matrix(const char* name, const Tensor& x) {
  COPGEN_CHECK(x.dim() == 2, name, " has ", x.dim(), " dimensions; expected 2.");
  const auto type = x.scalar_type();
  COPGEN_CHECK(
      type == kFloat || type == kDouble || type == kBFloat16,
      name, " is ", type, "; expected float32, float64 or bfloat16.");
}

inline void check_same_place(const char* name, const Tensor& x, const Tensor& z) {
  COPGEN_CHECK(x.device() == z.device(), name, " and z are on different devices.");
}

inline void check_delta(std::optional<double> delta) {
  COPGEN_CHECK(
      !delta || (std::isfinite(*delta) && *delta >= 0), "delta is ", *delta, "; expected a finite number >= 0.");
}

inline void check_weight(const char* name, const Tensor& w, Sizes shape, const Tensor& z) {
  COPGEN_CHECK(same(w.sizes(), shape), name, " has shape ", w.sizes(), "; expected ", shape, ".");
  COPGEN_CHECK(
      w.scalar_type() == z.scalar_type() || (w.scalar_type() == kBFloat16 && z.scalar_type() == kFloat),
      name, " is ", w.scalar_type(), " and z ", z.scalar_type(), ".");
  check_same_place(name, w, z);
}

inline void check_navigator(const Tensor& z, const Tensor& w1, const Tensor& b1, const Tensor& w2, const Tensor& b2) {
  check_matrix("z", z);
  check_matrix("w1", w1);
  COPGEN_CHECK(z.size(1) > 0 && w1.size(0) > 0, "z and the hidden layer need at least one column.");
  check_weight("w1", w1, {w1.size(0), z.size(1)}, z);
  check_weight("b1", b1, {w1.size(0)}, z);
  check_weight("w2", w2, {z.size(1), w1.size(0)}, z);
  check_weight("b2", b2, {z.size(1)}, z);
}

inline void check_kept(int64_t kept, const Tensor& z) {
  COPGEN_CHECK(kept >= 0 && kept <= z.size(0), "kept is ", kept, "; expected 0 to ", z.size(0), " rows.");
}

inline void check_backward(
    const std::optional<Tensor>& g, const std::optional<Tensor>& g_d, const Tensor& z, const Tensor& d) {
  COPGEN_CHECK(g || g_d, "Pass g or g_d.");
  COPGEN_CHECK(!g || same(g->sizes(), z.sizes()), "The shape of g differs from that of z.");
  COPGEN_CHECK(!g_d || same(g_d->sizes(), d.sizes()), "The shape of g_d differs from that of d.");
  COPGEN_CHECK(d.dim() == 1 && d.size(0) == z.size(0) && d.scalar_type() == accumulator(z), "d does not match z.");
}

inline void check_hidden(const Tensor& hidden, const Tensor& z, int64_t width) {
  COPGEN_CHECK(
      hidden.dim() == 2 && hidden.size(0) <= z.size(0) && hidden.size(1) == width &&
          hidden.scalar_type() == accumulator(z) && hidden.is_contiguous(),
      "hidden does not match z.");
}

inline void check_move(const Tensor& z, const Tensor& z_pos) {
  check_matrix("z", z);
  COPGEN_CHECK(z.size(1) > 0, "z needs at least one column.");
  COPGEN_CHECK(same(z_pos.sizes(), z.sizes()), "z_pos has shape ", z_pos.sizes(), " and z ", z.sizes(), ".");
  COPGEN_CHECK(
      z_pos.scalar_type() == z.scalar_type(), "z_pos is ", z_pos.scalar_type(), " and z ", z.scalar_type(), ".");
  check_same_place("z_pos", z_pos, z);
}

inline void check_mode(std::string_view mode, std::optional<double> delta) {
  COPGEN_CHECK(
      mode == "report" || mode == "reject" || mode == "project", "mode is '", mode,
      "'; expected report, reject or project.");
  COPGEN_CHECK(delta || mode == "report", "mode '", mode, "' needs a delta.");
}

inline void check_draw(const Tensor& rows, int64_t dim) {
  COPGEN_CHECK(rows.dim() == 1 && rows.scalar_type() == kLong, "rows must be a vector of int64.");
  COPGEN_CHECK(dim >= 0 && dim < (int64_t{1} << 34), "dim is ", dim, "; expected 0 <= dim < 2^34.");
}

inline void check_anderson(
    const Tensor& x, const Tensor& proposal, const Tensor& rows, const Tensor& bound, const Tensor& vectors,
    const Tensor& scalars, int64_t slot) {
  const auto type = x.scalar_type();
  const bool real = type == kFloat || type == kDouble;
  COPGEN_CHECK(x.dim() == 2 && real, "x must be a matrix of float32 or float64.");
  COPGEN_CHECK(same(proposal.sizes(), x.sizes()), "The shape of proposal differs from that of x.");
  const bool numbers = rows.dim() == 1 && rows.scalar_type() == kLong;
  COPGEN_CHECK(numbers && rows.size(0) == x.size(0), "rows must be one int64 index for each row of x.");
  COPGEN_CHECK(bound.dim() == 1, "bound must be a vector.");
  COPGEN_CHECK(scalars.dim() == 2 && scalars.size(1) > 0, "scalars must be a matrix.");
  const int64_t items = bound.size(0), window = scalars.size(1) - 1;
  COPGEN_CHECK(scalars.size(0) == items, "scalars and bound differ in their number of items.");
  const bool fits = same(vectors.sizes(), {items, 2 + 2 * window, x.size(1)});
  COPGEN_CHECK(fits, "vectors has shape ", vectors.sizes(), ".");
  const bool there = slot >= 0 && slot < std::max<int64_t>(1, window);
  COPGEN_CHECK(there, "slot is ", slot, "; the window is ", window, ".");
  for (const Tensor* other : {&proposal, &bound, &vectors, &scalars}) {
    COPGEN_CHECK(other->scalar_type() == type, "The dtype of an argument differs from that of x.");
  }
  COPGEN_CHECK(vectors.is_contiguous() && scalars.is_contiguous(), "vectors and scalars must be contiguous.");
}

inline void check_layers(
    const Tensor& y, const std::optional<Tensor>& entry, const Tensors& weights, const Tensors& biases) {
  const auto is_float = [](const Tensor& one) { return one.scalar_type() == kFloat; };
  COPGEN_CHECK(y.dim() == 2 && y.size(1) > 0 && is_float(y), "y is not a float32 matrix.");
  COPGEN_CHECK(!entry || (entry->numel() == 1 && is_float(*entry)), "entry is not a single float32 number.");
  COPGEN_CHECK(
      !weights.empty() && weights.size() == biases.size(), "There are ", weights.size(), " weights and ", biases.size(),
      " biases.");
  int64_t inputs = y.size(1);
  for (size_t k = 0; k < weights.size(); ++k) {
    const Tensor &weight = weights[k], &bias = biases[k];
    COPGEN_CHECK(weight.dim() == 2 && is_float(weight), "weight ", k, " is not a float32 matrix.");
    COPGEN_CHECK(weight.size(1) == inputs, "weight ", k, " has ", weight.size(1), " columns; expected ", inputs, ".");
    inputs = weight.size(0);
    COPGEN_CHECK(
        bias.dim() == 1 && bias.size(0) == inputs && is_float(bias), "bias ", k, " is not a float32 vector of ", inputs,
        " numbers.");
  }
  COPGEN_CHECK(inputs == y.size(1), "The layers map ", y.size(1), " numbers to ", inputs, "; expected as many.");
}

}  // namespace copgen
