"""How far a variant may be from the original before it counts as wrong."""

from __future__ import annotations

# Float32 keeps 24 bits: one rounding errs by at most 6e-8 of a number. Keras and ONNX Runtime add the same
# products in another order; over the networks that were measured this comes to 1e-7 of the largest output,
# and a wrong weight, order or pad to 1e-3 and more. This bound lies between, a hundredfold from each.
FLOAT32_RELATIVE = 1e-5


def tolerance_for(variant: str, largest_output: float) -> float:
    """The largest absolute error allowed at outputs of that size: probabilities count as 1."""
    return FLOAT32_RELATIVE * max(1.0, largest_output)
