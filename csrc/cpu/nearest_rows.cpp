// The rows of a bank with the largest products; see copgen/evaluation/pruned_pairs.py. A product of a few coordinates bounds
// that of all: it is compared in registers with the k-th largest that a query knows so far, and the product of all
// coordinates is computed of the pairs that reach it.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <tuple>
#include <vector>

#include "../tensor.h"
#include "products.h"

namespace copgen::cpu {
namespace {

constexpr int64_t kRows = 96;  // of the bank, for one panel of queries after the other: they stay in the L2 cache

struct Neighbour {
  float product;
  int64_t row;
};

// Of a heap: its first element is the worst.
bool better(const Neighbour& a, const Neighbour& b) { return a.product > b.product; }

struct Task {
  const Kernels& with;
  const float *bank, *coarse, *queries, *coarse_queries;
  int64_t rows, dim, coarse_dim, region, k;
  float margin;
};

// The neighbours of a block of queries.
class Block {
 public:
  Block(const Task& task, int64_t first, int64_t count)
      : task_(task), queries_(task.queries + first * task.dim),
        packed_(task.with, task.coarse_dim, count, {task.coarse_queries + first * task.coarse_dim, 1, task.coarse_dim}),
        known_(packed_.panels() * task.with.width, std::numeric_limits<float>::infinity()), heaps_(count * task.k),
        filled_(count), places_(kRows * task.with.width) {
    std::fill_n(known_.begin(), count, -std::numeric_limits<float>::infinity());
  }

  // Compares rows begin to end.
  void visit(int64_t begin, int64_t end) {
    for (; begin < end; begin += kRows) {
      const int64_t rows = std::min(kRows, end - begin);
      for (int64_t panel = 0; panel < packed_.panels(); ++panel) {
        const int64_t column = panel * task_.with.width;
        int64_t count = 0;
        packed_.reaching(
            panel, rows, {task_.coarse + begin * task_.coarse_dim, task_.coarse_dim, 1},
            {known_.data() + column, places_.data(), &count});
        for (const Place* place = places_.data(); place < places_.data() + count; ++place) {
          compare(column + place->column, begin + place->row);
        }
        compared_ += count;
      }
    }
  }

  // Writes the neighbours, best first, and returns whether all queries have k.
  bool finish(float* products, int64_t* rows) {
    for (int64_t query = 0; query < static_cast<int64_t>(filled_.size()); ++query) {
      Neighbour* heap = heaps_.data() + query * task_.k;
      if (filled_[query] < task_.k) {
        return false;
      }
      std::sort_heap(heap, heap + task_.k, better);
      for (const Neighbour* one = heap; one < heap + task_.k; ++one) {
        *products++ = one->product, *rows++ = one->row;
      }
    }
    return true;
  }

  int64_t compared() const { return compared_; }

 private:
  void compare(int64_t query, int64_t row) {
    const float product = task_.with.dot(task_.dim, task_.bank + row * task_.dim, queries_ + query * task_.dim);
    Neighbour *heap = heaps_.data() + query * task_.k, *end = heap + task_.k;
    int64_t& filled = filled_[query];
    if (filled < task_.k) {
      if (std::isnan(product)) {
        return;
      }
      heap[filled++] = {product, row};
      std::push_heap(heap, heap + filled, better);
    } else if (product > heap->product) {
      std::pop_heap(heap, end, better);
      end[-1] = {product, row};
      std::push_heap(heap, end, better);
    } else {
      return;
    }
    if (filled == task_.k) {
      known_[query] = heap->product - task_.margin;
    }
  }

  const Task& task_;
  const float* queries_;
  const Packed packed_;
  std::vector<float> known_;
  std::vector<Neighbour> heaps_;
  std::vector<int64_t> filled_;
  std::vector<Place> places_;
  int64_t compared_ = 0;
};

void check(const char* name, const Tensor& x, ScalarType type, int64_t rows, int64_t columns) {
  COPGEN_CHECK(x.dim() == 2 && x.scalar_type() == type && x.is_contiguous(), name, " is not a contiguous ", type, " matrix.");
  COPGEN_CHECK(same(x.sizes(), {rows, columns}), name, " has shape ", x.sizes(), "; expected [", rows, ", ", columns, "].");
}

std::tuple<Tensor, Tensor, Tensor> nearest_rows(
    const Tensor& bank, const Tensor& coarse, const Tensor& queries, const Tensor& coarse_queries, const Tensor& visits,
    int64_t block, int64_t region, int64_t k, double margin) {
  COPGEN_CHECK(bank.dim() == 2 && coarse.dim() == 2 && queries.dim() == 2, "bank, coarse and queries must be matrices.");
  COPGEN_CHECK(block > 0 && region > 0, "block and region must be positive.");
  const int64_t rows = bank.size(0), dim = bank.size(1), coarse_dim = coarse.size(1), count = queries.size(0);
  const int64_t blocks = (count + block - 1) / block, regions = (rows + region - 1) / region;
  check("bank", bank, kFloat, rows, dim), check("coarse", coarse, kFloat, rows, coarse_dim);
  check("queries", queries, kFloat, count, dim), check("coarse_queries", coarse_queries, kFloat, count, coarse_dim);
  check("visits", visits, kLong, blocks, regions);
  COPGEN_CHECK(0 < k && k <= rows, "k is ", k, "; expected 1 to ", rows, ".");
  const Kernels* with = kernels();
  COPGEN_CHECK(with, "This processor has neither AVX-512 nor AVX2.");
  const Task task{
      *with, bank.const_data_ptr<float>(), coarse.const_data_ptr<float>(), queries.const_data_ptr<float>(),
      coarse_queries.const_data_ptr<float>(), rows, dim, coarse_dim, region, k, static_cast<float>(margin)};
  const int64_t* order = visits.const_data_ptr<int64_t>();
  COPGEN_CHECK(
      std::all_of(order, order + blocks * regions, [&](int64_t one) { return 0 <= one && one < regions; }),
      "visits has a region that is not there; there are ", regions, ".");
  Tensor products = unfilled({count, k}, kFloat), found = unfilled({count, k}, kLong), compared = unfilled({blocks}, kLong);
  float* to_products = products.mutable_data_ptr<float>();
  int64_t *to_rows = found.mutable_data_ptr<int64_t>(), *to_compared = compared.mutable_data_ptr<int64_t>();
  torch::stable::parallel_for(0, blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t number = begin; number < end; ++number) {
      const int64_t first = number * block;
      Block one(task, first, std::min(block, count - first));
      for (const int64_t *visit = order + number * regions, *last = visit + regions; visit < last; ++visit) {
        one.visit(*visit * region, std::min((*visit + 1) * region, rows));
      }
      const bool whole = one.finish(to_products + first * k, to_rows + first * k);
      to_compared[number] = whole ? one.compared() : -1;
    }
  });
  COPGEN_CHECK(
      std::all_of(to_compared, to_compared + blocks, [](int64_t one) { return one >= 0; }),
      "A query has fewer than k products: a number is NaN, or rows were not visited.");
  return {products, found, compared};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(copgen, CPU, m) { m.impl("nearest_rows", TORCH_BOX(&nearest_rows)); }

}  // namespace copgen::cpu
