// The gradients of navigate. With u the gradient of m = z' - z:
//
//   u = g + g_d m / (d dim)     dh = (u W2) [h > 0]     dz = g + dh W1     dW2 = u^T h     dW1 = dh^T z
//
// In panels of rows: within a panel, first blocks of rows on all threads as in navigate.cpp; then the two products that
// sum over rows, in parallel, each thread with its own part of the outputs. Only the outputs are as large as the batch.

#include <algorithm>
#include <tuple>
#include <utility>

#include "../checks.h"
#include "convert.h"
#include "linear.h"
#include "row_blocks.h"
#include "rows.h"
#include "scratch.h"

namespace copgen::cpu {
namespace {

constexpr int64_t kPanel = 2048;  // rows: enough for products over them to run at full speed

template <typename work_t>
class Gradients {
 public:
  Gradients(const std::optional<Tensor>& g, const std::optional<Tensor>& g_d, const Tensor& z, const Tensor& w1,
            const Tensor& b1, const Tensor& w2, const Tensor& b2, const Tensor& d, const Tensor& hidden, bool for_z,
            bool for_weights)
      : g_(g), z_(z), d_(dense(d)), hidden_(hidden), w1_(numbers<work_t>(w1)), b1_(numbers<work_t>(b1)), w2_(numbers<work_t>(w2)),
        b2_(numbers<work_t>(b2)), dim_(z.size(1)), width_(w1.size(0)), for_weights_(for_weights),
        recomputes_(hidden.size(0) < z.size(0)), adds_(!g || g_d), dh_(panel(true, width_)), h_(panel(recomputes_, width_)),
        u_(panel(adds_, dim_)), to_hidden_(z.size(0), w2_, true) {
    const auto made = [](bool wanted, const Tensor& like) {
      return wanted ? unfilled(like.sizes(), like.scalar_type()) : unfilled({0}, like.scalar_type());
    };
    dz = made(for_z, z);
    for (auto [gradient, like] : {std::pair{&dw1, &w1_}, {&db1, &b1_}, {&dw2, &w2_}, {&db2, &b2_}}) {
      *gradient = made(for_weights, *like);
      if (z.size(0) == 0) {
        // If there is a panel, the first one overwrites it.
        std::fill_n(gradient->template mutable_data_ptr<work_t>(), gradient->numel(), work_t{0});
      }
    }
    if (recomputes_) {
      to_h_.emplace(z.size(0), w1_);
    }
    if (g_d) {
      g_d_ = numbers<work_t>(*g_d);
      to_move_.emplace(z.size(0), w2_);
    }
    if (for_z) {
      to_z_.emplace(z.size(0), w1_, true);
    }
  }

  void add_panel(int64_t begin, int64_t rows) {
    const Tensor z = part(z_, begin, rows), g = g_ ? part(*g_, begin, rows) : z;
    const bool kept = begin + rows <= hidden_.size(0);
    work_t* const own_h = kept ? nullptr : h_.template as<work_t>();
    const Panel panel{
        begin, z.const_data_ptr<work_t>(), g_ ? g.const_data_ptr<work_t>() : nullptr,
        kept ? hidden_.const_data_ptr<work_t>() + begin * width_ : own_h, own_h,
        adds_ ? u_.template as<work_t>() : nullptr, dh_.template as<work_t>()};
    const Blocks blocks(rows);
    over_blocks(blocks, [&] {
      return [&](int64_t block) { add_block(panel, blocks.begin(block), blocks.length(block)); };
    });
    if (for_weights_) {
      add_products(begin > 0, rows, panel.dh, panel.z, panel.u ? panel.u : panel.g, panel.h);
    }
  }

  Tensor dz, dw1, db1, dw2, db2;

 private:
  // The start of a panel's rows in each buffer; `own_h` if h is recomputed, `u` if it is not g.
  struct Panel {
    int64_t begin;
    const work_t *z, *g, *h;
    work_t *own_h, *u, *dh;
  };

  Scratch panel(bool wanted, int64_t columns) const {
    return Scratch::of<work_t>(wanted ? std::min(kPanel, z_.size(0)) * columns : 0);
  }

  void add_block(const Panel& panel, int64_t at, int64_t rows) const {
    const work_t *h = panel.h + at * width_, *g = panel.g ? panel.g + at * dim_ : nullptr;
    work_t* dh = panel.dh + at * width_;
    if (panel.own_h) {
      (*to_h_)(rows, panel.z + at * dim_, panel.own_h + at * width_);
      bias_relu(panel.own_h + at * width_, b1_.template const_data_ptr<work_t>(), rows, width_);
    }
    if (panel.u) {
      upstream(panel.u + at * dim_, h, g, panel.begin + at, rows);
    }
    to_hidden_(rows, panel.u ? panel.u + at * dim_ : g, dh);
    relu_gradient(dh, h, rows * width_);
    if (to_z_) {
      add_to_z(panel.begin + at, rows, g, dh);
    }
  }

