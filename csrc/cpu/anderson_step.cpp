// One step of Anderson acceleration for the items of a batch that have not converged; also determines which those are.
// Items are independent of each other.

#include <algorithm>
#include <functional>
#include <memory>
#include <tuple>

#include "../checks.h"
#include "../tensor.h"
#include "rows.h"

namespace copgen::cpu {
namespace {

constexpr int64_t kGrain = 8192;  // coordinates per thread, at least

std::tuple<Tensor, Tensor> anderson_step(
    const Tensor& x, const Tensor& proposal, const Tensor& rows, const Tensor& bound, const Tensor& vectors,
    const Tensor& scalars, int64_t slot) {
  check_anderson(x, proposal, rows, bound, vectors, scalars, slot);
  const int64_t count = x.size(0), dim = x.size(1), items = bound.size(0), window = scalars.size(1) - 1;
  const Tensor from = dense(x), to = dense(proposal);
  const Tensor numbers = dense(rows), limit = dense(bound);
  Tensor next = unfilled(from.sizes(), from.scalar_type()), left = unfilled(numbers.sizes(), kLong);
  int64_t* left_over = left.mutable_data_ptr<int64_t>();
  const int64_t* number = numbers.const_data_ptr<int64_t>();
  const bool known = std::all_of(number, number + count, [=](int64_t row) { return row >= 0 && row < items; });
  const bool apart = std::adjacent_find(number, number + count, std::greater_equal<int64_t>()) == number + count;
  COPGEN_CHECK(known && apart, "rows must be item indices in ascending order.");
  const auto goes_on = std::make_unique<bool[]>(count);
  int64_t kept = 0;
  const auto step = [&](auto kind) {
    using scalar_t = decltype(kind);
    scalar_t* out = next.mutable_data_ptr<scalar_t>();
    const scalar_t *a = from.const_data_ptr<scalar_t>(), *b = to.const_data_ptr<scalar_t>();
    const scalar_t* bounds = limit.const_data_ptr<scalar_t>();
    scalar_t *vector = vectors.mutable_data_ptr<scalar_t>(), *scalar = scalars.mutable_data_ptr<scalar_t>();
    const int64_t grain = std::max<int64_t>(1, kGrain / std::max<int64_t>(1, dim));
    torch::stable::parallel_for(0, count, grain, [&](int64_t first, int64_t last) {
      for (int64_t k = first; k < last; ++k) {
        const int64_t row = number[k];
        const Memory<scalar_t> memory{
            vector + row * (2 + 2 * window) * dim, scalar + row * (1 + window), dim, window, slot};
        goes_on[k] = anderson(out + k * dim, a + k * dim, b + k * dim, bounds[row], memory);
      }
    });
    for (int64_t k = 0; k < count; ++k) {
      if (!goes_on[k]) {
        continue;
      }
      if (k != kept) {
        std::copy_n(out + k * dim, dim, out + kept * dim);
      }
      left_over[kept++] = number[k];
    }
  };
  from.scalar_type() == kDouble ? step(double{}) : step(float{});
  return {narrow(next, 0, kept), narrow(left, 0, kept)};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(copgen, CPU, m) { m.impl("anderson_step", TORCH_BOX(&anderson_step)); }

}  // namespace copgen::cpu
