// How this library was built, for `copgen doctor`.

#include <torch/csrc/stable/library.h>

#include <string>

#include "products.h"

#define COPGEN_TEXT_OF(x) #x
#define COPGEN_TEXT(x) COPGEN_TEXT_OF(x)

namespace copgen::cpu {
namespace {

std::string compiler() {
#if defined(__clang__)
  return std::string("clang ") + __clang_version__;
#elif defined(__GNUC__)
  return std::string("gcc ") + __VERSION__;
#else
  return "unknown";
#endif
}

std::string built() {
  return "headers " COPGEN_TEXT(COPGEN_HEADERS) "\ncompiler " + compiler() +
      "\ncuda " COPGEN_TEXT(COPGEN_CUDA) "\narchitectures " COPGEN_TEXT(COPGEN_ARCHITECTURES);
}

std::string product_kernels() { return kernels() ? kernels()->name : ""; }

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(copgen, CompositeExplicitAutograd, m) {
  m.impl("built", TORCH_BOX(&built));
  m.impl("product_kernels", TORCH_BOX(&product_kernels));
}

}  // namespace copgen::cpu