  // u = g + g_d m / (d dim), with m = h W2^T + b2; a row with m = 0 has no direction, and gets only g.
  void upstream(work_t* to, const work_t* h, const work_t* g, int64_t begin, int64_t rows) const {
    if (to_move_) {
      (*to_move_)(rows, h, to);
    }
    const work_t *b2 = b2_.template const_data_ptr<work_t>(), *distance = d_.template const_data_ptr<work_t>() + begin;
    const work_t* of_distance = to_move_ ? g_d_.template const_data_ptr<work_t>() + begin : nullptr;
    for (int64_t row = 0; row < rows; ++row, to += dim_) {
      const work_t d = distance[row];
      const work_t share = of_distance && d > 0 ? of_distance[row] / (d * static_cast<work_t>(dim_)) : 0;
      for (int64_t j = 0; j < dim_; ++j) {
        const work_t along = share == 0 ? 0 : share * (to[j] + b2[j]);
        to[j] = (g ? g[row * dim_ + j] : 0) + along;
      }
    }
  }

  // dz = g + dh W1
  void add_to_z(int64_t begin, int64_t rows, const work_t* g, const work_t* dh) const {
    const bool native = dz.scalar_type() == type_of<work_t>;
    const Scratch wide = Scratch::of<work_t>(native ? 0 : rows * dim_);
    work_t* to = native ? dz.mutable_data_ptr<work_t>() + begin * dim_ : wide.as<work_t>();
    if (g) {
      std::copy(g, g + rows * dim_, to);
    }
    (*to_z_)(rows, dh, to, g != nullptr);
    if (!native) {
      write_rows(dz, begin, rows, to);
    }
  }

  // dW1 += dh^T z, dW2 += u^T h, and the sums for the biases, with half of the threads for each product.
  void add_products(bool add, int64_t rows, const work_t* dh, const work_t* z, const work_t* u, const work_t* h) {
    const int64_t parts = (static_cast<int64_t>(torch::stable::get_num_threads()) + 1) / 2;
    torch::stable::parallel_for(0, 2 * parts, 1, [&](int64_t first, int64_t last) {
      for (int64_t task = first; task < last; ++task) {
        const int64_t part = task % parts;
        if (task < parts) {
          add_product(add, rows, dh, z, dw1, db1, part, parts);
        } else {
          add_product(add, rows, u, h, dw2, db2, part, parts);
        }
      }
    });
  }

  // A part of the rows of dw += left^T right, and of db += the sums of left's columns.
  static void add_product(
      bool add, int64_t count, const work_t* left, const work_t* right, const Tensor& dw, const Tensor& db, int64_t part,
      int64_t parts) {
    const int64_t outputs = dw.size(0), inputs = dw.size(1);
    const int64_t begin = outputs * part / parts, rows = outputs * (part + 1) / parts - begin;
    work_t* sums = db.mutable_data_ptr<work_t>() + begin;
    outer(count, rows, inputs, left + begin, outputs, right, dw.mutable_data_ptr<work_t>() + begin * inputs, add);
    if (!add) {
      std::fill_n(sums, rows, work_t{0});
    }
    add_columns(sums, left + begin, outputs, count, rows);
  }

  static Tensor part(const Tensor& x, int64_t begin, int64_t rows) {
    return numbers<work_t>(rows == x.size(0) ? x : narrow(x, begin, rows));
  }

  std::optional<Tensor> g_;
  Tensor z_, d_, hidden_, w1_, b1_, w2_, b2_, g_d_;
  int64_t dim_, width_;
  bool for_weights_, recomputes_, adds_;
  Scratch dh_, h_, u_;
  Linear<work_t> to_hidden_;
  std::optional<Linear<work_t>> to_h_, to_move_, to_z_;
};

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> navigate_backward(
    const std::optional<Tensor>& g, const std::optional<Tensor>& g_d, const Tensor& z, const Tensor& w1,
    const Tensor& b1, const Tensor& w2, const Tensor& b2, const Tensor& d, const Tensor& hidden, bool for_z,
    bool for_weights) {
  check_navigator(z, w1, b1, w2, b2);
  check_backward(g, g_d, z, d);
  check_hidden(hidden, z, w1.size(0));
  const auto run = [&](auto&& gradients) {
    for (int64_t begin = 0; begin < z.size(0); begin += kPanel) {
      gradients.add_panel(begin, std::min(kPanel, z.size(0) - begin));
    }
    return std::make_tuple(
        gradients.dz, as(gradients.dw1, w1.scalar_type()), as(gradients.db1, b1.scalar_type()),
        as(gradients.dw2, w2.scalar_type()), as(gradients.db2, b2.scalar_type()));
  };
  if (accumulator(z) == kDouble) {
    return run(Gradients<double>(g, g_d, z, w1, b1, w2, b2, d, hidden, for_z, for_weights));
  }
  return run(Gradients<float>(g, g_d, z, w1, b1, w2, b2, d, hidden, for_z, for_weights));
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(copgen, CPU, m) { m.impl("navigate_backward", TORCH_BOX(&navigate_backward)); }

}  // namespace copgen::cpu
