// The schemas of all operators. The implementations are registered in cpu/ and cuda/; fake (meta) implementations and
// gradients in Python, beside the callers: copgen/latents/operations/operators.py and others.
//
// Legend: K rows; d coordinates; H hidden units; z, z' latents (K, d); m = z' - z; d_k = ||m_k|| / sqrt(d).

#include <torch/csrc/stable/library.h>

STABLE_TORCH_LIBRARY(copgen, m) {
  // h = relu(z W1^T + b1), z' = z + h W2^T + b2. `kept` rows of h are returned for the backward pass.
  // -> z' (K, d), d (K), stats (6), h (kept, H)
  m.def(
      "navigate(Tensor z, Tensor w1, Tensor b1, Tensor w2, Tensor b2, float? delta, SymInt kept)"
      " -> (Tensor, Tensor, Tensor, Tensor)");

  // -> the gradients of z, W1, b1, W2, b2; empty if not requested.
  m.def(
      "navigate_backward(Tensor? g, Tensor? g_d, Tensor z, Tensor w1, Tensor b1, Tensor w2, Tensor b2, Tensor d,"
      " Tensor hidden, bool for_z, bool for_weights) -> (Tensor, Tensor, Tensor, Tensor, Tensor)");

  // mode: report, reject or project.
  // -> z' within delta (K, d) for project, d (K), violates (K), row indices, the kept rows first (K), for reject,
  //    stats (6); outputs that a mode does not compute are empty.
  m.def(
      "constrain(Tensor z, Tensor z_pos, float? delta, str mode) -> (Tensor, Tensor, Tensor, Tensor, Tensor)");

  // `delta` is given only if z' was projected. -> the gradients of z and z'.
  m.def(
      "constrain_backward(Tensor? g, Tensor? g_d, Tensor z, Tensor z_pos, Tensor d, float? delta) -> (Tensor, Tensor)");

  // Row k depends on (key, rows[k]) only. `tail` is the normal's mass below -threshold; without a threshold the normal
  // is not truncated. -> (K, dim) float32
  m.def(
      "draw_latents(Tensor rows, int key, SymInt dim, float scale, float? threshold, float tail) -> Tensor");

  // out += a b, float32 matrices; a and b with any strides.
  m.def("add_product_(Tensor(a!) out, Tensor a, Tensor b) -> ()");

  // e_ij = 2^(scale <a_i, b_j>), 0 where j = i + diagonal, times a_weights[i] + b_weights[j] if either is given; summed
  // over j into a_sums and over i into b_sums.
  m.def(
      "exponentials_of_products_(Tensor a, Tensor b, float scale, int? diagonal, Tensor? a_weights, Tensor? b_weights,"
      " Tensor(a!)? out, Tensor(b!)? a_sums, Tensor(c!)? b_sums) -> ()");

  // Solves x + g(x) = y for each row; rows that do not converge are NaN; float32. g, a contraction, is linear layers
  // x W^T + b with silu between them, preceded by silu(entry x) if entry (1) is given. A row has the same bits in any
  // batch. y (N, D), weights (outputs, inputs), bound (N); bound, window, max_rounds: see fixed_point in
  // copgen/generators/residual_flow/anderson.py. -> (N, D)
  m.def(
      "invert_silu_layers(Tensor y, Tensor? entry, Tensor[] weights, Tensor[] biases, Tensor bound, int window,"
      " int max_rounds) -> Tensor");

  // The gradient of y from that of x, c (N, D): solves w + J^T w = c for the Jacobian J of g at x in the same way.
  m.def(
      "invert_silu_layers_backward(Tensor c, Tensor x, Tensor? entry, Tensor[] weights, Tensor[] biases, Tensor bound,"
      " int window, int max_rounds) -> Tensor");

  // The instruction set that the float32 products above use on this processor; if empty, there is none and they raise.
  m.def("product_kernels() -> str");

  // How this library was built: lines of a name and a value.
  m.def("built() -> str");

  // The Philox 32-bit words of the rows' counters. -> (K, columns) int64
  m.def("philox_bits(Tensor rows, int key, SymInt columns) -> Tensor");

  // Views of uint8 images (C, H, W), C = 1 or 3. boxes (N, 5): top, left, height, width, flip; steps (N, any): those
  // of views.cpp in order, -1 for none; factors (N, 4) float64: of brightness, contrast, saturation, and hue in turns;
  // at last channel c of the view, in [0, 1], is scaled by scale[c] and shifted by shift[c], if they are given.
  // -> (N, C, height, width) float32
  m.def(
      "augment_images(Tensor[] images, Tensor boxes, Tensor steps, Tensor factors, int height, int width,"
      " bool antialias, float[] scale, float[] shift) -> Tensor");

  // The k rows of a bank (N, D) that have the largest products with each query (M, D), exactly. The product of coarse rows
  // (N, C) and (M, C) bounds that of all D coordinates up to `margin`. Blocks of `block` queries go through regions of
  // `region` rows in the order visits[block] (blocks, regions), int64. All others are float32 and contiguous.
  // -> products (M, k), largest first; rows (M, k) int64; how many products of each block were computed (blocks) int64
  m.def(
      "nearest_rows(Tensor bank, Tensor coarse, Tensor queries, Tensor coarse_queries, Tensor visits, int block,"
      " int region, int k, float margin) -> (Tensor, Tensor, Tensor)");

  // One step of Anderson acceleration for n of N items of D coordinates; see
  // copgen/generators/residual_flow/anderson.py. x, proposal (n, D), rows (n), bound (N), vectors (N, 2 + 2 window, D),
  // scalars (N, 1 + window). -> the next x and the rows of the items that continue
  m.def(
      "anderson_step(Tensor x, Tensor proposal, Tensor rows, Tensor bound, Tensor(a!) vectors, Tensor(b!) scalars,"
      " int slot) -> (Tensor, Tensor)");
}
