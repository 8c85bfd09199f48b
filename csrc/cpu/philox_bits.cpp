// The raw Philox words, from which copgen's other random numbers are derived: views, signs, permutations.

#include <algorithm>

#include "../checks.h"
#include "rows.h"

namespace copgen::cpu {
namespace {

Tensor philox_bits(const Tensor& rows, int64_t key, int64_t columns) {
  check_draw(rows, columns);
  const Tensor numbers = dense(rows);
  const int64_t blocks = (columns + 3) / 4, count = numbers.size(0);
  Tensor words = unfilled({count, 4 * blocks}, kLong);
  const int64_t* row = numbers.const_data_ptr<int64_t>();
  int64_t* out = words.mutable_data_ptr<int64_t>();
  torch::stable::parallel_for(0, count, 8192 / std::max<int64_t>(1, blocks) + 1, [&](int64_t first, int64_t last) {
    for (int64_t k = first; k < last; ++k) {
      words_row(out + k * 4 * blocks, static_cast<uint64_t>(row[k]), static_cast<uint64_t>(key), blocks);
    }
  });
  return 4 * blocks == columns ? words : dense(torch::stable::narrow(words, 1, 0, columns));
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(copgen, CPU, m) { m.impl("philox_bits", TORCH_BOX(&philox_bits)); }

}  // namespace copgen::cpu
