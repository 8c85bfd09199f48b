// The matrix products of the contrastive losses: a tile's exponentials with their sums or weights, and products that
// are added to gradients. Used by the blocked implementation, copgen/objectives/blocked/.

#include <algorithm>

#include "../tensor.h"
#include "products.h"

namespace copgen::cpu {
namespace {

constexpr int64_t kRows = 192;           // of A in a task; tasks do not depend on the number of threads
constexpr int64_t kWorthAThread = 1 << 20;  // multiplications, about 10 microseconds

void check_matrix(const Tensor& x, const char* name) {
  COPGEN_CHECK(x.dim() == 2 && x.scalar_type() == kFloat, name, " is not a float32 matrix.");
}

void check_vector(const std::optional<Tensor>& x, int64_t length, const char* name) {
  COPGEN_CHECK(!x || (x->dim() == 1 && x->size(0) == length && x->scalar_type() == kFloat && x->is_contiguous()),
                    name, " is not a contiguous float32 vector of ", length, " numbers.");
}

Strided strided(const Tensor& x) { return {x.const_data_ptr<float>(), x.stride(0), x.stride(1)}; }

const Kernels& required() {
  const Kernels* found = kernels();
  COPGEN_CHECK(found, "This processor has neither AVX-512 nor AVX2.");
  return *found;
}

// Calls work(first row, rows) for tasks of rows, in parallel if the work is large enough.
template <typename Work>
void over_tasks(int64_t rows, int64_t per_task, int64_t multiplications, const Work& work) {
  const int64_t tasks = (rows + per_task - 1) / per_task;
  const int64_t grain = multiplications < kWorthAThread ? tasks : 1;
  torch::stable::parallel_for(0, tasks, grain, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      work(task * per_task, std::min(per_task, rows - task * per_task));
    }
  });
}

// out += a b
void add_product_(const Tensor& out, const Tensor& a, const Tensor& b) {
  check_matrix(out, "out"), check_matrix(a, "a"), check_matrix(b, "b");
  const int64_t rows = out.size(0), columns = out.size(1), inner = a.size(1);
  COPGEN_CHECK(a.size(0) == rows && b.size(0) == inner && b.size(1) == columns, "a ", a.sizes(), " and b ", b.sizes(),
                    " do not multiply to the shape of out, ", out.sizes(), ".");
  COPGEN_CHECK(columns <= 1 || out.stride(1) == 1, "The rows of out must be contiguous.");
  const Kernels& with = required();
  float* c = out.mutable_data_ptr<float>();
  const int64_t threads = torch::stable::get_num_threads();
  const int64_t even = ((rows + threads - 1) / threads + with.height - 1) / with.height * with.height;
  over_tasks(rows, std::max<int64_t>(even, 1), rows * columns * inner, [&](int64_t first, int64_t count) {
    multiply(with, count, inner, columns, strided(a).from(first, 0), strided(b), c + first * out.stride(0), out.stride(0),
             true);
  });
}

void exponentials_of_products_(
    const Tensor& a, const Tensor& b, double scale, std::optional<int64_t> diagonal, const std::optional<Tensor>& a_weights,
    const std::optional<Tensor>& b_weights, const std::optional<Tensor>& out, const std::optional<Tensor>& a_sums,
    const std::optional<Tensor>& b_sums) {
  check_matrix(a, "a"), check_matrix(b, "b");
  const int64_t rows = a.size(0), columns = b.size(0), inner = a.size(1);
  COPGEN_CHECK(b.size(1) == inner, "a ", a.sizes(), " and b ", b.sizes(), " differ in their number of columns.");
  check_vector(a_weights, rows, "a_weights"), check_vector(b_weights, columns, "b_weights");
  check_vector(a_sums, rows, "a_sums"), check_vector(b_sums, columns, "b_sums");
  if (out) {
    check_matrix(*out, "out");
    COPGEN_CHECK(out->size(0) == rows && out->size(1) == columns && (columns <= 1 || out->stride(1) == 1), "out is ",
                      out->sizes(), "; expected ", rows, " contiguous rows of ", columns, " numbers.");
  }
  const Packed packed(required(), inner, columns, strided(b).t());
  const auto numbers = [](const std::optional<Tensor>& x) { return x ? x->const_data_ptr<float>() : nullptr; };
  const auto places = [](const std::optional<Tensor>& x) { return x ? x->mutable_data_ptr<float>() : nullptr; };
  const auto at = [](auto* x, int64_t offset) { return x ? x + offset : nullptr; };
  const float *of_rows = numbers(a_weights), *of_columns = numbers(b_weights);
  float *to = places(out), *row_sums = places(a_sums);
  // One buffer per task, so that the order of summation does not depend on the threads.
  std::vector<float> sums(b_sums ? (rows + kRows - 1) / kRows * columns : 0);
  float* column_sums = b_sums ? sums.data() : nullptr;
  over_tasks(rows, kRows, rows * columns * inner, [&](int64_t first, int64_t count) {
    Exponentials as{static_cast<float>(scale)};
    as.diagonal = diagonal ? first + *diagonal : Exponentials::kNoDiagonal;
    as.row_weights = at(of_rows, first);
    as.column_weights = of_columns;
    as.row_sums = at(row_sums, first);
    as.column_sums = at(column_sums, first / kRows * columns);
    as.out = to ? to + first * out->stride(0) : nullptr;
    as.out_row = out ? out->stride(0) : 0;
    packed.exponentials(count, strided(a).from(first, 0), as);
  });
  if (b_sums) {
    float* total = b_sums->mutable_data_ptr<float>();
    for (const float* end = column_sums + sums.size(); column_sums < end; column_sums += columns) {
      for (int64_t j = 0; j < columns; ++j) {
        total[j] += column_sums[j];
      }
    }
  }
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(copgen, CPU, m) {
  m.impl("add_product_", TORCH_BOX(&add_product_));
  m.impl("exponentials_of_products_", TORCH_BOX(&exponentials_of_products_));
}

}  // namespace copgen::cpu
