"""The tokenizer and the chat template: the only place that sees strings and token ids together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from dapo.errors import UserError
from dapo.types import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PLAIN = "plain"
"""The template of a base model: the contents of the messages, joined by newlines, with nothing added."""

_PLAIN_TEMPLATE = "{{ messages | map(attribute='content') | join('\\n') }}"
_PROBE = "PROBE"


class TextCodec:
    """Messages to token ids, and token ids to text.

    `template` is a Jinja chat template, the path of a `.jinja` file, or the word `plain`. None takes the
    template of the tokenizer. The tokenizer keeps the template, so that a checkpoint saved with it asks
    its questions in the same way.

    A completion ends at any of `eos_ids`: the end-of-sequence token of the tokenizer, `extra_eos_ids` (those
    of the model's generation config), and the special token with which the template closes an answer.
    `eos_id` is the one to end a demonstration with: that of the template, else that of the tokenizer.
    `pad_id` is the padding token, or `eos_id` where the tokenizer has none.

    Raises UserError if there is no template, or no token that could end a completion.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        template: str | None = None,
        extra_eos_ids: Iterable[int] = (),
    ) -> None:
        self.tokenizer = tokenizer
        if template is not None:
            tokenizer.chat_template = _resolve_template(template, tokenizer)
        elif not tokenizer.chat_template:
            raise UserError(
                f"the tokenizer of {tokenizer.name_or_path or 'this model'} has no chat template; set "
                "model.template to a Jinja template, the path of a .jinja file, or the word plain"
            )
        own = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
        closing = [*self._end_of_turn(), *own, *extra_eos_ids]
        if not closing:
            raise UserError(
                "neither tokenizer, generation config nor chat template names an end-of-sequence token, so "
                "no completion could end; set eos_token in the tokenizer's tokenizer_config.json"
            )
        self.eos_ids = frozenset(closing)
        self.eos_id: int = closing[0]
        self.pad_id: int = self.eos_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id

    def encode(self, messages: Sequence[Message], thinking: bool | None = None) -> list[int]:
        """Token ids of the messages, up to and including the opening of the answer.

        `thinking` asks for an answer with thoughts or without, by the template's variable `enable_thinking`;
        None leaves it to the template. Raises UserError if the template refuses the messages.
        """
        return self.encode_completion(self._render(messages, open_answer=True, thinking=thinking))

    @cached_property
    def asks_for_thoughts(self) -> bool:
        """Whether a prompt that asks for thoughts differs from one that asks for none."""
        question = [{"role": "user", "content": _PROBE}]
        return self.encode(question, thinking=True) != self.encode(question, thinking=False)

    def encode_completion(self, text: str) -> list[int]:
        """Token ids of `text` alone: no beginning and no end-of-sequence token is added."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`, without special tokens."""
        text = self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        assert isinstance(text, str)
        return text

    def split_special(self, text: str) -> list[str]:
        """`text` in pieces: plain text at even places, the special tokens written in it at odd ones.

        The pieces joined are the text. The first and the last are plain text, empty if need be.
        """
        return [text] if self._special is None else self._special.split(text)

    @cached_property
    def _special(self) -> re.Pattern[str] | None:
        """Finds special tokens in a text, the longest where several fit."""
        tokens = [token.content for token in self.tokenizer.added_tokens_decoder.values() if token.special]
        alternatives = "|".join(re.escape(token) for token in sorted(tokens, key=len, reverse=True))
        return re.compile(f"({alternatives})") if alternatives else None

    def save(self, directory: str | Path) -> None:
        """Writes the tokenizer, chat template included, so that `AutoTokenizer` loads it from there."""
        self.tokenizer.save_pretrained(directory)

    def _render(self, messages: Sequence[Message], open_answer: bool, thinking: bool | None = None) -> str:
        from jinja2 import TemplateError

        asked = {} if thinking is None else {"enable_thinking": thinking}
        try:
            text = self.tokenizer.apply_chat_template(
                [dict(message) for message in messages],
                tokenize=False,
                add_generation_prompt=open_answer,
                **asked,
            )
        except TemplateError as error:
            roles = ", ".join(message["role"] for message in messages)
            raise UserError(
                f"the chat template refuses messages with the roles {roles} ({error}); change the data, or "
                "set model.template to a template that takes them"
            ) from error
        assert isinstance(text, str)
        return text

    def _end_of_turn(self) -> list[int]:
        """The special token that follows an answer in the template, where there is one.

        Asked by rendering an answer. Searching the template for known names would find `<|end|>` in
        templates where it closes a part of the answer only.
        """
        try:
            text = self._render(
                [{"role": "user", "content": "?"}, {"role": "assistant", "content": _PROBE}],
                open_answer=False,
            )
        except UserError:  # A template for single questions. It has nothing that follows an answer.
            return []
        _, found, tail = text.rpartition(_PROBE)
        ids = self.encode_completion(tail.lstrip()) if found else []
        return ids[:1] if ids and ids[0] in self.tokenizer.added_tokens_decoder else []


def _resolve_template(template: str, tokenizer: PreTrainedTokenizerBase) -> str:
    """The Jinja source that `template` stands for."""
    if template == PLAIN:
        return _bos_of(tokenizer) + _PLAIN_TEMPLATE
    if template.endswith(".jinja"):
        path = Path(template).expanduser()
        if not path.is_file():
            raise UserError(f"model.template: there is no file {path}; check the path")
        return path.read_text(encoding="utf-8")
    if "{{" not in template and "{%" not in template:
        raise UserError(
            f"model.template: {template!r:.60} is neither the word plain, nor the path of a .jinja file, nor "
            "a Jinja template, which would hold {{ ... }}"
        )
    return template


def _bos_of(tokenizer: PreTrainedTokenizerBase) -> str:
    """Jinja for the beginning-of-sequence token if the tokenizer starts every text with it, else nothing.

    Base models that were trained with the token are lost without it.
    """
    ids = tokenizer.encode("a")
    starts_with_bos = tokenizer.bos_token_id is not None and ids[:1] == [tokenizer.bos_token_id]
    return "{{ bos_token }}" if starts_with_bos else ""
