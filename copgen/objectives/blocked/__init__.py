"""The contrastive losses on the CPU: tiles of logits, never stored.

Every tile of a symmetric block serves its rows and its columns, so only tiles on and above the diagonal are computed.
"""

from copgen.objectives.blocked import info_nce as _info_nce
from copgen.objectives.blocked import sup_con as _sup_con
from copgen.objectives.blocked.unit_rows import accumulator as accumulator
from copgen.objectives.blocked.unit_rows import bounded as bounded
from copgen.objectives.blocked.unit_rows import normalize as normalize
from copgen.objectives.blocked.unit_rows import operand as operand
from copgen.objectives.kernel_interface import InfoNCEKernels, SupConKernels

info_nce: InfoNCEKernels = _info_nce
sup_con: SupConKernels = _sup_con
