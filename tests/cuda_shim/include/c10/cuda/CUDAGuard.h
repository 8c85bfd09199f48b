#pragma once

#include <c10/core/Device.h>

namespace c10::cuda {

// While there is none, the current stream may be another device's: see getCurrentCUDAStream.
struct CUDAGuard {
  explicit CUDAGuard(c10::Device) { ++count(); }
  ~CUDAGuard() { --count(); }
  CUDAGuard(const CUDAGuard&) = delete;
  CUDAGuard& operator=(const CUDAGuard&) = delete;
  static int& count() {
    static thread_local int guards = 0;
    return guards;
  }
};

}  // namespace c10::cuda
