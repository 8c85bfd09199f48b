// copgen._C: how the operators in copgen._ops were built. It does not link to torch, so it can be imported to check the
// version before loading a library that was built for another torch.

#include <pybind11/pybind11.h>

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

std::string openmp() {
#ifdef _OPENMP
  return std::to_string(_OPENMP);
#else
  return "";
#endif
}

pybind11::dict built() {
  pybind11::dict how;
  how["torch"] = COPGEN_TEXT(COPGEN_TORCH);
  how["compiler"] = compiler();
  how["cuda"] = COPGEN_TEXT(COPGEN_CUDA);
  how["architectures"] = COPGEN_TEXT(COPGEN_ARCHITECTURES);
  how["openmp"] = openmp();
  return how;
}

}  // namespace

PYBIND11_MODULE(_C, m) {
  m.doc() = "How copgen's native operators were built.";
  m.def("built", &built, "Versions and options by name; '' means none.");
}
