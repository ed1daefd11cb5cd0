"""Rows from a dataset of the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Iterator

from dapo.data.files import Row
from dapo.errors import UserError


def read_hub(dataset: str, subset: str | None = None, split: str = "train") -> Iterator[Row]:
    """Rows of one split of `dataset`: a hub name, or a folder that `datasets.load_dataset` understands.

    Raises UserError, as soon as the reading starts, if the dataset cannot be loaded or is empty.
    """
    import datasets

    source = "/".join([dataset, *([subset] if subset else []), split])
    try:
        rows = datasets.load_dataset(dataset, subset, split=split)
    except (OSError, ValueError) as error:
        raise UserError(
            f"hub dataset {source}: cannot be loaded ({error}); check its name, subset and split, "
            "or download its files and give their path"
        ) from error
    if len(rows) == 0:
        raise UserError(f"hub dataset {source}: holds no rows; choose another split")
    for number, values in enumerate(rows, start=1):
        yield Row(source, number, values)
