"""TRL's GRPOTrainer on the quickstart, in the environment of `benchmarks/peers/trl.txt`.

The answers are graded by the quickstart's own reward, which needs nothing but torch and is found through
PYTHONPATH; the punishment of length is TRL's own. After every few rounds (a round is one batch of completions
and the updates on it) the clock stands still while the model is saved and the benchmark looks at it.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from datasets import Dataset
from serve import Channel
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import GRPOTrainer
from trl.rewards import get_soft_overlong_punishment
from trl_shared import grpo_config

from dapo.rewards import number
from dapo.types import Completion, Example

REWARD = number.Reward(require_marker=True)


def accuracy(completions: list[str], answer: list[str], **_: Any) -> list[float]:
    """1 for a right answer, -1 for a wrong one."""
    return [
        2 * REWARD(Completion([], [], [], [], "eos", text), Example("", (), gold)).score - 1
        for text, gold in zip(completions, answer, strict=True)
    ]


class Clock(TrainerCallback):
    """Counts rounds and the seconds they take, and hands the model over."""

    def __init__(self, channel: Channel) -> None:
        self.channel, self.job = channel, channel.job
        self.seconds = 0.0
        self.started = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.channel.answer(ready=True)
        control.should_training_stop = not self.channel.wait()
        self.started = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        rounds, rest = divmod(state.global_step, self.job["updates"])
        if rest or rounds % self.job["every"]:
            return
        self.seconds += time.perf_counter() - self.started
        kwargs["model"].save_pretrained(self.job["model_out"])
        self.channel.answer(rounds=rounds, seconds=self.seconds)
        control.should_training_stop = not self.channel.wait()
        self.started = time.perf_counter()


def main() -> None:
    channel = Channel()
    job = channel.job
    torch.set_num_threads(job["threads"])
    trainer = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32),
        processing_class=AutoTokenizer.from_pretrained(job["model"]),
        reward_funcs=[accuracy, get_soft_overlong_punishment(job["limit"], job["overlong_cache"])],
        train_dataset=Dataset.from_dict({"prompt": job["prompts"], "answer": job["answers"]}),
        args=grpo_config(
            output_dir=job["scratch"],
            bf16=False,
            per_device_train_batch_size=job["completions"] // job["updates"],
            steps_per_generation=job["updates"],
            gradient_accumulation_steps=1,
            num_generations=job["group_size"],
            max_completion_length=job["limit"],
            learning_rate=job["learning_rate"],
            max_steps=1_000_000,
            seed=job["seed"],
        ),
        callbacks=[Clock(channel)],
    )
    trainer.train()


if __name__ == "__main__":
    main()
