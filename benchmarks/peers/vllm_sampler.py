"""vLLM's sampling, in the environment of `benchmarks/peers/vllm.txt`.

Every request has its own max_tokens and ignores end-of-sequence tokens; nothing is made into text.
"""

from __future__ import annotations

import time
from typing import Any

from serve import Job, Measure, serve


def prepare(job: Job) -> Measure:
    from vllm import LLM, SamplingParams

    longest = max(len(prompt) + limit for prompt, limit in job["requests"])
    llm = LLM(
        model=job["model"],
        skip_tokenizer_init=True,
        dtype=job["precision"],
        max_num_seqs=job["slots"],
        max_model_len=longest + 1,
        enable_prefix_caching=False,
        disable_log_stats=True,
        enforce_eager=job["eager"],
    )

    def sample(requests: list[Any]) -> dict[str, float]:
        started = time.perf_counter()
        outputs = llm.generate(
            [{"prompt_token_ids": prompt} for prompt, _ in requests],
            [
                SamplingParams(temperature=1.0, max_tokens=limit, ignore_eos=True, detokenize=False)
                for _, limit in requests
            ],
            use_tqdm=False,
        )
        seconds = time.perf_counter() - started
        return {"seconds": seconds, "tokens": sum(len(output.outputs[0].token_ids) for output in outputs)}

    sample([(prompt, min(limit, 16)) for prompt, limit in job["requests"][: job["slots"]]])
    return lambda: sample(job["requests"])


if __name__ == "__main__":
    serve(prepare)
