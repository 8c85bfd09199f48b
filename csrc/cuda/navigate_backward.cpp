// The gradients of navigate on CUDA, as in cpu/navigate_backward.cpp: cuBLAS products with one kernel between them, in
// panels of rows, which bounds the memory of intermediates.

#include <ATen/ops/_addmm_activation.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/zeros_like.h>
#include <torch/library.h>

#include <algorithm>
#include <tuple>

#include "../checks.h"
#include "device.h"

namespace copgen::cuda {
namespace {

using at::Tensor;
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
    y = at::mm(h, a.w2.t());
    g_d = a.g_d.narrow(0, begin, rows);
  }
  const Tensor d = a.d.narrow(0, begin, rows);
  Tensor u = at::empty({rows, a.z.size(1)}, a.w1.options());
  C10_CUDA_CHECK(launch_upstream<W>(
      read<W>(g), read<W>(g_d), read<W>(y), read<W>(a.b2), read<W>(d), rows, a.z.size(1), write<W>(u),
      c10::cuda::getCurrentCUDAStream()));
  return u;
}

template <typename W>
void add_panel(const Arguments& a, int64_t begin, int64_t rows, Gradients& gradients) {
  auto& [dz, dw1, db1, dw2, db2] = gradients;
  const auto dtype = a.w1.scalar_type();
  const auto part = [&](const Tensor& x) { return x.narrow(0, begin, rows).to(dtype).contiguous(); };
  const Tensor z = part(a.z), g = a.g.defined() ? part(a.g) : Tensor();
  const Tensor h = begin + rows <= a.hidden.size(0) ? a.hidden.narrow(0, begin, rows)
                                                    : at::_addmm_activation(a.b1, z, a.w1.t());
  const Tensor u = a.g_d.defined() ? upstream<W>(a, g, h, begin, rows) : g;
  Tensor dh = at::mm(u, a.w2);
  C10_CUDA_CHECK(launch_relu_gradient<W>(write<W>(dh), read<W>(h), dh.numel(), c10::cuda::getCurrentCUDAStream()));
  if (dz.size(0) > 0) {
    dz.narrow(0, begin, rows).copy_(g.defined() ? at::addmm(g, dh, a.w1) : at::mm(dh, a.w1));
  }
  if (dw1.size(0) > 0) {
    dw1.addmm_(dh.t(), z);
    dw2.addmm_(u.t(), h);
    db1.add_(dh.sum(0));
    db2.add_(u.sum(0));
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
  const PlainNumbers plain;
  check_navigator(z, w1, b1, w2, b2);
  check_backward(g, g_d, z, d);
  check_hidden(hidden, z, w1.size(0));
  const c10::cuda::CUDAGuard guard(z.device());
  const auto dtype = accumulator(z);
  const auto as = [&](const Tensor& x) { return x.to(dtype).contiguous(); };
  const Arguments a{g.value_or(Tensor()), g_d ? as(*g_d) : Tensor(), z, as(w1), as(b1), as(w2), as(b2), d.contiguous(),
                    hidden};
  const auto weights = [&](const Tensor& x) {
    return for_weights ? at::zeros_like(x) : at::empty({0}, x.options());
  };
  Gradients gradients{
      for_z ? at::empty(z.sizes(), z.options()) : at::empty({0}, z.options()), weights(a.w1), weights(a.b1),
      weights(a.w2), weights(a.b2)};
  if (dtype == at::kDouble) {
    add_panels<double>(a, gradients);
  } else {
    add_panels<float>(a, gradients);
  }
  auto& [dz, dw1, db1, dw2, db2] = gradients;
  return {dz, dw1.to(w1.scalar_type()), db1.to(b1.scalar_type()), dw2.to(w2.scalar_type()), db2.to(b2.scalar_type())};
}

}  // namespace

TORCH_LIBRARY_IMPL(copgen, CUDA, m) { m.impl("navigate_backward", &navigate_backward); }

}  // namespace copgen::cuda
