// The raw Philox words, from which copgen's other random numbers are derived: views, signs, permutations.

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <algorithm>

#include "../checks.h"
#include "../plain_numbers.h"
#include "rows.h"

namespace copgen::cpu {
namespace {

using at::Tensor;

Tensor philox_bits(const Tensor& rows, int64_t key, int64_t columns) {
  const PlainNumbers plain;
  check_draw(rows, columns);
  const Tensor numbers = rows.contiguous();
  const int64_t blocks = (columns + 3) / 4, count = numbers.size(0);
  Tensor words = at::empty({count, 4 * blocks}, numbers.options());
  const int64_t* row = numbers.const_data_ptr<int64_t>();
  int64_t* out = words.mutable_data_ptr<int64_t>();
  at::parallel_for(0, count, 8192 / std::max<int64_t>(1, blocks) + 1, [&](int64_t first, int64_t last) {
    for (int64_t k = first; k < last; ++k) {
      words_row(out + k * 4 * blocks, static_cast<uint64_t>(row[k]), static_cast<uint64_t>(key), blocks);
    }
  });
  return words.size(1) == columns ? words : words.narrow(1, 0, columns).contiguous();
}

}  // namespace

TORCH_LIBRARY_IMPL(copgen, CPU, m) { m.impl("philox_bits", &philox_bits); }

}  // namespace copgen::cpu
