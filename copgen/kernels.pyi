"""For type checkers: `copgen.kernels` is the folder `kernels`, which setup.py installs under that name."""

from kernels import aot as aot
from kernels import aot_navigate as aot_navigate
from kernels import device_functions as device_functions
from kernels import float16_parts as float16_parts
from kernels import info_nce as info_nce
from kernels import info_nce_backward as info_nce_backward
from kernels import info_nce_forward as info_nce_forward
from kernels import input_precision as input_precision
from kernels import launch_grid as launch_grid
from kernels import navigate as navigate
from kernels import navigate_kernel as navigate_kernel
from kernels import navigate_tiles as navigate_tiles
from kernels import normalize as normalize
from kernels import normalize_kernel as normalize_kernel
from kernels import sup_con as sup_con
from kernels import sup_con_kernels as sup_con_kernels
from kernels import tile_table as tile_table
from kernels import wide as wide
