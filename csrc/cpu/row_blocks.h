// Blocks of rows whose intermediates stay in a core's cache. Blocks, and so results, do not depend on the number of
// threads.
#pragma once

#include <torch/csrc/stable/ops.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

#include "../statistics.h"

namespace copgen::cpu {

struct Blocks {
  static constexpr int64_t kLargest = 128;

  int64_t rows;
  int64_t size;

  // A batch of 64 still makes two blocks and one of 256 four. Products of fewer rows are slower per row, and beyond 128
  // rows they do not get faster.
  explicit Blocks(int64_t rows_) : rows(rows_), size(std::clamp<int64_t>(rows_ / 4, 32, kLargest)) {}

  int64_t count() const { return (rows + size - 1) / size; }
  int64_t begin(int64_t block) const { return block * size; }
  int64_t length(int64_t block) const { return std::min(size, rows - begin(block)); }
};

// Calls make_work()(block) for all blocks, with one worker per thread. Threads take blocks dynamically: half of a small
// batch is done before the last thread has woken up, and threads differ in speed as data may be in another core's cache.
template <typename MakeWork>
void over_blocks(const Blocks& blocks, const MakeWork& make_work) {
  const int64_t count = blocks.count();
  std::atomic<int64_t> next{0};
  torch::stable::parallel_for(0, std::min<int64_t>(count, torch::stable::get_num_threads()), 1, [&](int64_t, int64_t) {
    auto work = make_work();
    for (int64_t block = next++; block < count; block = next++) {
      work(block);
    }
  });
}

// The same with make_work()(block, its sums); returns the total of the sums, added in the order of the blocks.
template <typename MakeWork>
Sums sums_over_blocks(const Blocks& blocks, const MakeWork& make_work) {
  std::vector<Sums> sums(blocks.count());
  over_blocks(blocks, [&] {
    return [&, work = make_work()](int64_t block) mutable {
      Sums own;  // local, to avoid false sharing of a cache line
      work(block, own);
      sums[block] = own;
    };
  });
  Sums total;
  for (const Sums& part : sums) {
    total.add(part);
  }
  return total;
}

}  // namespace copgen::cpu
