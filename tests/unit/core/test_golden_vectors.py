"""Every golden case of the peers' maths, by value and by gradient.

`golden/vectors.json` under DAPO_SHARED holds the cases in float64; without it test_headline_numbers.py
still runs. A case is either checked here (`CHECKS`) or listed with the reason why not (`NOT_HERE`).

    python -c "from tests.unit.core.test_golden_vectors import preset_table; print(preset_table())"

prints which presets each case supports.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dapo.algorithms import PRESETS
from dapo.core.advantages import Advantage, BatchScaled, GroupCentered, GroupNormalized, LeaveOneOut
from dapo.core.estimates import avg_at_k, majority, pass_at_k
from dapo.core.kl import estimate
from dapo.core.losses import CispoLoss, ClipLoss, SequenceClipLoss, SoftGateLoss
from dapo.core.masks import EntropyMask, OverlongFilter
from dapo.core.off_policy import ImportanceCorrection, mismatch
from dapo.core.reduce import (
    ConstantMean,
    Reduction,
    SequenceMean,
    SequenceSum,
    TokenMean,
    Totals,
    count_totals,
)
from dapo.core.schedule import Schedule
from dapo.core.segments import Segments
from dapo.core.shaping import SoftOverlong, signed
from dapo.core.signal import has_signal
from dapo.core.verl_bootstrap import verl_figures
from tests.unit.core.golden import Batch, b0, close, double, run

Case = dict[str, Any]

NOT_HERE = {
    "advantage/normalize_then_sum": "per-function normalisation is not offered: rewards are summed first",
    "advantage/swift_gdpo": "per-function normalisation is not offered: rewards are summed first",
    "dynamic_sampling/*": "loops over generation batches: dynamic sampling streams groups here",
    "loss/vespo": "VESPO is not offered",
    "loss/real": "REAL is not offered",
    "loss/fipo": "FIPO is not offered",
    "loss/adaptive_entropy": "the entropy bonus has a fixed coefficient",
    "offpolicy/sequence_mask_deepseek_B1": "off-policy sequence masking is not offered",
    "math_dapo/*": "scoring of text: tested with the reward of that name",
}

Check = Callable[[Case, dict[str, Batch]], None]
CHECKS: dict[str, tuple[Check, tuple[str, ...]]] = {}
"""By case id or pattern: the check, and the presets it supports."""

CLIPPED = ("grpo", "dr_grpo", "dapo", "dapo-80-20")
PUNISHED = ("dapo", "dapo-80-20", "cispo")
EVERY = tuple(PRESETS)


def covers(*patterns: str, presets: tuple[str, ...]) -> Callable[[Check], Check]:
    def register(check: Check) -> Check:
        CHECKS.update(dict.fromkeys(patterns, (check, presets)))
        return check

    return register


@covers("advantage/g_*", presets=EVERY)
def check_group_advantages(case: Case, batches: dict[str, Batch]) -> None:
    rewards, out = double(case["inputs"]["rewards"]), case["outputs"]
    settings: dict[str, Advantage] = {
        "verl_grpo": GroupNormalized(),
        "trl_swift_group": GroupNormalized(epsilon=1e-4),
        "seed003_port": GroupNormalized(ddof=0),
        "dr_grpo_no_std": GroupCentered(),
        "rloo": LeaveOneOut(),
    }
    for key, advantage in settings.items():
        close(advantage([rewards])[0], out[key])


@covers("advantage/singleton", presets=EVERY)
def check_singleton(case: Case, batches: dict[str, Batch]) -> None:
    rewards = [double(case["inputs"]["rewards"])]
    for advantage in (GroupNormalized(), GroupCentered()):
        assert advantage(rewards)[0].tolist() == [0.0]
    # verl trains such a group on its raw score; docs/papers.md says why a group of one gets 0 here.
    close(case["outputs"]["verl_grpo"], [-1 / (1 + 1e-6)])


@covers("advantage/scale_batch", presets=())
def check_scale_batch(case: Case, batches: dict[str, Batch]) -> None:
    rewards = [double(group) for group in case["inputs"]["rewards"]]
    close(torch.stack(BatchScaled()(rewards)), case["outputs"]["advantages"])


@covers("overlong/20480_4096_f1", presets=PUNISHED)
def check_overlong(case: Case, batches: dict[str, Batch]) -> None:
    given, out = case["inputs"], case["outputs"]
    paper = SoftOverlong(given["L_max"], given["L_cache"], given["factor"])
    open_ended = SoftOverlong(given["L_max"], given["L_cache"], given["factor"], floor=False)
    assert [paper(length) for length in given["lengths"]] == out["paper_and_trl"]
    assert [open_ended(length) for length in given["lengths"]] == out["verl_and_swift"]
    assert SoftOverlong().resolved(given["L_max"]) == paper


@covers("overlong/total_reward", presets=PUNISHED)
def check_total_reward(case: Case, batches: dict[str, Batch]) -> None:
    given = case["inputs"]
    punish = SoftOverlong(given["L_max"], given["L_cache"])
    rewards = [
        signed(score) + punish(length) for score, length in zip(given["acc"], given["lengths"], strict=True)
    ]
    assert rewards == case["outputs"]["reward"]


@covers("filter/metrics", presets=PUNISHED)
def check_filter_metrics(case: Case, batches: dict[str, Batch]) -> None:
    given, out = case["inputs"], case["outputs"]
    correct, overlong, kl = (double(given[key]) for key in ("acc", "overlong", "kl_penalty"))
    reward = 2 * correct - 1 + overlong

    def kept(metric: Tensor) -> list[bool]:
        return [has_signal(group) for group in metric.tolist()]

    assert kept(correct) == out["keep_acc"] == out["keep_paper_0<correct<G"]
    assert kept(2 * correct - 1) == out["keep_score"]
    # What the peers filter on instead, to show that the rule is the same and the metric is not.
    assert kept(reward) == out["keep_seq_reward"] == out["swift_total_reward_keep(std_ddof1>0)"]
    assert kept(reward - kl) == out["keep_seq_final_reward_with_kl"]


@covers("loss/ppo_asym_clip_c=*", presets=CLIPPED)
def check_clip(case: Case, batches: dict[str, Batch]) -> None:
    given, out = case["inputs"], case["outputs"]
    batch = batches[given["batch"]]
    loss = ClipLoss(given["clip_low"], given["clip_high"], dual_clip=given["clip_ratio_c"])
    reductions: dict[str, Reduction] = {
        "token_mean": TokenMean(),
        "seq_mean_token_mean": SequenceMean(),
        "seq_mean_token_sum": SequenceSum(),
    }
    for key, reduction in reductions.items():
        result = run(batch, loss, reduction)
        close(result.value, out[f"loss_{key}"])
        close(result.gradient, out[f"grad_logp_{key}"])
        close(result.per_token, out["per_token"])
    shares = {name: value / batch.totals.tokens for name, value in result.metrics.items()}
    close(shares["clip_low"], out["clip_low_frac(A<0,r<1-lo)"])
    close(shares["clip_high"], out["clip_high_frac(A>0,r>1+hi)"])
    close(shares["clip_low"] + shares["clip_high"], out["clipfrac_verl(strict l2>l1)"])
    if given["clip_ratio_c"] is not None:
        close(shares["clip_dual"], out["clipfrac_lower_verl"])
    close(
        estimate(batch.old, batch.new, "k1").mean(),
        out["ppo_kl_verl = masked mean(old-new)"],
    )


@covers("loss/aggregations", presets=CLIPPED)
def check_aggregations(case: Case, batches: dict[str, Batch]) -> None:
    batch, out = batches[case["inputs"]["batch"]], case["outputs"]
    loss = ClipLoss(high=0.28, dual_clip=10.0)
    close(run(batch, loss, TokenMean()).value, out["token_mean"])
    close(run(batch, loss, SequenceMean()).value, out["seq_mean_token_mean"])
    close(run(batch, loss, SequenceSum()).value, out["seq_mean_token_sum"])
    close(run(batch, loss, ConstantMean(8)).value, out["trl_dr_grpo_max8"])
    # verl divides by the constant alone: the same direction, scaled by the number of sequences.
    close(run(batch, loss, ConstantMean(6)).value * 4, out["verl_seq_mean_token_sum_norm_T6"])
    close(run(batch, loss, ConstantMean(8)).value * 4, out["verl_seq_mean_token_sum_norm_scale8"])


@covers("truncation/mask", presets=("dapo", "dapo-80-20"))
def check_truncation(case: Case, batches: dict[str, Batch]) -> None:
    given, out = case["inputs"], case["outputs"]
    batch = batches["B0"]
    rewards, truncated = [double(given["rewards"])], torch.tensor(given["truncated"])
    loss = ClipLoss(*given["clip"], dual_clip=given["clip_ratio_c"])
    advantage = GroupNormalized(epsilon=given["adv_eps"])
    stays, leaves = OverlongFilter(), OverlongFilter(in_baseline=False)
    full = advantage(rewards, [stays.baseline(truncated)])[0]
    apart = advantage(rewards, [leaves.baseline(truncated)])[0]
    close(full, out["advantages_full_group"])
    close(apart, out["advantages_excluding_truncated"])

    masks = [stays.loss_mask(cut, row) for cut, row in zip(given["truncated"], batch.mask, strict=True)]
    filtered = Batch.of({**batch.extra, "mask": torch.stack(masks).tolist()})
    assert filtered.totals == Totals(tokens=11, sequences=3)
    close(
        run(filtered, loss, TokenMean(), advantages=full).value,
        out["a_token_mean_unmasked_denominator(trl dapo, bnpo, verl token-mean)"],
    )
    close(
        run(filtered, loss, SequenceMean(), advantages=full).value,
        out["a_verl_seq_mean_token_mean_over_3"],
    )
    # The peers that leave a filtered completion in the denominator.
    everything = batch.totals
    close(
        run(filtered, loss, TokenMean(), advantages=full, totals=everything).value,
        out["a_swift_dapo_denominator_all_tokens"],
    )
    close(
        run(filtered, loss, SequenceMean(), advantages=full, totals=everything).value,
        out["a_trl_swift_grpo_mean_over_4"],
    )
    close(run(filtered, loss, TokenMean(), advantages=apart).value, out["b_token_mean_excluding_baseline"])
    close(run(batch, loss, TokenMean(), advantages=full).value, out["no_filter_token_mean"])

    nothing = Batch.of({**batch.extra, "mask": torch.zeros_like(batch.mask).tolist()})
    for reduction in (TokenMean(), SequenceMean(), SequenceSum(), ConstantMean(8)):
        result = run(nothing, loss, reduction, advantages=full)
        assert result.value == 0
        assert not result.gradient.any()


@covers("loss/gas_scale_trap", presets=EVERY)
def check_accumulation(case: Case, batches: dict[str, Batch]) -> None:
    micro, steps = case["inputs"]["tokens_per_micro"], case["inputs"]["gas"]
    losses = []
    for start in range(0, len(micro), steps):
        sizes = micro[start : start + steps]
        totals = Totals(tokens=sum(sizes), sequences=len(sizes))
        shares = [TokenMean()(torch.ones(size), Segments.from_lengths([size]), totals) for size in sizes]
        losses.append(sum(shares))
    close(torch.stack(losses), case["outputs"]["correct_per_opt_step"], 1e-6)


@covers("loss/gspo_*", presets=("gspo",))
def check_gspo(case: Case, batches: dict[str, Batch]) -> None:
    given, out = case["inputs"], case["outputs"]
    batch = batches[given["batch"]]
    for token_form in (False, True):
        loss = SequenceClipLoss(given["clip_low"], given["clip_high"], token_form)
        result = run(batch, loss, SequenceMean())
        close(result.value, out["loss"])
        close(result.gradient, out["grad_logp"])
        close(result.per_token[:, 0], out["loss_i"])
        clipped = (result.metrics["clip_low"] + result.metrics["clip_high"]) / batch.totals.tokens
        # All or none of the sequences are clipped in these cases, so the shares agree.
        close(clipped, out["clipfrac_seq"])
        by_token = run(batch, loss, TokenMean())
        close(by_token.value, out["trick_loss_token_mean_agg"])
        close(by_token.gradient, out["trick_grad_logp_token_mean_agg"])


@covers("loss/luspo", presets=())
def check_luspo(case: Case, batches: dict[str, Batch]) -> None:
    given = case["inputs"]
    result = run(batches[given["batch"]], SequenceClipLoss(*given["clip"]), SequenceSum())
    close(result.value, case["outputs"]["loss"])


@covers("loss/sapo", presets=("sapo",))
def check_sapo(case: Case, batches: dict[str, Batch]) -> None:
    given, out = case["inputs"], case["outputs"]
    batch = batches[given["batch"]]
    loss = SoftGateLoss(given["tau_pos"], given["tau_neg"])
    for key, reduction in {"seq_mean_token_mean": SequenceMean(), "token_mean": TokenMean()}.items():
        result = run(batch, loss, reduction)
        close(result.value, out[f"loss_{key}"])
        close(result.gradient, out[f"grad_logp_{key}"])
        close(result.per_token, out["per_token"])
    here = torch.zeros(2, dtype=torch.float64)
    values, _ = loss(here, here, double([-1.0, 1.0]), Segments.from_lengths([1, 1]))
    close(values[1], -out["at_r=1"]["value_over_-A"])
    close(values[0], out["at_r=1"]["value_over_-A_neg"])


@covers("loss/cispo_*", presets=("cispo",))
def check_cispo(case: Case, batches: dict[str, Batch]) -> None:
    given, out = case["inputs"], case["outputs"]
    batch = batches[given["batch"]]
    low, high = given["bounds_abs"]
    loss = CispoLoss(low, high)
    result = run(batch, loss, TokenMean())
    close(result.value, out["loss_token_mean"])
    close(result.gradient, out["grad_logp_token_mean"])
    close(result.per_token, out["per_token"])
    close(run(batch, loss, SequenceMean()).value, out["loss_seq_mean_token_mean"])
    # d loss / d logprob = -weight * advantage, which shows the weights.
    by_sum = run(batch, loss, TokenMean(), totals=Totals(1, 1), advantages=-torch.ones(4).double())
    close(by_sum.gradient, out["weight"])
    if "trl_cispo_clip_ratio(r>cap & A>0)" in out:
        # TRL counts capped weights of positive advantages only; here both signs count.
        positive = batch
        for row in (batch.advantages <= 0).nonzero().flatten().tolist():
            positive = positive.without(row)
        capped = run(positive, loss, TokenMean()).metrics["clip_high"]
        close(capped / batch.totals.tokens, out["trl_cispo_clip_ratio(r>cap & A>0)"])


@covers("loss/dr_grpo", presets=("dr_grpo",))
def check_dr_grpo(case: Case, batches: dict[str, Batch]) -> None:
    given, out = case["inputs"], case["outputs"]
    (advantages,) = GroupCentered()([double(given["rewards_one_group"])])
    close(advantages, out["advantages"])
    result = run(
        batches["B0"], ClipLoss(*given["clip"]), ConstantMean(given["max_len"]), advantages=advantages
    )
    close(result.value, out["loss_trl"])
    close(result.gradient, out["grad_logp_trl"])
    close(result.per_token, out["per_token"])
    close(result.value * 4, out["loss_verl_seq_mean_token_sum_norm"])


@covers("loss/eighty_twenty", presets=("dapo-80-20",))
def check_eighty_twenty(case: Case, batches: dict[str, Batch]) -> None:
    given, out = case["inputs"], case["outputs"]
    batch = batches[given["batch"]]
    loss = ClipLoss(given["clip_low"], given["clip_high"])
    kept = torch.cat(
        EntropyMask(given["rho"])(batch.split(batch.entropy), [torch.ones(n).bool() for n in batch.lengths])
    )
    assert batch.totals.tokens == out["n_valid"]
    assert int(kept.sum()) == out["n_kept"]
    close(batch.padded(kept), out["keep"])
    weights = kept.double()
    result = run(batch, loss, TokenMean(), weights=weights)
    close(result.value, out["loss_token_mean_all_tokens_denominator"])
    close(result.gradient, out["grad_logp_all_tokens_denominator"])
    totals = count_totals(batch.split(kept))
    by_kept = run(batch, loss, TokenMean(), weights=weights, totals=totals, counted=kept)
    close(by_kept.value, out["loss_kept_denominator"])
    close(run(batch, loss, SequenceMean(), weights=weights).value, out["loss_trl_grpo(seq mean, full len)"])


@covers("loss/eighty_twenty_local_vs_global", presets=("dapo-80-20",))
def check_eighty_twenty_scopes(case: Case, batches: dict[str, Batch]) -> None:
    given, out = case["inputs"], case["outputs"]
    batch = batches[given["batch"]]
    entropies = list(double(batch.extra["entropy"]))
    per_response = EntropyMask(given["rho"], scope="response")
    assert torch.stack(per_response(entropies, list(batch.mask))).tolist() == out["keep_local"]
    for row, threshold in enumerate(out["per_sequence_thresholds"]):
        above = (entropies[row] >= threshold) & batch.mask[row]
        assert above.tolist() == out["keep_local"][row]
    in_step = torch.stack(EntropyMask(given["rho"])(entropies, list(batch.mask)))
    assert torch.equal(in_step, (torch.stack(entropies) >= out["global_threshold"]) & batch.mask)


@covers("kl/estimators", presets=("grpo",))
def check_kl(case: Case, batches: dict[str, Batch]) -> None:
    batch, out = batches[case["inputs"]["batch"]], case["outputs"]
    reference = batch.column("ref_logp")
    for estimator in ("k1", "k2", "k3"):
        logprobs = batch.new.clone().requires_grad_()
        values = estimate(logprobs, reference, estimator)  # type: ignore[arg-type]
        close(batch.padded(values.detach()), out[estimator])
        close(values.mean().detach(), out[f"token_mean_{estimator}"])
        if f"grad_{estimator}_token_mean" in out:
            (gradient,) = torch.autograd.grad(values.mean(), logprobs)
            close(batch.padded(gradient), out[f"grad_{estimator}_token_mean"])


@covers("offpolicy/tis", presets=EVERY)
def check_truncated_importance(case: Case, batches: dict[str, Batch]) -> None:
    given, out = case["inputs"], case["outputs"]
    batch = batches[given["batch"]]
    sampler = batch.column("rollout_logp")

    def weights(**settings: Any) -> Tensor:
        return ImportanceCorrection(high=given["threshold"], **settings)(batch.old, sampler, batch.segments)

    tokens, sequences = weights(), weights(level="sequence")
    close(batch.padded(tokens), out["token_weights"])
    close(batch.padded(sequences)[:, 0], out["sequence_weights"])
    close(batch.padded(weights(normalize=True)), out["token_batch_normalized"])
    normalized = weights(level="sequence", normalize=True)
    close(batch.padded(normalized)[:, 0], out["sequence_batch_normalized"])
    loss = ClipLoss(high=0.28, dual_clip=10.0)
    close(
        run(batch, loss, TokenMean(), weights=tokens).value,
        out["loss_ppo_c10_token_mean_with_token_tis"],
    )
    close(
        run(batch, loss, TokenMean(), weights=sequences).value,
        out["loss_ppo_c10_token_mean_with_seq_tis"],
    )


@covers("offpolicy/trl_modes", presets=())
def check_importance_modes(case: Case, batches: dict[str, Batch]) -> None:
    given, out = case["inputs"], case["outputs"]
    batch = batches[given["batch"]]
    for level in ("token", "sequence"):
        for mode in ("truncate", "mask"):
            correction = ImportanceCorrection(level, mode, high=given["clip_max"], low=given["clip_min"])
            weights = batch.padded(correction(batch.old, batch.column("rollout_logp"), batch.segments))
            close(weights if level == "token" else weights[:, 0], out[f"{level}_{mode}"])


@covers("offpolicy/swift_sequence_geometric", presets=("gspo",))
def check_sequence_mean_importance(case: Case, batches: dict[str, Batch]) -> None:
    given, out = case["inputs"], case["outputs"]
    batch = batches[given["batch"]]
    arguments = batch.old, batch.column("rollout_logp"), batch.segments
    unbounded = ImportanceCorrection("sequence_mean", high=float("inf"))(*arguments)
    close(batch.padded(unbounded)[:, 0], out["seq_ratio"])
    truncated = ImportanceCorrection("sequence_mean", high=given["threshold"])(*arguments)
    close(batch.padded(truncated)[:, 0], out["sequence_truncate"])
    # ms-swift keeps the token ratios of the sequences it accepts; here a masked mode keeps the sequence's.
    accepted = ImportanceCorrection("sequence_mean", "mask", high=given["threshold"])(*arguments) > 0
    tokens = ImportanceCorrection("token", high=float("inf"))(*arguments)
    close(batch.padded(tokens * accepted), out["sequence_mask_tokens"])


@covers("offpolicy/mismatch_metrics", presets=EVERY)
def check_mismatch(case: Case, batches: dict[str, Batch]) -> None:
    batch, out = batches[case["inputs"]["batch"]], case["outputs"]
    sampler = batch.column("rollout_logp")
    measured = mismatch(batch.old, sampler)
    close(measured["kl"], out["kl"])
    close(measured["k3_kl"], out["k3_kl"])
    close(measured["mean_abs_probability_difference"], out["prob_diff_mean"])
    close(measured["max_abs_probability_difference"], out["prob_diff_max"])
    close(batch.segments.mean(-batch.old).exp().mean(), out["training_ppl"])
    close(batch.segments.mean(-sampler).exp().mean(), out["rollout_ppl"])


@covers("lr/warmup_constant", presets=EVERY)
def check_schedule(case: Case, batches: dict[str, Batch]) -> None:
    given, out = case["inputs"], case["outputs"]
    schedule = Schedule(warmup_updates=given["warmup"])
    for step, rate in zip(given["steps"], out["lr"], strict=True):
        if step == 0:
            assert rate == 0.0  # the peers waste their first update
        else:
            close(given["lr"] * schedule(step - 1, 1000), rate)
    assert schedule(0, 1000) == 0.1


@covers("eval/pass_at_k", presets=EVERY)
def check_pass_at_k(case: Case, batches: dict[str, Batch]) -> None:
    given, out = case["inputs"], case["outputs"]
    for column, k in enumerate(given["k"]):
        values = torch.from_numpy(pass_at_k(given["n"], given["c"], k))
        close(values, [row[column] for row in out["unbiased"]])
        biased = double([row[column] for row in out["with_replacement_expectation"]])
        assert (biased <= values + 1e-12).all()
    for right, expected in zip(given["c"], out["avg"], strict=True):
        assert avg_at_k([1.0] * right + [0.0] * (given["n"] - right)) == expected


@covers("eval/verl_bootstrap", presets=EVERY)
def check_majority(case: Case, batches: dict[str, Batch]) -> None:
    given, out = case["inputs"], case["outputs"]
    figures = verl_figures(given["acc"], given["pred"])
    assert avg_at_k(given["acc"]) == figures.pop("mean@8") == out["mean@8"]
    assert figures.pop("std@8") == pytest.approx(out["std@8"], abs=1e-15)
    expected = {
        f"{kind}@{k}/{figure}": out[f"@{k}"][f"{kind}_{figure}"]
        for k in (2, 4, 8)
        for kind in ("best", "worst", "maj")
        for figure in ("mean", "std")
    }
    assert figures == pytest.approx(expected, abs=1e-15)
    # It draws with replacement, and falls short of the unbiased value.
    for k in (2, 4, 8):
        assert figures[f"best@{k}/mean"] < pass_at_k(8, sum(given["acc"]), k)
    # The first of two answers with three votes each wins there; here the tie is shared.
    assert (majority(given["pred"], given["acc"]), out["plain_majority_all_8"]) == (0.5, 1)


# --- running them ----------------------------------------------------------------------------------------

SHARED = os.environ.get("DAPO_SHARED")
VECTORS = Path(SHARED) / "golden" / "vectors.json" if SHARED else None
GOLDEN: dict[str, Any] = (
    json.loads(VECTORS.read_text()) if VECTORS is not None and VECTORS.exists() else {"cases": []}
)
CASES: dict[str, Case] = {case["id"]: case for case in GOLDEN["cases"]}
needs_vectors = pytest.mark.skipif(not CASES, reason="DAPO_SHARED does not hold golden/vectors.json")


def _match(case_id: str, patterns: Sequence[str]) -> str | None:
    return next((pattern for pattern in patterns if fnmatchcase(case_id, pattern)), None)


def preset_table() -> str:
    """One line per checked case: its id and the presets it supports."""
    lines = []
    for case_id in CASES:
        pattern = _match(case_id, list(CHECKS))
        if pattern is not None:
            lines.append(f"{case_id:45} {', '.join(CHECKS[pattern][1]) or '(selectable)'}")
    return "\n".join(lines)


@needs_vectors
@pytest.mark.parametrize("case_id", [case_id for case_id in CASES if _match(case_id, list(CHECKS))])
def test_golden_case(case_id: str) -> None:
    pattern = _match(case_id, list(CHECKS))
    assert pattern is not None
    batches = {name: Batch.of(GOLDEN[f"base_batch_{name}"]) for name in ("B0", "B1")}
    CHECKS[pattern][0](CASES[case_id], batches)


@needs_vectors
def test_no_golden_case_is_silently_ignored() -> None:
    unclear = {
        case_id: (checked, listed)
        for case_id in CASES
        if bool(checked := _match(case_id, list(CHECKS))) == bool(listed := _match(case_id, list(NOT_HERE)))
    }
    assert not unclear, "these cases are neither or both checked and listed in NOT_HERE"
    stale = [p for p in [*CHECKS, *NOT_HERE] if not any(fnmatchcase(case_id, p) for case_id in CASES)]
    assert not stale, "these patterns match no case"


def test_every_preset_has_golden_cases_for_its_loss_and_its_advantage() -> None:
    for preset in PRESETS:
        supporting = [pattern for pattern, (_, presets) in CHECKS.items() if preset in presets]
        assert any(pattern.startswith("loss/") and pattern != "loss/gas_scale_trap" for pattern in supporting)
        assert any(pattern.startswith("advantage/") for pattern in supporting)


@needs_vectors
def test_the_copied_batch_is_the_golden_one() -> None:
    golden, copied = Batch.of(GOLDEN["base_batch_B0"]), b0()
    for name in ("old", "new", "entropy", "advantages"):
        close(getattr(golden, name), getattr(copied, name).tolist())
