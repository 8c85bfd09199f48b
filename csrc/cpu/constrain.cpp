// The constraint d(z, z') <= delta for a batch, in blocks of rows: reported, used to reject rows, or enforced by
// shrinking m.

#include <cmath>
#include <tuple>

#include "../checks.h"
#include "convert.h"
#include "row_blocks.h"
#include "rows.h"
#include "scratch.h"

namespace copgen::cpu {
namespace {

// Exactly z' if the row is within delta; otherwise z + share m.
template <typename work_t>
void shrink(work_t* out, const work_t* z, const work_t* z_pos, int64_t dim, work_t share) {
  for (int64_t j = 0; j < dim; ++j) {
    out[j] = share == 1 ? z_pos[j] : z[j] + share * (z_pos[j] - z[j]);
  }
}

// A block's rows in the dtype of the computation: in place if they already are, otherwise copied.
template <typename work_t>
class BlockOf {
 public:
  BlockOf(const Tensor& x, int64_t begin, int64_t rows, bool in_place)
      : copy_(Scratch::of<work_t>(in_place ? 0 : rows * x.size(1))),
        data(in_place ? x.const_data_ptr<work_t>() + begin * x.size(1) : copy_.template as<work_t>()) {
    if (!in_place) {
      read_rows(x, begin, rows, copy_.template as<work_t>());
    }
  }

 private:
  Scratch copy_;

 public:
  const work_t* data;
};

template <typename work_t>
Sums measure(const Tensor& z, const Tensor& z_pos, std::optional<double> delta, const Tensor& d, const Tensor& violates,
             const Tensor* projected) {
  const Blocks blocks(z.size(0));
  const int64_t dim = z.size(1);
  const bool native = z.scalar_type() == type_of<work_t>;
  const bool z_in_place = native && z.is_contiguous(), z_pos_in_place = native && z_pos.is_contiguous();
  const work_t bound = static_cast<work_t>(delta.value_or(INFINITY));
  work_t* distance = d.mutable_data_ptr<work_t>();
  bool* beyond = violates.mutable_data_ptr<bool>();
  return sums_over_blocks(blocks, [&] {
    return [&](int64_t block, Sums& sums) {
      const int64_t begin = blocks.begin(block), rows = blocks.length(block);
      const BlockOf<work_t> own(z, begin, rows, z_in_place), other(z_pos, begin, rows, z_pos_in_place);
      const Scratch wide = Scratch::of<work_t>(projected && !native ? rows * dim : 0);
      const work_t *from = own.data, *to = other.data;
      work_t* out = !projected ? nullptr : native ? projected->mutable_data_ptr<work_t>() + begin * dim : wide.as<work_t>();
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
      if (out && !native) {
        write_rows(*projected, begin, rows, out);
      }
    };
  });
}

// The indices of the rows within delta, then of the others, each in ascending order.
Tensor kept_first(const Tensor& violates, int64_t violations) {
  const Tensor order = unfilled(violates.sizes(), kLong);
  int64_t* out = order.mutable_data_ptr<int64_t>();
  const bool* beyond = violates.const_data_ptr<bool>();
  int64_t kept = 0, other = violates.size(0) - violations;
  for (int64_t row = 0; row < violates.size(0); ++row) {
    out[beyond[row] ? other++ : kept++] = row;
  }
  return order;
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> constrain(
    const Tensor& z, const Tensor& z_pos, std::optional<double> delta, std::string_view mode) {
  check_move(z, z_pos);
  check_delta(delta);
  check_mode(mode, delta);
  const bool wide = accumulator(z) == kDouble, project = mode == "project";
  const Tensor d = unfilled({z.size(0)}, accumulator(z)), violates = unfilled({z.size(0)}, kBool);
  const Tensor stats = unfilled({kStatistics}, kDouble);
  const Tensor projected = project ? unfilled(z.sizes(), z.scalar_type()) : unfilled({0}, z.scalar_type());
  const auto run = wide ? &measure<double> : &measure<float>;
  const Sums sums = run(z, z_pos, delta, d, violates, project ? &projected : nullptr);
  sums.write(stats.mutable_data_ptr<double>(), z.size(0), z.size(1));
  const Tensor order = mode == "reject" ? kept_first(violates, static_cast<int64_t>(sums.violations)) : unfilled({0}, kLong);
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
void gradients(const Tensor* g, const Tensor* g_d, const Tensor& z, const Tensor& z_pos, const Tensor& d,
               std::optional<double> delta, const Tensor& dz, const Tensor& dz_pos) {
  const work_t bound = static_cast<work_t>(delta.value_or(INFINITY));
  const int64_t dim = z.size(1);
  const Blocks blocks(z.size(0));
  const work_t *along = g ? g->const_data_ptr<work_t>() : nullptr, *along_d = g_d ? g_d->const_data_ptr<work_t>() : nullptr;
  const work_t *from = z.const_data_ptr<work_t>(), *to = z_pos.const_data_ptr<work_t>();
  const work_t* distance = d.const_data_ptr<work_t>();
  work_t *out = dz.mutable_data_ptr<work_t>(), *out_pos = dz_pos.mutable_data_ptr<work_t>();
  torch::stable::parallel_for(0, z.size(0), blocks.size, [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
      const int64_t at = row * dim;
      gradient_row<work_t>(
          along ? along + at : nullptr, along_d ? along_d[row] : 0, from + at, to + at, distance[row], bound, dim, out + at,
          out_pos + at);
    }
  });
}

std::tuple<Tensor, Tensor> constrain_backward(
    const std::optional<Tensor>& g, const std::optional<Tensor>& g_d, const Tensor& z, const Tensor& z_pos,
    const Tensor& d, std::optional<double> delta) {
  check_move(z, z_pos);
  check_backward(g, g_d, z, d);
  const ScalarType dtype = accumulator(z);
  const auto wide = [&](const std::optional<Tensor>& x) { return x ? std::optional(numbers(*x, dtype)) : std::nullopt; };
  const auto place = [](const std::optional<Tensor>& x) { return x ? &*x : nullptr; };
  const Tensor from = numbers(z, dtype), to = numbers(z_pos, dtype), distances = dense(d);
  const std::optional<Tensor> upstream = wide(g), upstream_d = wide(g_d);
  const Tensor dz = unfilled(z.sizes(), dtype), dz_pos = unfilled(z.sizes(), dtype);
  const auto run = dtype == kDouble ? &gradients<double> : &gradients<float>;
  run(place(upstream), place(upstream_d), from, to, distances, delta, dz, dz_pos);
  return {as(dz, z.scalar_type()), as(dz_pos, z.scalar_type())};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(copgen, CPU, m) {
  m.impl("constrain", TORCH_BOX(&constrain));
  m.impl("constrain_backward", TORCH_BOX(&constrain_backward));
}

}  // namespace copgen::cpu
