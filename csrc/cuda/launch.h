// The launch functions of the kernels in *.cu, called by the host code. Free of torch headers, so that nvcc is fast.
//
// Every launch_* returns the launch's error. Sizes are 64 bits wide. Sums are added in a fixed order, so that they are
// bitwise reproducible.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace copgen::cuda {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;

// Buffer for the blocks' partial sums, which the last block adds: a counter, which is zero before and after, and one row
// of doubles per block.
struct Partial {
  unsigned int* counter;
  double* sums;
  int blocks;
};

// The widest layers that the fused kernel supports.
constexpr int64_t kFusedWidth = 128;

// Rows per tile of the fused kernel on this device for this batch; 0 if the weights do not fit in shared memory.
int fused_tile(int64_t rows, int64_t dim, int64_t width, int device);

// z' = z + W2 relu(W1 z + b1) + b2 in one kernel, both layers on chip. `hidden`, if not null, receives h of the first rows.
template <typename T, typename V>
cudaError_t launch_navigate(
    const T* z, const V* w1, const V* b1, const V* w2, const V* b2, float delta, int64_t rows, int64_t dim,
    int64_t width, int tile, T* z_pos, float* d, double* stats, float* hidden, int64_t kept, Partial partial,
    cudaStream_t stream);

// *lost, 0 before, becomes NaN if a weight or bias of the first layer is NaN.
template <typename T, typename W>
cudaError_t launch_find_nan(
    const T* weights, int64_t count, const T* biases, int64_t width, W* lost, cudaStream_t stream);

// z' = z + (y + bias + *lost), its distances and statistics, after the matrix products of a wide navigator.
template <typename T, typename W>
cudaError_t launch_residual(
    const T* z, const W* y, const W* bias, const W* lost, W delta, int64_t rows, int64_t dim, T* z_pos, W* d,
    double* stats, Partial partial, cudaStream_t stream);

// dh = dh where h > 0, else 0.
template <typename W>
cudaError_t launch_relu_gradient(W* dh, const W* h, int64_t count, cudaStream_t stream);

// u = g + g_d (y + bias) / (d dim); g, or g_d with y, may be null.
template <typename W>
cudaError_t launch_upstream(
    const W* g, const W* g_d, const W* y, const W* bias, const W* d, int64_t rows, int64_t dim, W* u,
    cudaStream_t stream);

// The distances of z' - z; `projected`, if not null, receives z' projected to delta.
template <typename T, typename W>
cudaError_t launch_constrain(
    const T* z, const T* z_pos, W delta, int64_t rows, int64_t dim, W* d, bool* violates, T* projected, double* stats,
    Partial partial, cudaStream_t stream);

// The indices of the rows within delta, then the others.
cudaError_t launch_kept_first(const bool* violates, int64_t rows, int64_t* order, cudaStream_t stream);

// The gradients of constrain; g or g_d may be null; `delta` is infinite if nothing was projected.
template <typename T, typename W>
cudaError_t launch_constrain_gradient(
    const T* g, const W* g_d, const T* z, const T* z_pos, const W* d, W delta, int64_t rows, int64_t dim, T* dz,
    T* dz_pos, cudaStream_t stream);

// Random latents by (key, row); `threshold` is infinite for the normal without truncation.
cudaError_t launch_draw_latents(
    const int64_t* rows, int64_t count, uint64_t key, int64_t dim, double scale, double threshold, double tail,
    float* out, cudaStream_t stream);

}  // namespace copgen::cuda
