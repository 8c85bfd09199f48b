// Switches the operators of tensors on the CPU to the CUDA kernels and back: of two registrations for one dispatch key
// the later one answers, and the earlier one again when it is gone. Schemas, gradients and shapes stay as they are.

#include <ATen/ops/mm.h>
#include <c10/util/Exception.h>

#include <memory>
#include <vector>

#include "include/host.h"
#include "runtime.h"

namespace copgen_shim {
namespace {

std::vector<Registration>& noted() {
  static std::vector<Registration> registrations;
  return registrations;
}

// cuBLAS's product of bfloat16 matrices with a result in float32, which torch has for CUDA alone.
at::Tensor product(const at::Tensor& a, const at::Tensor& b, at::ScalarType dtype) {
  return at::mm(a.to(dtype), b.to(dtype));
}

struct Silent : c10::WarningHandler {
  void process(const c10::Warning&) override {}
};

std::vector<std::unique_ptr<torch::Library>> libraries;

torch::Library& library(const char* name) {
  const auto kind = torch::Library::IMPL;
  libraries.push_back(std::make_unique<torch::Library>(kind, name, c10::DispatchKey::CPU, __FILE__, __LINE__));
  return *libraries.back();
}

}  // namespace

bool note(Registration registration) {
  noted().push_back(registration);
  return true;
}

}  // namespace copgen_shim

extern "C" {

void copgen_shim_enable(uint64_t seed, int processors, int shared_bytes) {
  copgen_shim::Silent silent;  // it warns of every operator that is registered twice
  const c10::WarningUtils::WarningHandlerGuard guard(&silent);
  copgen_shim::configure(seed, processors, shared_bytes);
  torch::Library& operators = copgen_shim::library("copgen");
  for (const auto registration : copgen_shim::noted()) {
    registration(operators);
  }
  copgen_shim::library("aten").impl("mm.dtype", &copgen_shim::product);
}

void copgen_shim_disable() { copgen_shim::libraries.clear(); }
}
