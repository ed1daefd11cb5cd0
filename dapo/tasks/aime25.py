"""AIME 2025: the task `aime` by the name that tables of results use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dapo.tasks import aime


@dataclass(frozen=True)
class Task(aime.Task):
    year: Literal[2025] = 2025
