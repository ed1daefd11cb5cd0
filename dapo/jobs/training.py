"""A whole run from a recipe: what is built, in which order, and what is written down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from dapo.backends.local import LocalBackend
from dapo.data.prompts import DataReport, build_prompts
from dapo.data.stream import PromptStream
from dapo.errors import UserError
from dapo.evaluation import evaluate
from dapo.grading import Grader
from dapo.jobs.messages import closing_words, figures, remarks
from dapo.model import check_context, load_codec
from dapo.recipe.config import Recipe, recipe_to_plain
from dapo.recipe.resolve import reward_from, task_from
from dapo.recipe.text import RecipeError
from dapo.run.checkpoints import Checkpoints
from dapo.run.console import Console
from dapo.run.directory import RunDirectory, latest_run, new_run_path
from dapo.run.metrics import MetricsLog
from dapo.run.rollouts import RolloutLog
from dapo.run.state import load_state, save_state
from dapo.text import TextCodec
from dapo.trainer import Step, Trainer
from dapo.types import Prompt

RUNS = Path("runs")
_STATE = "trainer"


class Run:
    """A recipe at work: its data, backend and trainer, and the directory it is written down in."""

    def __init__(self, recipe: Recipe, resume: bool = False) -> None:
        """Load everything; with `resume`, continue from the run's latest checkpoint."""
        self.recipe = recipe
        codec = load_codec(recipe.model)
        check_context(recipe.model, recipe.max_prompt_tokens + recipe.max_completion_tokens)
        task = task_from(recipe.data.train, "data.train")
        eval_task = task if recipe.data.eval is None else task_from(recipe.data.eval, "data.eval")
        self.prompts, self.report = train_prompts(recipe, task, codec)
        self.eval_prompts = eval_prompts(recipe, eval_task, codec)
        reward = task.reward if recipe.reward is None else reward_from(recipe.reward)
        self.grader = Grader(reward)
        self.eval_grader = Grader(reward if recipe.reward is not None else eval_task.reward)
        self.directory = _open(recipe, resume)
        self.checkpoints = Checkpoints(self.directory.checkpoints_path, recipe.checkpoint.keep)
        self.console = Console(recipe.num_steps, f"{recipe.name} · {recipe.model.path}")
        self.backend = LocalBackend(
            recipe.model,
            codec=codec,
            sampler=recipe.sampler,
            learner=recipe.learner,
            optimizer=recipe.optimizer,
            temperature=recipe.generation.temperature,
            total_updates=recipe.total_updates,
            with_reference=recipe.algorithm.kl is not None,
        )
        self.trainer = Trainer(
            backend=self.backend,
            stream=PromptStream(self.prompts, seed=recipe.seed),
            grader=self.grader,
            algorithm=recipe.algorithm,
            sizes=recipe.sizes,
            sampling=recipe.sampling,
            params=recipe.training_params(),
            on_phase=self.console.phase,
            on_group=self.console.sampling,
        )
        self.summary: dict[str, Any] = {"seconds": 0.0}
        if resume:
            self._resume()
        self.rollouts = RolloutLog(self.directory)
        self.metrics = MetricsLog(
            self.directory, recipe.run.trackers, resume_step=self.trainer.step if resume else None
        )

    def train(self) -> dict[str, Any]:
        """Go on to the last step. Returns the summary, which also lies in summary.json.

        Raises:
            UserError: where the disk refuses to be written to; the checkpoints before are untouched.
        """
        with self.console:
            self.console.message(self.report.summary())
            try:
                self._steps()
            except OSError as error:
                problem = f"{self.directory.path} could not be written to: {error}"
                raise UserError(self.checkpoints.explain(problem)) from error
            self._finish()
        return self.summary

    def _steps(self) -> None:
        recipe, trainer = self.recipe, self.trainer
        if trainer.step == 0:
            self.metrics.log(0, self._evaluate("accuracy_before"))
        while trainer.step < recipe.num_steps:
            step = trainer.train_step()
            self._show(step)
            metrics = step.metrics | {"tokens/total": float(trainer.account.tokens["generated"])}
            last = trainer.step == recipe.num_steps
            if last or _due(recipe.eval.every, trainer.step):
                metrics |= self._evaluate("accuracy_after")
            self.rollouts.write(step.number, _records(step, recipe.group_size))
            self.metrics.log(step.number, metrics)
            if last or _due(recipe.checkpoint.every, trainer.step):
                self._save()

    def _show(self, step: Step) -> None:
        self.summary["seconds"] += step.metrics["time/step"]
        self.console.step(step.number, step.metrics)
        for line in remarks(step):
            self.console.warn(line)

    def _evaluate(self, milestone: str) -> dict[str, float]:
        """Measure the policy; `milestone` is the key of the summary its accuracy goes under."""
        if not self.eval_prompts:
            return {}
        self.console.phase("evaluate")
        params = self.recipe.eval.sampling(self.recipe.generation.stop)
        result = evaluate(self.backend, self.eval_prompts, self.eval_grader, params)
        self.rollouts.write_evaluation(self.trainer.step, result.records())
        self.console.message(f"evaluation after step {self.trainer.step}: {figures(result)}")
        self.summary[milestone] = result.accuracy
        return {f"eval/{name}": value for name, value in result.metrics.items()}

    def _finish(self) -> None:
        account = self.trainer.account
        self.summary |= {
            "steps": self.trainer.step,
            "tokens": account.tokens["generated"],
            "groups": account.groups,
            "run": str(self.directory.path),
        }
        self.metrics.close()
        self.directory.write_summary(self.summary)
        self.console.finish(closing_words(self.summary, self.recipe, self.checkpoints.latest()))
        self.backend.close()

    def _save(self) -> None:
        self.console.phase("save")

        def write(directory: Path) -> None:
            self.backend.save(directory)
            values = {"trainer": self.trainer.state(), "summary": self.summary}
            save_state(directory / _STATE, {"torch_rng": torch.get_rng_state()}, values)

        self.checkpoints.save(self.trainer.step, write)

    def _resume(self) -> None:
        checkpoint = self.checkpoints.latest()
        if checkpoint is None:
            raise RecipeError(
                f"{self.directory.path} holds no checkpoint to resume from (checkpoint.every sets how often "
                "one is written); start again with another run.dir"
            )
        self.backend.load(checkpoint)
        tensors, values = load_state(checkpoint / _STATE)
        torch.set_rng_state(tensors["torch_rng"])
        self.trainer.load_state(values["trainer"])
        self.summary = values["summary"]


