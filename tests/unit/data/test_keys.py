from __future__ import annotations

import hashlib

from dapo.data.prepare.keys import Wrappers, held_out, prompt_hash
from dapo.data.prepare.language import language_of

WRAPPERS = Wrappers(("Solve it.\n\n",), ("\n\nAnswer with a number.", "Think."))


def ask(text: str, role: str = "user") -> list[dict[str, str]]:
    return [{"role": role, "content": text}]


def same(one: str, other: str) -> bool:
    return prompt_hash(ask(one), WRAPPERS) == prompt_hash(ask(other), WRAPPERS)


def test_white_space_width_and_wrappers_make_no_other_prompt() -> None:
    assert same("x = 1, y?", "x=1,y ?\n")
    assert same("设 x = 1\uff0c求 y\uff08整数\uff09", "设 x = 1,求 y(整数)")
    assert same("the \ufb01rst", "the first")
    assert same("Solve it.\n\n1+1?\n\nAnswer with a number.", "1+1?")
    assert same("1+1?\n\nAnswer with a number. Think.", "1+1?")


def test_other_words_cases_and_roles_do() -> None:
    assert not same("x = 1", "x = 2")
    assert not same("X", "x")
    assert prompt_hash(ask("a"), WRAPPERS) != prompt_hash(ask("a", "system"), WRAPPERS)
    assert prompt_hash([*ask("a"), *ask("b")], WRAPPERS) != prompt_hash(ask("ab"), WRAPPERS)


def test_the_hash_is_blake2b_of_lengths_and_texts() -> None:
    """So that a split made on one machine is the split on every other."""
    content = b"".join(len(part).to_bytes(8, "little") + part for part in (b"user", b"1+1?"))
    assert prompt_hash(ask(" 1 + 1 ?"), WRAPPERS) == hashlib.blake2b(content, digest_size=16).digest()


def test_bare_text_reads_as_before() -> None:
    assert WRAPPERS.bare("Solve it.\n\nHow many  x?\n\nAnswer with a number.") == "How many  x?"


def test_the_held_out_share_is_met_and_grows_without_exchange() -> None:
    keys = [prompt_hash(ask(str(number)), WRAPPERS) for number in range(4000)]
    small, large = ({key for key in keys if held_out(key, share)} for share in (0.05, 0.2))
    assert small < large
    assert 150 < len(small) < 250 and 700 < len(large) < 900  # 200 and 800, four standard deviations wide
    assert not any(held_out(key, 0.0) for key in keys)
    assert held_out(bytes(16), 1e-9) and not held_out(b"\xff" * 16, 0.999)


def test_languages_by_script() -> None:
    texts = {
        "How many?": "en",
        "Où est-il ?": "en",
        "求 $x$ 的值": "cn",
        "Find 数": "cn",
        "いくつありますか、数は": "other",
        "몇 개입니까": "other",
        "Сколько": "other",
        "1 + 1 = ?": "",
        "": "",
    }
    assert {text: language_of(text) for text in texts} == texts
