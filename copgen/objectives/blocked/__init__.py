"""The contrastive losses on the CPU: tiles of logits, never stored.

Every tile of a symmetric block serves its rows and its columns, so only tiles on and above the diagonal are computed.
"""

from copgen.objectives.blocked import info_nce as info_nce
from copgen.objectives.blocked import sup_con as sup_con
from copgen.objectives.blocked.unit_rows import accumulator as accumulator
from copgen.objectives.blocked.unit_rows import bounded as bounded
from copgen.objectives.blocked.unit_rows import normalize as normalize
from copgen.objectives.blocked.unit_rows import operand as operand
