// The device that a launch sees: its limits, errors as the CUDA runtime reports them, and the kernels that were launched.

#include <cuda_runtime_api.h>

#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>

#include "runtime.h"

namespace copgen_shim {
namespace {

constexpr size_t kUnasked = 48 << 10;  // the dynamic shared memory that a kernel may have without asking
constexpr unsigned int kMostThreads = 1024;

struct Device {
  int processors = 1, shared_bytes = 0;
  std::mt19937_64 random;
  std::set<std::string> launched;
  std::map<const void*, int> allowed;
  cudaError_t error = cudaSuccess;
  std::string message;
  std::mutex busy;
};

Device device;

}  // namespace

void configure(uint64_t seed, int processors, int shared_bytes) {
  device.random.seed(seed);
  device.processors = processors;
  device.shared_bytes = shared_bytes;
  device.launched.clear();
  device.error = cudaSuccess;
}

cudaError_t allow_shared_memory(const void* kernel, int bytes) {
  if (bytes > device.shared_bytes) {
    return cudaErrorInvalidValue;
  }
  device.allowed[kernel] = bytes;
  return cudaSuccess;
}

void Launch::run(const void* kernel, const std::function<void()>& body) {
  const std::lock_guard<std::mutex> lock(device.busy);
  const auto allowed = device.allowed.find(kernel);
  const size_t most = allowed == device.allowed.end() ? kUnasked : static_cast<size_t>(allowed->second);
  if (blocks_ == 0 || threads_ == 0 || threads_ > kMostThreads || threads_ % 32 != 0 || bytes_ > most) {
    device.error = cudaErrorInvalidConfiguration;
    return;
  }
  device.launched.insert(name_);
  const std::string failure = run_grid(body, blocks_, threads_, bytes_, device.random);
  if (!failure.empty()) {
    device.error = cudaErrorLaunchFailure;
    device.message = std::string(name_) + ": " + failure;
  }
}

}  // namespace copgen_shim

cudaError_t cudaGetLastError() { return std::exchange(copgen_shim::device.error, cudaSuccess); }

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorLaunchFailure:
      return copgen_shim::device.message.c_str();
    default:
      return "no error";
  }
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  const auto& device = copgen_shim::device;
  *value = attribute == cudaDevAttrMultiProcessorCount ? device.processors : device.shared_bytes;
  return cudaSuccess;
}

// The names of the kernels that were launched since the last `configure`, one a line.
extern "C" const char* copgen_shim_launched() {
  static std::string names;
  names.clear();
  for (const std::string& name : copgen_shim::device.launched) {
    names += name + "\n";
  }
  return names.c_str();
}
