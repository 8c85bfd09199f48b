// z' = z + W2 relu(W1 z + b1) + b2 in blocks of rows: two BLAS products with one pass over the block after each.

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <torch/library.h>

#include <cmath>
#include <tuple>

#include "../checks.h"
#include "blocks.h"
#include "rows.h"

namespace copgen::cpu {
namespace {

using at::Tensor;

// The latents, and the weights in the dtype that is computed with, without gaps.
struct Navigator {
  Tensor z, w1_t, b1, w2_t, b2;

  Navigator(const Tensor& z_, const Tensor& w1, const Tensor& b1_, const Tensor& w2, const Tensor& b2_) {
    const auto dtype = accumulator(z_);
    z = z_;
    w1_t = w1.to(dtype).contiguous().t();
    b1 = b1_.to(dtype).contiguous();
    w2_t = w2.to(dtype).contiguous().t();
    b2 = b2_.to(dtype).contiguous();
  }
};

// What one thread works with: a block of h, and of z and z' where those are 16-bit outside.
template <typename work_t>
class Worker {
 public:
  Worker(const Navigator& navigator, const Blocks& blocks, std::optional<double> delta, Tensor& z_pos, Tensor& d,
         Tensor& hidden)
      : navigator_(navigator), blocks_(blocks), z_pos_(z_pos), d_(d), hidden_(hidden),
        delta_(static_cast<work_t>(delta.value_or(INFINITY))), width_(navigator.b1.size(0)), dim_(z_pos.size(1)) {
    const auto options = navigator.b1.options();
    own_ = at::empty({blocks.size, width_}, options);
    if (z_pos.scalar_type() != navigator.b1.scalar_type()) {
      wide_z_ = at::empty({blocks.size, dim_}, options);
      wide_z_pos_ = at::empty({blocks.size, dim_}, options);
    }
  }

  void operator()(int64_t block, Sums& sums) {
    const int64_t begin = blocks_.begin(block), rows = blocks_.length(block);
    const Tensor z_outside = navigator_.z.narrow(0, begin, rows).contiguous(), out = z_pos_.narrow(0, begin, rows);
    const bool kept = begin + rows <= hidden_.size(0);
    Tensor h = kept ? hidden_.narrow(0, begin, rows) : own_.narrow(0, 0, rows);
    Tensor z = z_outside, z_pos = out;
    if (wide_z_.defined()) {
      z = wide_z_.narrow(0, 0, rows).copy_(z_outside);
      z_pos = wide_z_pos_.narrow(0, 0, rows);
    }
    at::mm_out(h, z, navigator_.w1_t);
    bias_relu(h.mutable_data_ptr<work_t>(), navigator_.b1.const_data_ptr<work_t>(), rows, width_);
    at::mm_out(z_pos, h, navigator_.w2_t);
    move(z, z_pos, d_.mutable_data_ptr<work_t>() + begin, rows, sums);
    if (wide_z_.defined()) {
      out.copy_(z_pos);
    }
    if (!kept && begin < hidden_.size(0)) {
      hidden_.narrow(0, begin, hidden_.size(0) - begin).copy_(h.narrow(0, 0, hidden_.size(0) - begin));
    }
  }

 private:
  // The residual, in place of W2 h, and the distances.
  void move(const Tensor& z, Tensor& z_pos, work_t* d, int64_t rows, Sums& sums) const {
    const work_t* from = z.const_data_ptr<work_t>();
    work_t* to = z_pos.mutable_data_ptr<work_t>();
    const work_t* b2 = navigator_.b2.const_data_ptr<work_t>();
    for (int64_t row = 0; row < rows; ++row, from += dim_, to += dim_) {
      const Row moved = residual(to, from, to, b2, dim_);
      d[row] = static_cast<work_t>(std::sqrt(moved.move_squared / static_cast<double>(dim_)));
      sums.add_row(d[row], d[row] > delta_, moved.move, moved.move_squared);
    }
  }

  const Navigator& navigator_;
  const Blocks& blocks_;
  Tensor &z_pos_, &d_, &hidden_;
  Tensor own_, wide_z_, wide_z_pos_;
  work_t delta_;
  int64_t width_, dim_;
};

template <typename work_t>
Sums run(const Navigator& navigator, std::optional<double> delta, Tensor& z_pos, Tensor& d, Tensor& hidden) {
  const Blocks blocks(z_pos.size(0));
  return over_blocks(blocks, [&] { return Worker<work_t>(navigator, blocks, delta, z_pos, d, hidden); });
}

std::tuple<Tensor, Tensor, Tensor, Tensor> navigate(
    const Tensor& z, const Tensor& w1, const Tensor& b1, const Tensor& w2, const Tensor& b2,
    std::optional<double> delta, int64_t kept) {
  const PlainNumbers plain;
  check_navigator(z, w1, b1, w2, b2);
  check_delta(delta);
  TORCH_CHECK_VALUE(kept >= 0 && kept <= z.size(0), "kept is ", kept, " for ", z.size(0), " rows.");
  const Navigator navigator(z, w1, b1, w2, b2);
  const auto options = z.options().dtype(accumulator(z));
  Tensor z_pos = at::empty(z.sizes(), z.options());
  Tensor d = at::empty({z.size(0)}, options);
  Tensor hidden = at::empty({kept, w1.size(0)}, options);
  Tensor stats = at::empty({kStatistics}, options.dtype(at::kDouble));
  const Sums sums = options.dtype() == at::kDouble ? run<double>(navigator, delta, z_pos, d, hidden)
                                                   : run<float>(navigator, delta, z_pos, d, hidden);
  sums.write(stats.mutable_data_ptr<double>(), z.size(0), z.size(1));
  return {z_pos, d, stats, hidden};
}

}  // namespace

TORCH_LIBRARY_IMPL(copgen, CPU, m) { m.impl("navigate", &navigate); }

}  // namespace copgen::cpu
