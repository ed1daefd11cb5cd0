"""One side that lives in this environment, in a process of its own: a sampler, or whole steps of ours."""

from __future__ import annotations

import torch
from _engines import ENGINES
from _steps import ours as step
from peers.serve import Job, Measure, serve


def prepare(job: Job) -> Measure:
    torch.set_num_threads(job["threads"])
    return {**ENGINES, "step": step}[job["engine"]](job)


if __name__ == "__main__":
    serve(prepare)
