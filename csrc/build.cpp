// copgen._C: how the operators beside it were built. It links to nothing of torch, so that it can always be asked
// before a library that was made for another torch is loaded.

#include <pybind11/pybind11.h>

#include <map>
#include <string>

#define COPGEN_TEXT_OF(x) #x
#define COPGEN_TEXT(x) COPGEN_TEXT_OF(x)

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

std::map<std::string, std::string> built() {
  return {
      {"torch", COPGEN_TEXT(COPGEN_TORCH)},
      {"compiler", compiler()},
      {"cuda", COPGEN_TEXT(COPGEN_CUDA)},
      {"architectures", COPGEN_TEXT(COPGEN_ARCHITECTURES)},
#ifdef _OPENMP
      {"openmp", std::to_string(_OPENMP)},
#else
      {"openmp", "none"},
#endif
  };
}

}  // namespace

PYBIND11_MODULE(_C, m) {
  m.doc() = "How copgen's native operators were built.";
  m.def("built", &built, "Versions and options, by name; '' is none.");
}
