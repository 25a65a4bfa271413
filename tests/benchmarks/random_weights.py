"""Random weights under which an untrained network still tells images apart."""

from __future__ import annotations

from typing import Any

import numpy as np


def liven(model: Any) -> None:
    """Scale each kernel so that activations keep their size from layer to layer (He et al. 2015).

    As Keras draws them, sixteen layers leave next to nothing of an image: every answer would be the same,
    and a wrong one would pass for right.
    """
    for variable in model.trainable_variables:
        if len(variable.shape) < 2:
            continue
        inputs = int(np.prod(variable.shape[:-1]))
        # In NumPy: TensorFlow would keep the memory of the product for good.
        kernel = np.asarray(variable).copy()
        kernel *= (2 / inputs * kernel.size) ** 0.5 / np.linalg.norm(kernel)
        variable.assign(kernel)
