// Included before the host code of the CUDA operators: `STABLE_TORCH_LIBRARY_IMPL(copgen, CUDA, m)` notes its
// registrations, and `copgen_shim_enable` (registrations.cpp) makes them for tensors of the CPU.
#pragma once

#include <torch/csrc/stable/library.h>

namespace copgen_shim {

using Library = torch::stable::detail::StableLibrary;
using Registration = void (*)(Library&);
bool note(Registration registration);

}  // namespace copgen_shim

#define COPGEN_SHIM_JOINED_(a, b) a##b
#define COPGEN_SHIM_JOINED(a, b) COPGEN_SHIM_JOINED_(a, b)
#define COPGEN_SHIM_IMPL(name, m)                                 \
  static void name(copgen_shim::Library&);                        \
  static const bool COPGEN_SHIM_JOINED(noted_, name) = copgen_shim::note(&name); \
  void name(copgen_shim::Library& m)

#undef STABLE_TORCH_LIBRARY_IMPL
#define STABLE_TORCH_LIBRARY_IMPL(ns, key, m) COPGEN_SHIM_IMPL(COPGEN_SHIM_JOINED(registers_, __LINE__), m)
