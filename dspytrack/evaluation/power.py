"""What a test with so many pairs could have shown: the smallest difference, and the fewest pairs.

Owns the arithmetic of power; the tests themselves are `statistics.py`'s.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats


def detectable_effect(differences: NDArray[np.float64], alpha: float) -> float | None:
    """The smallest mean difference this many pairs could have shown with 80 % power, in score units.

    (z(1 - alpha/2) + z(0.8)) * sd / sqrt(n) for paired differences (Cohen 1988), and never less than the
    share of one-sided pairs that the exact sign test needs at all.
    """
    if differences.size < 2:
        return None
    needed = fewest_pairs(alpha) / differences.size
    normal = stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(0.8)
    return float(max(needed, normal * differences.std(ddof=1) / math.sqrt(differences.size)))


def fewest_pairs(alpha: float) -> int:
    """Discordant pairs, all one way, that a two-sided sign test needs to reach alpha: 2 * 0.5**n <= alpha."""
    return max(1, math.ceil(1 - math.log2(alpha)))
