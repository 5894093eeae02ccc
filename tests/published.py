"""Figures that others have published."""

import numpy as np

# The hold-out of the FineWeb-Edu classifier, as its card prints it; rows are true.
FINEWEB_EDU = np.array(
    [
        [2791, 2858, 45, 0, 0, 0],
        [919, 22343, 3180, 69, 1, 0],
        [3, 3225, 6330, 757, 7, 0],
        [1, 66, 1473, 1694, 173, 0],
        [0, 4, 98, 420, 283, 2],
        [0, 0, 18, 85, 21, 1],
    ]
)
