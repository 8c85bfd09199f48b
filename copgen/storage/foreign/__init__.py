"""Reading files of other programs without running anything that is in them.

opcodes       bytes to pickle's opcodes, every length checked
machine       the stack machine, which looks nothing up and calls nothing that a file names
calls         the few calls that it carries out itself: tensors, arrays, plain containers
containers    inert stand-ins for classes and objects
zip_archive   torch.save since 1.6        legacy    torch.save before        arrays    numpy's .npy
reading       one door for all of them
"""

from copgen.storage.foreign.calls import ForeignArray
from copgen.storage.foreign.containers import Global, Opaque, is_module, module_tensors
from copgen.storage.foreign.reading import read_foreign

__all__ = ["ForeignArray", "Global", "Opaque", "is_module", "module_tensors", "read_foreign"]
