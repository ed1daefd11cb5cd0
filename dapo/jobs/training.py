"""A whole run from a recipe: what is built, in which order, what is written down, and how it ends."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from torch import Tensor

from dapo.backends.local import LocalBackend
from dapo.errors import UserError
from dapo.evaluation import evaluate
from dapo.jobs.data import run_data
from dapo.jobs.messages import closing_words, figures, interrupted_words, remarks
from dapo.jobs.place import TRAINER_STATE, open_run
from dapo.jobs.records import step_records
from dapo.model import check_context, load_codec
from dapo.recipe.config import Recipe, recipe_to_plain
from dapo.recipe.lint import shaping_notes
from dapo.run.checkpoints import Checkpoints
from dapo.run.console import Console
from dapo.run.environment import differences, environment
from dapo.run.interrupts import Interrupted, Interrupts
from dapo.run.metrics import MetricsLog, evaluations
from dapo.run.randomness import random_state, restore_random, seed_all
from dapo.run.rollouts import RolloutLog
from dapo.run.state import load_state, part, save_state
from dapo.text import TextCodec
from dapo.trainer import Step, Trainer

State = tuple[dict[str, Tensor], dict[str, Any]]


class Run:
    """A recipe at work: its data, backend and trainer, and the directory it is written down in."""

    def __init__(self, recipe: Recipe, resume: bool = False, force: bool = False) -> None:
        """Load everything; with `resume`, continue from the run's latest checkpoint.

        `force` accepts a recipe that differs from the run's own in more than may change.
        """
        self.recipe = recipe
        seed_all(recipe.seed)
        codec = load_codec(recipe.model)
        check_context(recipe.model, recipe.max_prompt_tokens + recipe.max_completion_tokens)
        self.data = run_data(recipe, codec)
        try:
            if not resume:
                self.data.require_golds(recipe.grading)
            self._assemble(codec)
            self.directory, self.notes = open_run(recipe, resume, force)
            try:
                self._open(resume)
            except BaseException:
                self.directory.close()
                raise
        except BaseException:
            self.data.workers.close()
            raise

    def _assemble(self, codec: TextCodec) -> None:
        """Everything that a run needs besides its data and its directory."""
        recipe = self.recipe
        self.backend = LocalBackend(
            recipe.model,
            codec=codec,
            sampler=recipe.sampler,
            learner=recipe.learner,
            optimizer=recipe.optimizer,
            temperature=recipe.generation.temperature,
            with_reference=recipe.algorithm.kl is not None,
        )
        self.interrupts = Interrupts()
        self.console = Console(recipe.num_steps, f"{recipe.name} · {recipe.model.path}")
        self.trainer = Trainer(
            backend=self.backend,
            stream=self.data.stream,
            grader=self.data.grader,
            algorithm=recipe.algorithm,
            max_completion_tokens=recipe.max_completion_tokens,
            sizes=recipe.sizes,
            sampling=recipe.sampling,
            params=recipe.training_params(),
            budget=recipe.budget,
            on_phase=self.console.phase,
            on_group=self.console.sampling,
            check=self.interrupts.check,
        )
        self.seconds = 0.0
        """Seconds at work before this process took over."""
        self.began = time.monotonic()
        self.pace: dict[str, float] = {}
        """What the last step, evaluation and save took: kept in reserve before a limit in hours."""

    def _open(self, resume: bool) -> None:
        """Go to where the run stands, and open what it writes to."""
        recipe, directory = self.recipe, self.directory
        kept = recipe.checkpoint
        self.checkpoints = Checkpoints(directory.checkpoints_path, kept.keep, kept.keep_best)
        if resume:
            self._resume()
        self.rollouts = RolloutLog(directory)
        self.data.quarantine.path = directory.quarantine_path
        step = self.trainer.step if resume else None
        self.metrics = MetricsLog(directory, recipe.run.trackers, resume_step=step)
        self.evaluations = evaluations(directory)
        """The figures of every evaluation so far, by step."""
        for step in sorted(self.evaluations):
            self._mark_best(step)

    @property
    def elapsed(self) -> float:
        """Seconds at work, over all restarts."""
        return self.seconds + time.monotonic() - self.began

    def train(self) -> dict[str, Any]:
        """Go on until the budget is spent. Returns the summary, which also lies in summary.json.

        On SIGTERM or Ctrl-C the run is saved as it was at the last boundary between two steps, and can
        be resumed; the summary says so under `interrupted`.

        Raises:
            UserError: where the disk refuses to be written to; the checkpoints before are untouched.
        """
        with self.console, self.interrupts, self.directory, self.data.workers:
            notes = [*self.data.reports, *self.backend.notes, *self.notes, *shaping_notes(self.recipe)]
            for line in notes:
                self.console.message(line)
            try:
                self._steps()
            except Interrupted:
                return self._stop(str(self.interrupts.requested))
            except OSError as error:
                problem = f"{self.directory.path} could not be written to: {error}"
                raise UserError(self.checkpoints.explain(problem)) from error
            return self._finish()

    def _steps(self) -> None:
        trainer, ends = self.trainer, self._spent()
        self.boundary = self._state()
        while True:
            self._evaluate_if_due(ends)
            if ends:
                return
            step = trainer.train_step()
            self.boundary = self._state()
            self._write(step)
            ends = self._spent() or step.sampled.ends_run
            if ends or _due(self.recipe.checkpoint.every, trainer.step):
                self._save()
            self.interrupts.check()

    def _spent(self) -> bool:
        tokens = self.trainer.account.tokens["generated"]
        return self.recipe.budget.spent(self.trainer.step, tokens, self.elapsed, sum(self.pace.values()))

    def _write(self, step: Step) -> None:
        self.pace["step"] = step.metrics["time/step"]
        budget, tokens = self.recipe.budget, self.trainer.account.tokens["generated"]
        metrics = step.metrics | {"tokens/total": float(tokens)}
        self.rollouts.write(step.number, step_records(step, self.recipe.group_size))
        self.metrics.log(step.number, metrics)
        share = budget.progress(step.number, tokens)
        self.console.step(step.number, step.metrics, share, budget.seconds_left(self.elapsed))
        for line in remarks(step):
            self.console.warn(line)

    def _evaluate_if_due(self, last: bool) -> None:
        """Measure the policy of this boundary, where that is due and was not done before a restart."""
        step = self.trainer.step
        due = last or step == 0 or _due(self.recipe.eval.every, step)
        grader, prompts = self.data.eval_grader, self.data.eval_prompts
        if not due or grader is None or not prompts or step in self.evaluations:
            return
        self.console.phase("evaluate")
        started = time.monotonic()
        result = evaluate(
            self.backend,
            prompts,
            grader,
            self.recipe.eval.sampling(self.recipe.generation.stop, self.recipe.generation.repetition),
            check=self.interrupts.check,
        )
        self.rollouts.write_evaluation(step, result.records())
        metrics = {f"eval/{name}": value for name, value in result.metrics.items()}
        self.metrics.log(step, metrics)
        self.evaluations[step] = metrics
        self._mark_best(step)
        self.console.message(f"evaluation after step {step}: {figures(result)}")
        self.pace["evaluation"] = time.monotonic() - started

    def _state(self) -> State:
        """All that a restart needs besides the backend's own state, at a boundary between two steps."""
        tensors, trainer = self.trainer.state()
        parts = {"trainer": tensors, "random": random_state()}
        return (
            {f"{part}/{name}": value for part, own in parts.items() for name, value in own.items()},
            {"trainer": trainer},
        )

    def _save(self) -> None:
        """Write the last boundary down, if no checkpoint holds it yet."""
        tensors, values = self.boundary
        step = values["trainer"]["step"]
        if self.checkpoints.holds(step):
            return
        self.console.phase("save")
        started = time.monotonic()
        values = values | {
            "recipe": recipe_to_plain(self.recipe),
            "seconds": self.elapsed,
            "environment": environment(self.backend.device),
        }

        def write(directory: Path) -> None:
            self.backend.save(directory)
            save_state(directory / TRAINER_STATE, tensors, values)

        size = self.checkpoints.size_of(self.checkpoints.save(step, write))
        self.pace["save"] = time.monotonic() - started
        self.console.message(f"checkpoint of step {step} written, {size / 2**20:,.1f} MiB")
        self._mark_best(step)

    def _resume(self) -> None:
        checkpoint = self.checkpoints.latest()
        if checkpoint is None:
            self.notes.append("there is no checkpoint yet: the run starts from its first step")
            return
        self.backend.load(checkpoint)
        tensors, values = load_state(checkpoint / TRAINER_STATE)
        restore_random(part("random/", tensors))
        self.trainer.load_state(part("trainer/", tensors), values["trainer"])
        self.seconds = values["seconds"]
        for line in differences(values["environment"], environment(self.backend.device)):
            self.notes.append(f"the bits of this run may differ from an undisturbed one: {line}")

    def _accuracy(self, step: int) -> float | None:
        """avg@k after a step. None without an evaluation, or where it was made with another k."""
        return self.evaluations.get(step, {}).get(f"eval/avg@{self.recipe.eval.completions}")

    def _mark_best(self, step: int) -> None:
        """Keep the checkpoint of the best evaluation, whichever of the two came first."""
        accuracy = self._accuracy(step)
        if accuracy is not None:
            self.checkpoints.mark_best(step, accuracy)

    def _summary(self) -> dict[str, Any]:
        account, steps = self.trainer.account, sorted(self.evaluations)
        ends = {"accuracy_before": steps[:1], "accuracy_after": steps[-1:]}
        return {
            **{name: self._accuracy(step) for name, found in ends.items() for step in found},
            "seconds": self.elapsed,
            "steps": self.trainer.step,
            "tokens": account.tokens["generated"],
            "account": account.state(),
            "run": str(self.directory.path),
        }

    def _stop(self, signal: str) -> dict[str, Any]:
        """Save the last boundary and leave, so that the run can be resumed."""
        self.trainer.close()
        self._save()
        self.metrics.close()
        step = self.boundary[1]["trainer"]["step"]
        self.console.finish(interrupted_words(signal, step, self.directory.path))
        self.backend.close()
        return self._summary() | {"interrupted": signal, "steps": step}

    def _finish(self) -> dict[str, Any]:
        self.trainer.close()
        self.metrics.close()
        summary = self._summary()
        self.directory.write_summary(summary)
        self.directory.write_prompts(self.trainer.known_prompts())
        self.console.finish(closing_words(summary, self.recipe, self.checkpoints.latest()))
        self.backend.close()
        return summary


def _due(every: int, step: int) -> bool:
    return every > 0 and step % every == 0
