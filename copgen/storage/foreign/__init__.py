"""Reading files of other programs without executing anything in them.

unpickling   Python's unpickler, restricted: opcodes and sizes are checked first, and names are never imported
calls        builders for the calls in a pickle: records of tensors and arrays, plain containers
records      inert stand-ins for classes, objects, tensors and arrays
torch_files  torch.save since 1.6, and before
reading      `read_foreign` for these formats, numpy arrays and safetensors; `read_pickled` for plain pickles
"""

from copgen.storage.foreign.reading import read_foreign, read_pickled
from copgen.storage.foreign.records import ForeignArray, Global, Opaque, is_module, module_tensors, submodules

__all__ = [
    "ForeignArray",
    "Global",
    "Opaque",
    "is_module",
    "module_tensors",
    "read_foreign",
    "read_pickled",
    "submodules",
]
