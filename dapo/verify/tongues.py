"""Which language is a text in? By script, and by its commonest words where languages share one."""

# ruff: noqa: RUF001  (Cyrillic words are made of Cyrillic letters, also of those that look Latin)

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from dapo.verify.scripts import SCRIPTS, language_code, words

_COMMON: Mapping[str, frozenset[str]] = {
    code: frozenset(common.split())
    for code, common in {
        "en": "the of and to in is that it was for on are with as his they this have from you not be at",
        "es": "el la de que y en los las un una por con para es se del no su al lo como más está hoy pero",
        "pt": "o a de que e do da em um uma para com não os as no na por mais dos das é ao foi mas você",
        "fr": "le la les de des et un une est dans que qui pour pas il elle sur du au avec ce sont nous vous",
        "de": "der die das und ist nicht ein eine zu den mit von auf für sich im dem des wir ich es sie auch",
        "it": "il la di che e un una per non sono con del della è gli le dei nel alla si anche come più ma",
        "nl": "de het een van en is dat niet op te in voor met zijn er ook aan om als maar door wordt",
        "pl": "i w na z do się nie jest to że o jak po ale przez dla od są co czy być tak jego który",
        "vi": "và của là có không một những cho được trong với người này đã các để khi từ cũng như về",
        "sw": "ya na wa kwa ni katika za la cha kuwa hii hiyo watu lakini au kama yake pia sana hivyo",
        "fi": "ja on ei se että hän oli mutta ovat myös kun tai niin ole joka jos kuin minä sitä voi",
        "sv": "och att det som en på är av för med den till inte om ett har jag var men vi från",
        "ru": "и в не на что он с как это но по из она к у за от так же все было для только или",
        "uk": "і в не на що він з як це але та до у за від так же все було для тільки або є її",
        "bg": "и в не на че той с като това но по от тя към за така се да са е съм ще или",
        "ar": "من في على إلى أن هذا التي الذي كان مع لا ما هذه عن",
        "fa": "و در به از که این را با است برای آن یک خود تا",
        "ur": "اور کے میں ہے کی کا سے کو پر یہ نے ہیں کہ ایک",
        "hi": "और के में है की का से को पर यह ने हैं कि एक",
        "mr": "आणि आहे च्या या ते हे मध्ये होते आहेत नाही एक ची तो ही",
        "ne": "र को मा छ का लागि यो हो पनि एक गर्न छन् भएको तथा",
    }.items()
}
"""Some of the commonest words of each language. Those of one script are compared with each other."""

_KANA = ("HIRAGANA", "KATAKANA")
_JAPANESE = 0.1
"""Text of Chinese characters is Japanese from this share of kana on."""

_ENOUGH = 0.5
"""The least share of words in the language's script: a Russian text may quote an English one."""


def is_in(text: str, language: str) -> bool:
    """Whether `text` is in a language, as far as script and common words can tell.

    At least half of its words are of the language's scripts, and no other language of these has more of
    its commonest words in it. Each counts once: Los Angeles may be spoken of in English.
    Raises ValueError for an unknown language.
    """
    code = language_code(language)
    scripts = SCRIPTS[code]
    found = Counter((word.casefold(), script) for word, script in words(text))
    fitting = Counter({word: count for (word, script), count in found.items() if script in scripts})
    if not fitting or fitting.total() < _ENOUGH * found.total():
        return False
    kana = sum(count for (_, script), count in found.items() if script in _KANA)
    if "CJK" in scripts and (code == "ja") != (kana >= _JAPANESE * found.total()):
        return False
    hits = {
        other: len(common & fitting.keys()) for other, common in _COMMON.items() if SCRIPTS[other] == scripts
    }
    return code not in hits or hits[code] == max(hits.values())
