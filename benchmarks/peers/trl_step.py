"""Whole steps of TRL's GRPOTrainer, in the environment of `benchmarks/peers/trl.txt`."""

from __future__ import annotations

import time
from typing import Any

import torch
from datasets import Dataset
from serve import Channel
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, TrainerCallback
from trl import GRPOTrainer
from trl_shared import grpo_config


def even_share(completion_ids: list[list[int]], **_: Any) -> list[float]:
    """As `_steps.reward`."""
    return [sum(token % 2 == 0 for token in ids) / len(ids) for ids in completion_ids]


class Clock(TrainerCallback):
    """The seconds from the end of a step to the end of the next; it stands while nobody asks."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.tokens = 0
        self.started = 0.0
        self.warm = False

    def count(self, completion_ids: list[list[int]], **_: Any) -> list[float]:
        """A reward of nothing that sees how much was written."""
        self.tokens = sum(map(len, completion_ids))
        return [0.0] * len(completion_ids)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.warm:
            self.channel.answer(seconds=time.perf_counter() - self.started, tokens=self.tokens)
        else:
            self.channel.answer(ready=True)
        self.warm = True
        control.should_training_stop = not self.channel.wait()
        self.started = time.perf_counter()


def main() -> None:
    channel = Channel()
    job = channel.job
    torch.set_num_threads(job["threads"])
    completions = job["prompts_per_step"] * job["group_size"]
    clock = Clock(channel)
    trainer = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32),
        processing_class=PreTrainedTokenizerFast.from_pretrained(job["tokenizer"]),
        reward_funcs=[even_share, clock.count],
        train_dataset=Dataset.from_dict({"prompt": job["prompts"]}),
        args=grpo_config(
            output_dir=job["scratch"],
            bf16=job["precision"] == "bfloat16",
            per_device_train_batch_size=job["batch"],
            gradient_accumulation_steps=completions // job["batch"],
            num_generations=job["group_size"],
            max_completion_length=job["limit"],
            learning_rate=job["learning_rate"],
            use_transformers_continuous_batching=job["continuous"] is not None,
            transformers_continuous_batching_config=job["continuous"],
            max_steps=1_000_000,
        ),
        callbacks=[clock],
    )
    trainer.train()


if __name__ == "__main__":
    main()
