"""What TRL is set to in all comparisons: DAPO as far as it goes there, and nothing that costs."""

from __future__ import annotations

from typing import Any

from trl import GRPOConfig


def grpo_config(**own: Any) -> GRPOConfig:
    """Token-level loss with clip-higher, no reference model, no dropout of truncated completions.

    Without gradient checkpointing, logging, reports and saving.
    """
    return GRPOConfig(
        loss_type="dapo",
        epsilon=0.2,
        epsilon_high=0.28,
        beta=0.0,
        scale_rewards="group",
        mask_truncated_completions=False,
        temperature=1.0,
        top_p=1.0,
        top_k=0,
        lr_scheduler_type="constant",
        weight_decay=0.0,
        max_grad_norm=1.0,
        use_cpu=True,
        gradient_checkpointing=False,
        report_to="none",
        logging_strategy="no",
        save_strategy="no",
        disable_tqdm=True,
        dataloader_pin_memory=False,
        **own,
    )
