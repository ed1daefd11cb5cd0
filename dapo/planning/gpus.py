"""What GPUs hold and how fast they are, by their makers' data sheets."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from dapo.errors import UserError


@dataclass(frozen=True)
class Gpu:
    """One GPU. Rates are peaks; dense ones, where a data sheet also names a rate for sparse matrices."""

    memory: int
    """Bytes."""
    bfloat16: float
    """Operations a second of matrix products, accumulated in float32."""
    float32: float
    """Operations a second outside of tensor cores: TF32 is off unless asked for."""
    bandwidth: float
    """Bytes a second between memory and chip."""


GPUS: dict[str, Gpu] = {
    # NVIDIA A100 Tensor Core GPU data sheet (2021), PCIe 40 GB: 312 TFLOPS BF16, 19.5 FP32, 1,555 GB/s.
    "a100-40": Gpu(40 * 10**9, 312e12, 19.5e12, 1.555e12),
    # The same, SXM 80 GB: 2,039 GB/s.
    "a100-80": Gpu(80 * 10**9, 312e12, 19.5e12, 2.039e12),
    # NVIDIA H100 Tensor Core GPU data sheet, SXM: 1,979 TFLOPS BF16 with sparsity, 67 FP32, 3.35 TB/s.
    "h100-80": Gpu(80 * 10**9, 989e12, 67e12, 3.35e12),
    # NVIDIA H200 Tensor Core GPU data sheet, SXM: 141 GB, 1,979 TFLOPS with sparsity, 67 FP32, 4.8 TB/s.
    "h200-141": Gpu(141 * 10**9, 989e12, 67e12, 4.8e12),
    # NVIDIA DGX B200 data sheet, of 8 GPUs: 1,440 GB, 64 TB/s, 36 PFLOPS BF16 with sparsity; FP32 by the
    # HGX B200 data sheet: 600 TFLOPS.
    "b200": Gpu(180 * 10**9, 2250e12, 75e12, 8e12),
    # NVIDIA L40S data sheet: 48 GB, 362.05 TFLOPS BF16 (733 with sparsity), 91.6 FP32, 864 GB/s.
    "l40s": Gpu(48 * 10**9, 362e12, 91.6e12, 0.864e12),
    # NVIDIA Ada GPU architecture white paper, appendix A: 24 GB, 165.2 TFLOPS BF16 with FP32 accumulate,
    # 82.6 FP32, 1,008 GB/s.
    "rtx4090": Gpu(24 * 10**9, 165.2e12, 82.6e12, 1.008e12),
}
SHORT = {"a100": "a100-80", "h100": "h100-80", "h200": "h200-141", "4090": "rtx4090"}
"""Names that leave no doubt, or the larger of two."""


def find_gpu(name: str) -> tuple[str, Gpu]:
    """A row of the table by its name or short name.

    Raises:
        UserError: with the nearest name.
    """
    key = SHORT.get(name.lower(), name.lower())
    if key not in GPUS:
        near = difflib.get_close_matches(key, [*GPUS, *SHORT], n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UserError(f"--gpu: there is no {name!r} in the table{hint} (it holds {', '.join(GPUS)})")
    return key, GPUS[key]
