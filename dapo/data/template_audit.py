"""What a chat template and a tokenizer do to the end of a turn, to system messages, and to the beginning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from dapo.text import TextCodec

_USER, _ANSWER, _SYSTEM = "PROBEQUESTION", "PROBEANSWER", "PROBESYSTEM"
_MESSAGE = {"role": "user", "content": _USER}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    verdict: Literal["ok", "note", "warning"]
    text: str


def audit_template(codec: TextCodec) -> list[Check]:
    """What there is to know about the template before a run."""
    return list(_checks(codec))


def _checks(codec: TextCodec) -> Iterator[Check]:
    yield _end_of_turn(codec)
    yield _padding(codec)
    yield _generation_prompt(codec)
    yield _thoughts(codec)
    yield _system(codec)
    yield _beginning(codec)
    yield _blanks(codec)


def _end_of_turn(codec: TextCodec) -> Check:
    tokenizer, name = codec.tokenizer, "end of turn"
    stops = ", ".join(_token(codec, token) for token in sorted(codec.eos_ids))
    try:
        text = _render(codec, [_MESSAGE, {"role": "assistant", "content": _ANSWER}])
    except ValueError as error:
        return Check(name, "note", f"the template takes no answers ({error}); generation stops at {stops}")
    tail = text.rpartition(_ANSWER)[2]
    ids = codec.encode_completion(tail.strip())
    if not ids or ids[0] not in tokenizer.added_tokens_decoder:
        return Check(name, "note", f"the template puts no token after an answer; generation stops at {stops}")
    closing = _token(codec, ids[0])
    if ids[0] not in codec.eos_ids:
        return Check(
            name, "warning", f"answers end with {closing}, and generation stops at {stops}: never there"
        )
    if ids[0] != tokenizer.eos_token_id:
        return Check(
            name,
            "note",
            f"answers end with {closing}, which is not the tokenizer's own end: a sampler that knows only "
            f"that one would run on; generation here stops at {stops}",
        )
    return Check(name, "ok", f"answers end with {closing}, where generation stops")


def _padding(codec: TextCodec) -> Check:
    pad = codec.tokenizer.pad_token_id
    if pad is None:
        return Check(
            "padding", "note", f"the tokenizer has none; {_token(codec, codec.pad_id)} is used, and masked"
        )
    if pad in codec.eos_ids:
        return Check(
            "padding",
            "note",
            f"{_token(codec, pad)} is padding and end at once: harmless here, where masks come from lengths; "
            "a trainer that masks by token would never learn to stop",
        )
    return Check("padding", "ok", f"{_token(codec, pad)}, which ends nothing")


def _generation_prompt(codec: TextCodec) -> Check:
    closed, opened = _render(codec, [_MESSAGE]), _render(codec, [_MESSAGE], open_answer=True)
    added = opened.removeprefix(closed)
    if opened == closed:
        return Check("generation prompt", "warning", "none: the model has to open its turn itself")
    think = "; it opens a thought" if "<think>" in added and "</think>" not in added else ""
    return Check("generation prompt", "ok", f"{added!r}{think}")


def _thoughts(codec: TextCodec) -> Check:
    asked = "asked for, or not, by enable_thinking, where a row says which"
    unasked = "the template does not look at enable_thinking: rows that ask for them read like others"
    return Check("thoughts", "ok", asked if codec.asks_for_thoughts else unasked)


def _system(codec: TextCodec) -> Check:
    name = "system message"
    try:
        text = _render(codec, [{"role": "system", "content": _SYSTEM}, _MESSAGE])
    except ValueError as error:
        return Check(name, "warning", f"refused ({error}); rows with one cannot be used")
    if _SYSTEM not in text:
        return Check(name, "warning", "swallowed: the model never sees it")
    plain = _render(codec, [_MESSAGE])
    own = plain.partition(_USER)[0]
    if len(own.split()) > 3:
        return Check(name, "note", f"kept; without one the template adds its own: {own!r:.120}")
    return Check(name, "ok", "kept")


def _beginning(codec: TextCodec) -> Check:
    tokenizer, name = codec.tokenizer, "beginning"
    bos = tokenizer.bos_token_id
    ids = codec.encode([_MESSAGE])
    if bos is None:
        return Check(name, "ok", "the tokenizer has no beginning-of-sequence token")
    if ids[:2] == [bos, bos]:
        return Check(name, "warning", f"{_token(codec, bos)} stands there twice: remove it from the template")
    if ids[:1] == [bos]:
        return Check(name, "ok", f"{_token(codec, bos)}, once")
    if tokenizer.encode("a")[:1] == [bos]:
        return Check(
            name,
            "warning",
            f"the tokenizer begins every text with {_token(codec, bos)}, the template does not: add "
            "{{ bos_token }} to it",
        )
    return Check(name, "ok", f"without {_token(codec, bos)}, as the tokenizer's own texts")


def _blanks(codec: TextCodec) -> Check:
    probe = f"  {_USER}\n\n  {_USER} \n"
    kept = probe in _render(codec, [{"role": "user", "content": probe}])
    text = "kept" if kept else "changed by the template at the ends or inside of a message"
    return Check("white space", "ok" if kept else "note", text)


def _render(codec: TextCodec, messages: list[dict[str, Any]], open_answer: bool = False) -> str:
    """The text of the messages. Raises ValueError with the template's own words if it refuses them."""
    from jinja2 import TemplateError

    try:
        return str(
            codec.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=open_answer)
        )
    except TemplateError as error:
        raise ValueError(str(error)) from error


def _token(codec: TextCodec, token: int | None) -> str:
    return "none" if token is None else f"{codec.tokenizer.convert_ids_to_tokens(token)} ({token})"
