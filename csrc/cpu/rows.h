// Row-wise operations between matrix products. Plain loops over pointers, compiled for several instruction sets; the best
// one for the processor is selected when the library is loaded. All give the same bits: sums use a fixed number of lanes,
// and nothing is contracted to a fused multiply-add.
#pragma once

#include <cstdint>

namespace copgen::cpu {

// A row's distance, and the sums of m and m^2 over its coordinates.
struct Row {
  double move;
  double move_squared;
};

// h = max(h + bias, 0) for `rows` rows.
void bias_relu(float* h, const float* bias, int64_t rows, int64_t width);
void bias_relu(double* h, const double* bias, int64_t rows, int64_t width);

// z' = z + (y + bias) for one row; z' may be y.
Row residual(float* z_pos, const float* z, const float* y, const float* bias, int64_t dim);
Row residual(double* z_pos, const double* z, const double* y, const double* bias, int64_t dim);

// The sums of one row's z' - z.
Row difference(const float* z, const float* z_pos, int64_t dim);
Row difference(const double* z, const double* z_pos, int64_t dim);

// d = sqrt(sum of m^2 / dim) of some rows.
void distances(float* d, const Row* rows, int64_t count, int64_t dim);
void distances(double* d, const Row* rows, int64_t count, int64_t dim);

// dh = dh where h > 0, else 0.
void relu_gradient(float* dh, const float* h, int64_t count);
void relu_gradient(double* dh, const double* h, int64_t count);

// sums[j] += the sum of column j over `rows` rows, with a stride of `row`.
void add_columns(float* sums, const float* x, int64_t row, int64_t rows, int64_t columns);
void add_columns(double* sums, const double* x, int64_t row, int64_t rows, int64_t columns);

// The uniform numbers of one row, columns 0 to 4 * blocks.
void uniform_row(double* u, uint64_t row, uint64_t key, int64_t blocks);

// The Philox words of one row, columns 0 to 4 * blocks.
void words_row(int64_t* words, uint64_t row, uint64_t key, int64_t blocks);

// Box-Muller: splits pairs of uniforms into r = u0, a = 2 pi u1.
void split(const double* u, double* r, double* a, int64_t pairs);

// r = sqrt(-2 r).
void root(double* r, int64_t count);

// u becomes tail + u (1 - 2 tail).
void to_probability(double* u, double tail, int64_t count);

// out = the values clamped to +-threshold, times the scale.
void clamp_row(float* out, const double* value, double threshold, double scale, int64_t count);

// out = radius * cos and radius * sin alternately, times the scale; `count` numbers.
void box_muller(float* out, const double* radius, const double* cosine, const double* sine, double scale, int64_t count);

// The state of one item of a fixed-point iteration: base t and f, then q and s of each direction (vectors); the norm of
// the base's f, then the weight of each direction (scalars).
template <typename T>
struct Memory {
  T* vectors;
  T* scalars;
  int64_t dim;
  int64_t window;
  int64_t slot;
};

// One step of Anderson acceleration for one item, as in copgen/generators/residual_flow/anderson.py. Returns whether it
// continues, with `next`; otherwise its result is the base.
bool anderson(float* next, const float* x, const float* proposal, float bound, const Memory<float>& memory);
bool anderson(double* next, const double* x, const double* proposal, double bound, const Memory<double>& memory);

}  // namespace copgen::cpu
