// The constraint d(z, z') <= delta for a batch, in blocks of rows: reported, used to reject rows, or enforced by
// shrinking m.

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include <cmath>
#include <tuple>

#include "../checks.h"
#include "row_blocks.h"
#include "rows.h"

namespace copgen::cpu {
namespace {

using at::Tensor;

// Exactly z' if the row is within delta; otherwise z + share m.
template <typename work_t>
void shrink(work_t* out, const work_t* z, const work_t* z_pos, int64_t dim, work_t share) {
  for (int64_t j = 0; j < dim; ++j) {
    out[j] = share == 1 ? z_pos[j] : z[j] + share * (z_pos[j] - z[j]);
  }
}

// A block's rows, contiguous and in the dtype of the computation; a view if they already are.
Tensor block_of(const Tensor& x, at::ScalarType dtype, int64_t begin, int64_t rows) {
  return x.narrow(0, begin, rows).to(dtype).contiguous();
}

template <typename work_t>
Sums measure(const Tensor& z, const Tensor& z_pos, std::optional<double> delta, Tensor& d, Tensor& violates,
             Tensor* projected) {
  const Blocks blocks(z.size(0));
  const int64_t dim = z.size(1);
  const auto dtype = d.scalar_type();
  const work_t bound = static_cast<work_t>(delta.value_or(INFINITY));
  work_t* distance = d.mutable_data_ptr<work_t>();
  bool* beyond = violates.mutable_data_ptr<bool>();
  return sums_over_blocks(blocks, [&] {
    return [&](int64_t block, Sums& sums) {
      const int64_t begin = blocks.begin(block), rows = blocks.length(block);
      const Tensor own = block_of(z, dtype, begin, rows), other = block_of(z_pos, dtype, begin, rows);
      const work_t *from = own.const_data_ptr<work_t>(), *to = other.const_data_ptr<work_t>();
      Tensor shrunk = projected ? projected->narrow(0, begin, rows) : Tensor();
      Tensor wide = projected && shrunk.scalar_type() != dtype ? at::empty_like(own) : shrunk;
      work_t* out = projected ? wide.mutable_data_ptr<work_t>() : nullptr;
      for (int64_t k = 0; k < rows; ++k, from += dim, to += dim) {
        const int64_t row = begin + k;
        const Row moved = difference(from, to, dim);
        distance[row] = static_cast<work_t>(std::sqrt(moved.move_squared / static_cast<double>(dim)));
        beyond[row] = distance[row] > bound;
        sums.add_row(distance[row], beyond[row], moved.move, moved.move_squared);
        if (out) {
          shrink(out + k * dim, from, to, dim, beyond[row] ? bound / distance[row] : 1);
        }
      }
      if (out && !wide.is_same(shrunk)) {
        shrunk.copy_(wide);
      }
    };
  });
}

// The indices of the rows within delta, then of the others, each in ascending order.
Tensor kept_first(const Tensor& violates, int64_t violations) {
  Tensor order = at::empty(violates.sizes(), violates.options().dtype(at::kLong));
  int64_t* out = order.mutable_data_ptr<int64_t>();
  const bool* beyond = violates.const_data_ptr<bool>();
  int64_t kept = 0, other = violates.size(0) - violations;
  for (int64_t row = 0; row < violates.size(0); ++row) {
    out[beyond[row] ? other++ : kept++] = row;
  }
  return order;
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> constrain(
    const Tensor& z, const Tensor& z_pos, std::optional<double> delta, c10::string_view mode) {
  const PlainNumbers plain;
  check_move(z, z_pos);
  check_delta(delta);
  check_mode(mode, delta);
  const auto dtype = accumulator(z);
  Tensor d = at::empty({z.size(0)}, z.options().dtype(dtype));
  Tensor violates = at::empty({z.size(0)}, z.options().dtype(at::kBool));
  Tensor stats = at::empty({kStatistics}, z.options().dtype(at::kDouble));
  Tensor projected = mode == "project" ? at::empty(z.sizes(), z.options()) : at::empty({0}, z.options());
  Tensor* out = mode == "project" ? &projected : nullptr;
  const Sums sums = dtype == at::kDouble ? measure<double>(z, z_pos, delta, d, violates, out)
                                         : measure<float>(z, z_pos, delta, d, violates, out);
  sums.write(stats.mutable_data_ptr<double>(), z.size(0), z.size(1));
  Tensor order = mode == "reject" ? kept_first(violates, static_cast<int64_t>(sums.violations))
                                  : at::empty({0}, violates.options().dtype(at::kLong));
  return {projected, d, violates, order, stats};
}

// If a row was shrunk, z'' = z + s m with s = delta / d, which falls as d grows; otherwise z'' = z'.
template <typename work_t>
void gradient_row(const work_t* g, work_t g_d, const work_t* z, const work_t* z_pos, work_t d, work_t bound,
                  int64_t dim, work_t* dz, work_t* dz_pos) {
  const bool shrunk = d > bound;
  const work_t share = shrunk ? bound / d : 1;
  const work_t square = d * d * static_cast<work_t>(dim);
  work_t along = 0;  // <m, g> / ||m||^2
  if (shrunk && g) {
    for (int64_t j = 0; j < dim; ++j) {
      along += (z_pos[j] - z[j]) * g[j];
    }
    along /= square;
  }
  const work_t direction = d > 0 ? g_d / (d * static_cast<work_t>(dim)) : 0;
  for (int64_t j = 0; j < dim; ++j) {
    const work_t m = z_pos[j] - z[j], upstream = g ? g[j] : 0;
    const work_t to_m = share * (upstream - along * m) + (direction == 0 ? 0 : direction * m);
    dz_pos[j] = to_m;
    dz[j] = upstream - to_m;
  }
}

template <typename work_t>
void gradients(const Tensor& g, const Tensor& g_d, const Tensor& z, const Tensor& z_pos, const Tensor& d,
               std::optional<double> delta, Tensor& dz, Tensor& dz_pos) {
  const work_t bound = static_cast<work_t>(delta.value_or(INFINITY));
  const int64_t dim = z.size(1);
  const Blocks blocks(z.size(0));
  at::parallel_for(0, z.size(0), blocks.size, [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
      const int64_t at = row * dim;
      gradient_row<work_t>(
          g.defined() ? g.const_data_ptr<work_t>() + at : nullptr,
          g_d.defined() ? g_d.const_data_ptr<work_t>()[row] : 0, z.const_data_ptr<work_t>() + at,
          z_pos.const_data_ptr<work_t>() + at, d.const_data_ptr<work_t>()[row], bound, dim,
          dz.mutable_data_ptr<work_t>() + at, dz_pos.mutable_data_ptr<work_t>() + at);
    }
  });
}

std::tuple<Tensor, Tensor> constrain_backward(
    const std::optional<Tensor>& g, const std::optional<Tensor>& g_d, const Tensor& z, const Tensor& z_pos,
    const Tensor& d, std::optional<double> delta) {
  const PlainNumbers plain;
  check_move(z, z_pos);
  check_backward(g, g_d, z, d);
  const auto dtype = accumulator(z);
  const auto as_work = [&](const std::optional<Tensor>& x) { return x ? x->to(dtype).contiguous() : Tensor(); };
  const Tensor from = z.to(dtype).contiguous(), to = z_pos.to(dtype).contiguous();
  Tensor dz = at::empty_like(from), dz_pos = at::empty_like(from);
  const auto run = dtype == at::kDouble ? &gradients<double> : &gradients<float>;
  run(as_work(g), as_work(g_d), from, to, d.contiguous(), delta, dz, dz_pos);
  return {dz.to(z.scalar_type()), dz_pos.to(z.scalar_type())};
}

}  // namespace

TORCH_LIBRARY_IMPL(copgen, CPU, m) {
  m.impl("constrain", &constrain);
  m.impl("constrain_backward", &constrain_backward);
}

}  // namespace copgen::cpu
