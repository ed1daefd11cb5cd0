"""One sampler of this environment in a process of its own."""

from __future__ import annotations

import torch
from _engines import ENGINES
from peers.serve import Job, Measure, serve


def prepare(job: Job) -> Measure:
    torch.set_num_threads(job["threads"])
    return ENGINES[job["engine"]](job)


if __name__ == "__main__":
    serve(prepare)
