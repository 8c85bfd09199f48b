// The gradients of navigate. With u the gradient of m = z' - z:
//
//   u = g + g_d m / (d dim)     dh = (u W2) [h > 0]     dz = g + dh W1     dW2 = u^T h     dW1 = dh^T z
//
// In panels of rows: within a panel, blocks of rows on all threads as in navigate.cpp; then the two products that sum over
// rows, side by side, each thread with its own part of the outputs. Nothing is as large as the batch but what is returned.

#include <ATen/core/Tensor.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/zeros_like.h>
#include <torch/library.h>

#include <algorithm>
#include <tuple>

#include "../checks.h"
#include "blocks.h"
#include "rows.h"

namespace copgen::cpu {
namespace {

using at::Tensor;

constexpr int64_t kPanel = 2048;  // rows: enough that products over them run at full rate, and a panel stays small

template <typename work_t>
class Gradients {
 public:
  Gradients(const std::optional<Tensor>& g, const std::optional<Tensor>& g_d, const Tensor& z, const Tensor& w1,
            const Tensor& b1, const Tensor& w2, const Tensor& b2, const Tensor& d, const Tensor& hidden, bool for_z,
            bool for_weights)
      : dtype_(accumulator(z)), g_(g), z_(z), d_(d.contiguous()), hidden_(hidden), for_weights_(for_weights) {
    if (g_d) {
      g_d_ = g_d->to(dtype_).contiguous();
    }
    w1_ = w1.to(dtype_).contiguous();
    b1_ = b1.to(dtype_).contiguous();
    w2_ = w2.to(dtype_).contiguous();
    b2_ = b2.to(dtype_).contiguous();
    dz = for_z ? at::empty(z.sizes(), z.options()) : at::empty({0}, z.options());
    const auto weights = [&](const Tensor& like) { return for_weights ? at::zeros_like(like) : at::empty({0}, like.options()); };
    dw1 = weights(w1_), db1 = weights(b1_), dw2 = weights(w2_), db2 = weights(b2_);
    const int64_t rows = std::min(kPanel, z.size(0));
    const auto options = w1_.options();
    dh_ = at::empty({rows, w1.size(0)}, options);
    if (hidden.size(0) < z.size(0)) {
      h_ = at::empty({rows, w1.size(0)}, options);
    }
    if (!g || g_d) {
      u_ = at::empty({rows, z.size(1)}, options);
    }
  }

  void add_panel(int64_t begin, int64_t rows) {
    const Tensor z = part(z_, begin, rows);
    const Tensor g = g_ ? part(*g_, begin, rows) : Tensor();
    const bool kept = begin + rows <= hidden_.size(0);
    const Tensor h = kept ? hidden_.narrow(0, begin, rows) : h_.narrow(0, 0, rows);
    const Tensor u = u_.defined() ? u_.narrow(0, 0, rows) : g;
    const Tensor dh = dh_.narrow(0, 0, rows);
    const Blocks blocks(rows);
    at::parallel_for(0, blocks.count(), 1, [&](int64_t first, int64_t last) {
      const PlainNumbers plain;
      for (int64_t block = first; block < last; ++block) {
        const int64_t at = blocks.begin(block), n = blocks.length(block);
        const auto rows_of = [&](const Tensor& x) { return x.narrow(0, at, n); };
        if (!kept) {
          Tensor out = rows_of(h);
          at::mm_out(out, rows_of(z), w1_.t());
          bias_relu(out.mutable_data_ptr<work_t>(), b1_.const_data_ptr<work_t>(), n, out.size(1));
        }
        if (u_.defined()) {
          upstream(rows_of(u), rows_of(h), g.defined() ? rows_of(g) : g, begin + at);
        }
        Tensor out = rows_of(dh);
        at::mm_out(out, rows_of(u), w2_);
        relu_gradient(out.mutable_data_ptr<work_t>(), rows_of(h).template const_data_ptr<work_t>(), out.numel());
        if (dz.size(0) > 0) {
          to_z(dz.narrow(0, begin + at, n), g.defined() ? rows_of(g) : g, out);
        }
      }
    });
    if (for_weights_) {
      add_products(dh, z, u, h);
    }
  }

  Tensor dz, dw1, db1, dw2, db2;

