// Elementwise passes between the matrix products of a wide navigator and of the backward pass.

#include "launch.h"

namespace copgen::cuda {
namespace {

constexpr int64_t kMostBlocks = 65536;

unsigned int grid_for(int64_t count) {
  const int64_t blocks = (count + kThreads - 1) / kThreads;
  return static_cast<unsigned int>(blocks < kMostBlocks ? blocks : kMostBlocks);
}

template <typename F>
__global__ void each(int64_t count, F f) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += step) {
    f(i);
  }
}

template <typename W>
struct ReluGradient {
  W* dh;
  const W* h;
  __device__ void operator()(int64_t i) const { dh[i] = h[i] > 0 ? dh[i] : W(0); }
};

template <typename W>
struct Upstream {
  const W *g, *g_d, *y, *bias, *d;
  int64_t dim;
  W* u;
  __device__ void operator()(int64_t i) const {
    const int64_t row = i / dim;
    W value = g != nullptr ? g[i] : W(0);
    if (g_d != nullptr && d[row] > 0) {
      value += g_d[row] / (d[row] * static_cast<W>(dim)) * (y[i] + bias[i % dim]);
    }
    u[i] = value;
  }
};

template <typename F>
cudaError_t launch(int64_t count, F f, cudaStream_t stream) {
  each<F><<<grid_for(count), kThreads, 0, stream>>>(count, f);
  return cudaGetLastError();
}

}  // namespace

template <typename W>
cudaError_t launch_relu_gradient(W* dh, const W* h, int64_t count, cudaStream_t stream) {
  return launch(count, ReluGradient<W>{dh, h}, stream);
}

template <typename W>
cudaError_t launch_upstream(
    const W* g, const W* g_d, const W* y, const W* bias, const W* d, int64_t rows, int64_t dim, W* u,
    cudaStream_t stream) {
  return launch(rows * dim, Upstream<W>{g, g_d, y, bias, d, dim, u}, stream);
}

#define COPGEN_INSTANTIATE(W)                                                                    \
  template cudaError_t launch_relu_gradient<W>(W*, const W*, int64_t, cudaStream_t);             \
  template cudaError_t launch_upstream<W>(                                                       \
      const W*, const W*, const W*, const W*, const W*, int64_t, int64_t, W*, cudaStream_t);

COPGEN_INSTANTIATE(float)
COPGEN_INSTANTIATE(double)

}  // namespace copgen::cuda