def train_prompts(recipe: Recipe, task: Any, codec: TextCodec) -> tuple[list[Prompt], DataReport]:
    """The prompts to train on, and what became of the rows."""
    return build_prompts(
        task.train(), codec, recipe.max_prompt_tokens, recipe.max_completion_tokens, recipe.data.limit
    )


def eval_prompts(recipe: Recipe, task: Any, codec: TextCodec) -> list[Prompt]:
    """The prompts to evaluate on: the held-out examples, or all of a task named for this purpose.

    None where the training task holds nothing out.
    """
    examples = task.eval() or ([] if recipe.data.eval is None else task.train())
    if not examples:
        return []
    tokens = recipe.eval.max_completion_tokens or recipe.max_completion_tokens
    prompts, _ = build_prompts(examples, codec, recipe.max_prompt_tokens, tokens, recipe.eval.limit)
    return prompts


def _records(step: Step, group_size: int) -> list[dict[str, Any]]:
    """Every completion of a step, kept or dropped."""
    advantages = [sample.advantage for sample in step.samples]
    records = []
    for index, group in enumerate(step.sampled.trained):
        own = advantages[index * group_size : (index + 1) * group_size]
        records += RolloutLog.record(group, step=step.number, verdict="signal", kept=True, advantages=own)
    for group, verdict in step.sampled.rejected:
        records += RolloutLog.record(group, step=step.number, verdict=verdict, kept=False, advantages=None)
    return records


def _open(recipe: Recipe, resume: bool) -> RunDirectory:
    given = recipe.run.dir
    if not resume:
        path = Path(given) if given else new_run_path(RUNS, recipe.name)
        return RunDirectory.create(path, recipe_to_plain(recipe))
    found = Path(given) if given else latest_run(RUNS, recipe.name)
    if found is None:
        raise RecipeError(
            f"there is no run of {recipe.name!r} under {RUNS}/ to resume; name it with run.dir=..."
        )
    return RunDirectory.open(found)


def _due(every: int, step: int) -> bool:
    return every > 0 and step % every == 0
