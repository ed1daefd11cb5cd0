"""Examples from a dataset of the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dapo.data.files import Row
from dapo.data.hub import read_hub
from dapo.data.table import Table


@dataclass(frozen=True, kw_only=True)
class Task(Table):
    """Splits to train on and, separately or as a fraction of them, to evaluate on."""

    name: str
    """Name of the dataset, `owner/dataset`, or a folder that `datasets.load_dataset` understands."""
    subset: str | None = None
    """Configuration of the dataset, where it has several."""
    split: str = "train"
    """Split to train on."""
    eval_split: str | None = None
    """Split to evaluate on."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.eval_split is not None and self.eval_fraction is not None:
            raise ValueError("eval_split and eval_fraction exclude each other; set one of them")

    def _train_rows(self) -> Iterator[Row]:
        return read_hub(self.name, self.subset, self.split)

    def _eval_rows(self) -> Iterator[Row]:
        return iter(()) if self.eval_split is None else read_hub(self.name, self.subset, self.eval_split)
