"""Which rank does what: the learner's mesh, and the samplers beside it or on the same GPUs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Engine = Literal["embedded", "vllm"]


@dataclass(frozen=True)
class Layout:
    """GPUs and how they are shared out. The learner shards over all of its ranks (FSDP2), and splits
    matrices over `tensor_parallel` neighbours."""

    gpus: int = 1
    tensor_parallel: int = 1
    """Ranks that share each matrix of the learner."""
    sampler_gpus: int | None = None
    """GPUs that only sample; None: every GPU samples and learns in turn."""
    sampler_tensor_parallel: int = 1
    engine: Engine = "embedded"
    gpu_memory_utilization: float = 0.9
    """vLLM's share of a GPU's memory, for weights and cache."""

    def __post_init__(self) -> None:
        for name in ("gpus", "tensor_parallel", "sampler_tensor_parallel"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        if not 0 < self.gpu_memory_utilization <= 1:
            raise ValueError("gpu_memory_utilization must lie in (0, 1]")
        if self.sampler_gpus is not None and not 0 < self.sampler_gpus < self.gpus:
            raise ValueError(
                f"sampler_gpus ({self.sampler_gpus}) must leave a GPU to the learner: at most "
                f"{self.gpus - 1} of {self.gpus}, or leave it out to sample and learn on the same"
            )
        self._divides("tensor_parallel", self.tensor_parallel, "learner", self.learner_ranks)
        self._divides("sampler_tensor_parallel", self.sampler_tensor_parallel, "sampler", self.sampler_ranks)
        if self.engine == "embedded" and self.sampler_tensor_parallel > 1:
            raise ValueError(
                "sampler_tensor_parallel above 1 needs engine vllm: the embedded sampler has one GPU"
            )

    @staticmethod
    def _divides(name: str, size: int, role: str, ranks: int) -> None:
        if ranks % size:
            below = max(n for n in range(1, size) if ranks % n == 0)
            raise ValueError(
                f"the {ranks} {role} GPUs cannot be divided by {name} ({size}); {below} would do"
            )

    @property
    def colocated(self) -> bool:
        return self.sampler_gpus is None

    @property
    def sampler_ranks(self) -> int:
        return self.gpus if self.sampler_gpus is None else self.sampler_gpus

    @property
    def learner_ranks(self) -> int:
        return self.gpus if self.sampler_gpus is None else self.gpus - self.sampler_gpus

    @property
    def data_parallel(self) -> int:
        """Ranks, or groups of tensor-parallel ones, that each read batches of their own."""
        return self.learner_ranks // self.tensor_parallel

    @property
    def samplers(self) -> int:
        """Engines that each draw sequences of their own."""
        return self.sampler_ranks // self.sampler_tensor_parallel
