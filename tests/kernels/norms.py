"""The error that kernels.h allows of a layer norm."""

from __future__ import annotations

import numpy as np

EPS = 1e-5


def bound(z, gamma, beta):
    """The error kernels.h allows, for each output."""
    z = z.astype(np.float64)
    mean, std = z.mean(-1, keepdims=True), np.sqrt(z.var(-1, keepdims=True) + EPS)
    normal = (z - mean) / std
    exact = np.abs(normal * gamma + beta).astype(np.float32)
    offset = np.maximum(1, np.abs(mean) / std)
    return 4e-7 * (1 + np.abs(normal)) * offset * np.abs(gamma) + np.spacing(exact)
