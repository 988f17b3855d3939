"""The statistics of the soak test: slopes of memory with their intervals."""

import math
import random
import statistics

# Two-sided 95 % quantiles of Student's t distribution for 1, 2, ... degrees of freedom; 1.96 beyond.
T = [12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13, 2.12, 2.11, 2.10, 2.09, 2.09]
BLOCKS = 16
RESAMPLES = 400


def theil_sen(points: list) -> float:
    slopes = [(y - v) / (x - u) for i, (x, y) in enumerate(points) for u, v in points[:i] if x != u]
    return statistics.median(slopes)


def blocks(points: list) -> list:
    """The means of consecutive samples. Successive samples of memory are nearly equal, so that they are no independent evidence."""
    size = max(1, len(points) // BLOCKS)
    parts = [points[at : at + size] for at in range(0, len(points) - size + 1, size)]
    return [(statistics.fmean(x for x, _ in part), statistics.fmean(y for _, y in part)) for part in parts]


def slope(points: list) -> tuple | None:
    """The Theil-Sen slope of (seconds, KiB) in KiB an hour, and its 95 % interval by a bootstrap over blocks of samples."""
    means = blocks(points)
    if len(means) < 6:
        return None
    generator = random.Random(1)
    found = sorted(theil_sen(means) for means in resamples(means, generator))
    low, high = found[len(found) * 25 // 1000], found[-1 - len(found) * 25 // 1000]
    return tuple(value * 3600 for value in (theil_sen(means), low, high))


def resamples(means: list, generator: random.Random) -> list:
    drawn = [[generator.choice(means) for _ in means] for _ in range(RESAMPLES)]
    return [points for points in drawn if len({x for x, _ in points}) > 1]


def mean(values: list) -> tuple | None:
    """The mean of independent values, and its 95 % interval."""
    if len(values) < 2:
        return None
    middle = statistics.fmean(values)
    quantile = T[len(values) - 2] if len(values) - 2 < len(T) else 1.96
    half = quantile * statistics.stdev(values) / math.sqrt(len(values))
    return middle, middle - half, middle + half
