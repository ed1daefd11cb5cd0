"""The samplers that live in this environment: ours, and transformers' two.

Each takes a job (the model, the requests, the slots and the precision), loads, warms up, and returns what
samples all requests once and tells the seconds and the tokens. Everybody draws at temperature 1 from the
whole distribution; nothing ends before its limit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from _model import make_codec

from dapo.backends.local import LocalSampler
from dapo.engine.sampler import SamplerSettings
from dapo.model import ModelSettings
from dapo.types import Example, Prompt, SamplingParams

Job = dict[str, Any]
Request = tuple[list[int], int]
"""A prompt, and the number of tokens to write after it."""
Result = dict[str, float]
WARM_UP_TOKENS = 16


def prepared(sample: Callable[[Sequence[Request]], Result], job: Job) -> Callable[[], Result]:
    """Sample some short requests, so that everything is loaded and allocated."""
    sample([(prompt, min(limit, WARM_UP_TOKENS)) for prompt, limit in job["requests"][: job["slots"]]])
    return lambda: sample(job["requests"])


def ours(job: Job) -> Callable[[], Result]:
    """The embedded sampler. The end-of-sequence token is one that the model cannot draw."""
    model = ModelSettings(job["model"], precision=job["precision"])
    sampler = LocalSampler(model, SamplerSettings(slots=job["slots"]), make_codec(can_end=False))

    def sample(requests: Sequence[Request]) -> Result:
        examples = [Example(str(number), (), "") for number in range(len(requests))]
        prompts = [Prompt(example, *request) for example, request in zip(examples, requests, strict=True)]
        started = time.perf_counter()
        generation = sampler.generate(iter(prompts), SamplingParams())
        tokens = sum(group.tokens for group in generation)
        seconds = time.perf_counter() - started
        return {
            "seconds": seconds,
            "tokens": tokens,
            "utilisation": generation.drawn / (generation.tick * job["slots"]),
        }

    return prepared(sample, job)


def _load(job: Job) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(
        job["model"], dtype=getattr(torch, job["precision"]), use_safetensors=True
    ).eval()


def generate(job: Job) -> Callable[[], Result]:
    """transformers.generate, in batches of as many requests as there are slots.

    Its defaults: SDPA and a dynamic cache. A batch runs to its longest request, as there is no limit for
    each; the tokens counted are those that were asked for. In bfloat16 the weights are, too.
    """
    from transformers import GenerationConfig

    model = _load(job)

    @torch.inference_mode()
    def sample(requests: Sequence[Request]) -> Result:
        started = time.perf_counter()
        for start in range(0, len(requests), job["slots"]):
            batch = requests[start : start + job["slots"]]
            ids = torch.tensor([prompt for prompt, _ in batch])
            limit = max(limit for _, limit in batch)
            config = GenerationConfig(do_sample=True, top_k=0, max_new_tokens=limit, pad_token_id=0)
            written = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=config)
            assert written.shape[1] == ids.shape[1] + limit
        seconds = time.perf_counter() - started
        return {"seconds": seconds, "tokens": sum(limit for _, limit in requests)}

    return prepared(sample, job)


def continuous(job: Job) -> Callable[[], Result]:
    """transformers' continuous batching, with a limit for each request through its manager.

    Attention, page size and tokens per batch are the job's. No blocks are shared, as no two prompts begin
    alike, and what only a GPU has is off.
    """
    from transformers import ContinuousBatchingConfig, GenerationConfig

    model = _load(job)
    model.set_attn_implementation(job["attention"])
    longest = max(len(prompt) + limit for prompt, limit in job["requests"])
    manager = model.init_continuous_batching(
        GenerationConfig(do_sample=True, top_k=0, max_new_tokens=longest, eos_token_id=-1, pad_token_id=0),
        ContinuousBatchingConfig(
            page_size=job["page_size"],
            num_blocks=job["slots"] * (-(-longest // job["page_size"]) + 1),
            max_batch_tokens=job["batch_tokens"],
            max_requests_per_batch=job["slots"],
            allow_block_sharing=False,
            use_cuda_graph=False,
            use_async_batching=False,
            auto_switch_to_flash=False,
        ),
    )
    manager.start()

    def sample(requests: Sequence[Request]) -> Result:
        started = time.perf_counter()
        for prompt, limit in requests:
            manager.add_request(prompt, max_new_tokens=limit)
        tokens = 0
        for _ in requests:
            tokens += len(_next(manager).generated_tokens)
        seconds = time.perf_counter() - started
        return {"seconds": seconds, "tokens": tokens}

    return prepared(sample, job)


def _next(manager: Any) -> Any:
    while True:
        result = manager.get_result(timeout=1)
        if result is not None and result.is_finished():
            if result.error:
                raise RuntimeError(result.error)
            return result
        if result is None and not manager.is_running():
            raise RuntimeError("continuous batching ended before the requests did")


ENGINES = {"ours": ours, "generate": generate, "continuous": continuous}
