"""`dapo data inspect`: a file, and what a model will see of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, is_dataclass
from typing import Any

from dapo.data.columns import Columns
from dapo.data.inspection import Inspection, Inspector
from dapo.data.progress import Progress, silent
from dapo.data.template_audit import Check, audit_template
from dapo.errors import UserError
from dapo.jobs.prepare import WRAPPERS, sources_of
from dapo.model import ModelSettings, load_codec


@dataclass(frozen=True)
class Look:
    """A file as it was found, and the template it was read through."""

    data: Inspection
    template: list[Check] = field(default_factory=list)
    """Empty without a model."""

    def plain(self) -> dict[str, Any]:
        """Everything, as lists and dicts."""
        return {"data": _as_plain(self.data), "template": _as_plain(self.template)}


def inspect_data(
    spec: str,
    *,
    model: str | None = None,
    template: str | None = None,
    max_prompt_tokens: int = 2048,
    samples: int = 10,
    columns: Columns | None = None,
    progress: Progress = silent,
) -> Look:
    """Looks at the data that `spec` stands for, as `dapo data prepare` takes it.

    Without a model, lengths are in characters and words, and there is no template to look at. Raises
    UserError for a file or a model that cannot be read, or a template without a model.
    """
    if template is not None and model is None:
        raise UserError("--template needs --model, whose tokenizer it is for")
    if max_prompt_tokens < 1 or samples < 0:
        raise UserError("--max-prompt-tokens must be at least 1, and --samples at least 0")
    sources = sources_of(spec, columns)
    if len(sources) != 1:
        raise UserError(f"{spec} names {len(sources)} files; look at them one by one")
    codec = None if model is None else load_codec(ModelSettings(model, template=template))
    inspector = Inspector(sources[0], WRAPPERS, codec, max_prompt_tokens, samples, progress)
    return Look(inspector.run(), [] if codec is None else audit_template(codec))


def _as_plain(value: Any) -> Any:
    """Dataclasses as dicts, at any depth. `dataclasses.asdict` makes nonsense of a Counter."""
    if is_dataclass(value):
        return _as_plain(vars(value))
    if isinstance(value, Mapping):
        return {name: _as_plain(item) for name, item in value.items()}
    return [_as_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
