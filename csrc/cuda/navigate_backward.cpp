// The gradients of navigate on CUDA, as in cpu/navigate_backward.cpp: cuBLAS products with one kernel between them, in
// panels of rows, which bounds the memory of intermediates.

#include <algorithm>
#include <tuple>

#include "../checks.h"
#include "device.h"

namespace copgen::cuda {
namespace {

using Gradients = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor>;

constexpr int64_t kPanelBytes = 64L << 20;

struct Arguments {
  Tensor g, g_d, z, w1, b1, w2, b2, d, hidden;
};

// u = g + g_d m / (d dim) for one panel.
template <typename W>
Tensor upstream(const Arguments& a, const Tensor& g, const Tensor& h, int64_t begin, int64_t rows) {
  Tensor y, g_d;
  if (a.g_d.defined()) {
    y = product(h, transposed(a.w2));
    g_d = narrow(a.g_d, begin, rows);
  }
  const Tensor d = narrow(a.d, begin, rows);
  const Tensor u = unfilled({rows, a.z.size(1)}, a.w1.scalar_type(), &a.z);
  check(launch_upstream<W>(
      read<W>(g), read<W>(g_d), read<W>(y), read<W>(a.b2), read<W>(d), rows, a.z.size(1), write<W>(u),
      stream_of(a.z)));
  return u;
}

template <typename W>
void add_panel(const Arguments& a, int64_t begin, int64_t rows, Gradients& gradients) {
  auto& [dz, dw1, db1, dw2, db2] = gradients;
  const auto dtype = a.w1.scalar_type();
  const auto part = [&](const Tensor& x) { return numbers(narrow(x, begin, rows), dtype); };
  const Tensor z = part(a.z), g = a.g.defined() ? part(a.g) : Tensor();
  const Tensor h = begin + rows <= a.hidden.size(0) ? narrow(a.hidden, begin, rows)
                                                    : hidden_units(z, a.w1, a.b1);
  const Tensor u = a.g_d.defined() ? upstream<W>(a, g, h, begin, rows) : g;
  const Tensor dh = product(u, a.w2);
  check(launch_relu_gradient<W>(write<W>(dh), read<W>(h), dh.numel(), stream_of(a.z)));
  if (dz.size(0) > 0) {
    Tensor to = narrow(dz, begin, rows);
    torch::stable::copy_(to, g.defined() ? sum_with_product(g, dh, a.w1) : product(dh, a.w1));
  }
  if (dw1.size(0) > 0) {
    dw1 = sum_with_product(dw1, transposed(dh), z);
    dw2 = sum_with_product(dw2, transposed(u), h);
    db1 = sum_with_columns(db1, dh);
    db2 = sum_with_columns(db2, u);
  }
}

template <typename W>
void add_panels(const Arguments& a, Gradients& gradients) {
  const int64_t rows = a.z.size(0);
  const int64_t wanted = kPanelBytes / (a.w1.size(0) * static_cast<int64_t>(sizeof(W)));
  const int64_t panel = std::max<int64_t>(2048, wanted);
  for (int64_t begin = 0; begin < rows; begin += panel) {
    add_panel<W>(a, begin, std::min(panel, rows - begin), gradients);
  }
}

Gradients navigate_backward(
    const std::optional<Tensor>& g, const std::optional<Tensor>& g_d, const Tensor& z, const Tensor& w1,
    const Tensor& b1, const Tensor& w2, const Tensor& b2, const Tensor& d, const Tensor& hidden, bool for_z,
    bool for_weights) {
  check_navigator(z, w1, b1, w2, b2);
  check_backward(g, g_d, z, d);
  check_hidden(hidden, z, w1.size(0));
  const OnDeviceOf here(z);
  const auto dtype = accumulator(z);
  const auto wide = [&](const Tensor& x) { return numbers(x, dtype); };
  const Arguments a{g.value_or(Tensor()), g_d ? wide(*g_d) : Tensor(), z, wide(w1), wide(b1), wide(w2), wide(b2),
                    dense(d), hidden};
  const auto weights = [&](const Tensor& x) {
    return for_weights ? torch::stable::new_zeros(x, x.sizes()) : unfilled({0}, x.scalar_type(), &x);
  };
  Gradients gradients{
      for_z ? unfilled(z.sizes(), z.scalar_type(), &z) : unfilled({0}, z.scalar_type(), &z), weights(a.w1), weights(a.b1),
      weights(a.w2), weights(a.b2)};
  if (dtype == kDouble) {
    add_panels<double>(a, gradients);
  } else {
    add_panels<float>(a, gradients);
  }
  auto& [dz, dw1, db1, dw2, db2] = gradients;
  return {dz, as(dw1, w1.scalar_type()), as(db1, b1.scalar_type()), as(dw2, w2.scalar_type()), as(db2, b2.scalar_type())};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(copgen, CUDA, m) { m.impl("navigate_backward", TORCH_BOX(&navigate_backward)); }

}  // namespace copgen::cuda
