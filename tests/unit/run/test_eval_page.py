"""The page of completions: what a model wrote stays data, and nothing is asked of the network."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from dapo.run.eval_page import page_lines
from dapo.run.eval_records import EvalRecord
from dapo.run.files import write_lines_atomically

NASTY = [
    "</script><script>alert(1)</script>",
    "</script ><script >alert(1)</script >",
    "<!--<script >",
    "--><img src=x onerror=alert(1)>",
    "&lt;/script&gt; &amp;",
    "\x00\x1b[31m\u2028\u2029\u202e\ufeff",
    "`${process.exit()}` \\u003c \\",
    "]]></textarea>",
]


class Elements(HTMLParser):
    """What a browser makes of a page: elements with their attributes, and the text in each of them."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.append((self.open[-1], data))


def group(text: str, size: int = 1) -> list[EvalRecord]:
    prompt = [{"role": "user", "content": text}, {"role": "user", "content": [{"type": "image"}]}]
    return [
        EvalRecord(text, index, text, prompt, text, text, "length", 3, text, 0.5, text)
        for index in range(size)
    ]


@pytest.fixture
def page(tmp_path: Path) -> str:
    path = tmp_path / "page.html"
    write_lines_atomically(path, page_lines('</title><b> & "it\'s"', [group(text) for text in NASTY]))
    return path.read_text(encoding="utf-8")


def test_what_a_model_wrote_is_data_and_arrives_whole(page: str) -> None:
    elements = Elements(page)
    assert elements.open == []
    expected = ["html", "head", "meta", "meta", "meta", "title", "style", "body", "header", "h1", "p", "p"]
    expected += ["div", "main", "div", "noscript", "script", "script"]
    assert [tag for tag, _ in elements.found] == expected
    scripts = "".join(text for tag, text in elements.texts if tag == "script")
    text = scripts.partition("\n]")[0] + "]"
    assert not set(text) & set("<>&")  # whatever a browser takes for the end of a script begins with one
    data = json.loads(text)
    assert [prompt["completions"][0]["text"] for prompt in data] == NASTY
    assert [prompt["completions"][0]["error"] for prompt in data] == NASTY
    assert [prompt["prompt"] for prompt in data] == [[["user", text], ["user", "[image]"]] for text in NASTY]
    assert ("title", '</title><b> & "it\'s"') in elements.texts


def test_nothing_comes_from_outside(page: str) -> None:
    for tag, attributes in Elements(page).found:
        assert not attributes.keys() & {"src", "href", "action", "data", "style", "onclick", "onload"}, tag
    without_data = re.sub(r'<script type="application/json".*?</script>', "", page, flags=re.DOTALL)
    assert "http" not in without_data.replace("http-equiv", "")
    assert "innerHTML" not in page


def test_the_policy_allows_the_page_s_own_script_and_style_alone(page: str) -> None:
    policy = html.unescape(re.findall(r'Content-Security-Policy" content="([^"]*)"', page)[0])
    assert policy.startswith("default-src 'none'; ")
    for tag in ("style", "script"):
        [body] = re.findall(rf"<{tag}>(.*?)</{tag}>", page, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_the_script_is_javascript(page: str, tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    [script] = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    (tmp_path / "page.js").write_text(script)
    done = subprocess.run([node, "--check", str(tmp_path / "page.js")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_page_does_not_grow_without_end() -> None:
    groups = [group("x" * 100, size=8), group("y" * 100, size=8)]
    text = "".join(page_lines("t", groups, most_characters=650))  # 200 for each completion of both
    assert "The first 3 of the 8 completions of each prompt" in text
    assert text.count('"tokens"') == 2 * 3
    assert "".join(page_lines("t", groups, most_characters=1)).count('"tokens"') == 2 * 1
    assert "The first" not in "".join(page_lines("t", groups))