 private:
  // dW1 += dh^T z, dW2 += u^T h, and the biases' sums, on all threads: half of them for each product.
  void add_products(const Tensor& dh, const Tensor& z, const Tensor& u, const Tensor& h) {
    const int64_t parts = (at::get_num_threads() + 1) / 2;
    at::parallel_for(0, 2 * parts, 1, [&](int64_t first, int64_t last) {
      const PlainNumbers plain;
      for (int64_t task = first; task < last; ++task) {
        const bool of_first = task < parts;
        add_product(of_first ? dw1 : dw2, of_first ? db1 : db2, of_first ? dh : u, of_first ? z : h, task % parts, parts);
      }
    });
  }

  // One part of the rows of dw += left^T right, and of db += the sums of left's columns.
  static void add_product(
      const Tensor& dw, const Tensor& db, const Tensor& left, const Tensor& right, int64_t part, int64_t parts) {
    const int64_t begin = dw.size(0) * part / parts, count = dw.size(0) * (part + 1) / parts - begin;
    const Tensor columns = left.narrow(1, begin, count);
    dw.narrow(0, begin, count).addmm_(columns.t(), right);
    db.narrow(0, begin, count).add_(columns.sum(0));
  }

  Tensor part(const Tensor& x, int64_t begin, int64_t rows) const {
    return x.narrow(0, begin, rows).to(dtype_).contiguous();
  }

  // u = g + g_d m / (d dim), with m = h W2^T + b2; a row that did not move has no direction, and gets g alone.
  void upstream(Tensor u, const Tensor& h, const Tensor& g, int64_t begin) const {
    const int64_t dim = u.size(1);
    work_t* to = u.mutable_data_ptr<work_t>();
    const work_t* from = g.defined() ? g.const_data_ptr<work_t>() : nullptr;
    if (g_d_.defined()) {
      at::mm_out(u, h, w2_.t());
    }
    const work_t* b2 = b2_.const_data_ptr<work_t>();
    for (int64_t row = 0; row < u.size(0); ++row, to += dim) {
      const work_t d = d_.const_data_ptr<work_t>()[begin + row];
      const work_t share =
          g_d_.defined() && d > 0 ? g_d_.const_data_ptr<work_t>()[begin + row] / (d * static_cast<work_t>(dim)) : 0;
      for (int64_t j = 0; j < dim; ++j) {
        const work_t along = share == 0 ? 0 : share * (to[j] + b2[j]);
        to[j] = (from ? from[row * dim + j] : 0) + along;
      }
    }
  }

  void to_z(Tensor out, const Tensor& g, const Tensor& dh) const {
    Tensor wide = out.scalar_type() == dtype_ ? out : at::empty(out.sizes(), w1_.options());
    if (g.defined()) {
      at::addmm_out(wide, g, dh, w1_);
    } else {
      at::mm_out(wide, dh, w1_);
    }
    if (!wide.is_same(out)) {
      out.copy_(wide);
    }
  }

  at::ScalarType dtype_;
  std::optional<Tensor> g_;
  Tensor g_d_, z_, d_, hidden_, w1_, b1_, w2_, b2_, dh_, h_, u_;
  bool for_weights_;
};

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> navigate_backward(
    const std::optional<Tensor>& g, const std::optional<Tensor>& g_d, const Tensor& z, const Tensor& w1,
    const Tensor& b1, const Tensor& w2, const Tensor& b2, const Tensor& d, const Tensor& hidden, bool for_z,
    bool for_weights) {
  const PlainNumbers plain;
  check_navigator(z, w1, b1, w2, b2);
  check_backward(g, g_d, z, d);
  check_hidden(hidden, z, w1.size(0));
  const auto run = [&](auto gradients) {
    for (int64_t begin = 0; begin < z.size(0); begin += kPanel) {
      gradients.add_panel(begin, std::min(kPanel, z.size(0) - begin));
    }
    const auto as = [](const Tensor& x, const Tensor& like) { return x.to(like.scalar_type()); };
    return std::make_tuple(
        gradients.dz, as(gradients.dw1, w1), as(gradients.db1, b1), as(gradients.dw2, w2), as(gradients.db2, b2));
  };
  if (accumulator(z) == at::kDouble) {
    return run(Gradients<double>(g, g_d, z, w1, b1, w2, b2, d, hidden, for_z, for_weights));
  }
  return run(Gradients<float>(g, g_d, z, w1, b1, w2, b2, d, hidden, for_z, for_weights));
}

}  // namespace

TORCH_LIBRARY_IMPL(copgen, CPU, m) { m.impl("navigate_backward", &navigate_backward); }

}  // namespace copgen::cpu
