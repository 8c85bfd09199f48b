// The fixed points of x <- y - g(x), independently for each item, by Anderson acceleration (anderson.py in
// copgen/generators/residual_flow/). A thread iterates a few items side by side, evaluating g for them together; a
// finished item is replaced by the next one. So their data stays in a core's cache, and products stay large until the
// last items.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "rows.h"

namespace copgen::cpu {

constexpr int64_t kSideBySide = 48;

// Shared by all threads.
struct FixedPoints {
  int64_t dim, window, max_rounds;
  const float *y, *bound;
  float* x;  // the results; NaN for items that did not converge
};

class SideBySide {
 public:
  explicit SideBySide(const FixedPoints& task)
      : task_(task), vectors_(kSideBySide * (2 + 2 * task.window) * task.dim), scalars_(kSideBySide * (1 + task.window)),
        x_(kSideBySide * task.dim), proposal_(x_.size()) {
    for (int64_t k = 0; k < kSideBySide; ++k) {
      items_[k].memory = k;
    }
  }

  // g(count, indices of the items, x, out): out = g(x) for contiguous rows.
  template <typename G>
  void run(int64_t begin, int64_t end, const G& g) {
    int64_t rows[kSideBySide];
    for (int64_t count = 0, next = begin; count > 0 || next < end;) {
      for (; count < kSideBySide && next < end; ++count, ++next) {
        start(count, next);
      }
      for (int64_t k = 0; k < count; ++k) {
        rows[k] = items_[k].row;
      }
      g(count, rows, x_.data(), proposal_.data());
      int64_t kept = 0;
      for (int64_t k = 0; k < count; ++k) {
        if (step(k, kept)) {
          std::swap(items_[kept++], items_[k]);
        }
      }
      count = kept;
    }
  }

 private:
  struct Item {
    int64_t row, rounds, memory;
  };

  void start(int64_t k, int64_t row) {
    items_[k].row = row, items_[k].rounds = 0;
    float* scalars = scalars_.data() + items_[k].memory * (1 + task_.window);
    std::fill_n(scalars, 1 + task_.window, 0.0f);
    *scalars = std::numeric_limits<float>::infinity();
    std::copy_n(task_.y + row * task_.dim, task_.dim, x_.data() + k * task_.dim);
  }

  // Whether the item continues; its x is then at `to` <= k.
  bool step(int64_t k, int64_t to) {
    const int64_t dim = task_.dim, window = task_.window;
    Item& item = items_[k];
    const float* y = task_.y + item.row * dim;
    float *proposal = proposal_.data() + k * dim, *vectors = vectors_.data() + item.memory * (2 + 2 * window) * dim;
    for (int64_t j = 0; j < dim; ++j) {
      proposal[j] = y[j] - proposal[j];
    }
    const Memory<float> memory{
        vectors, scalars_.data() + item.memory * (1 + window), dim, window, item.rounds++ % std::max<int64_t>(1, window)};
    if (!anderson(x_.data() + to * dim, x_.data() + k * dim, proposal, task_.bound[item.row], memory)) {
      std::copy_n(vectors, dim, task_.x + item.row * dim);  // the base
      return false;
    }
    if (item.rounds >= task_.max_rounds) {
      std::fill_n(task_.x + item.row * dim, dim, std::numeric_limits<float>::quiet_NaN());
      return false;
    }
    return true;
  }

  const FixedPoints& task_;
  Item items_[kSideBySide];
  std::vector<float> vectors_, scalars_, x_, proposal_;
};

}  // namespace copgen::cpu
