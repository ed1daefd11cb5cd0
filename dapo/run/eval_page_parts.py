"""Style and script of the page that shows the completions of an evaluation."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --line: #8884; --dim: #666; --good: #1a7f37; --bad: #c2342b;
  --warn: #9a6700; }
@media (prefers-color-scheme: dark) {
  :root { --dim: #999; --good: #56d364; --bad: #ff7b72; --warn: #e3b341; }
}
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 0 1.25rem 3rem; max-width: 62rem; }
header { position: sticky; top: 0; z-index: 1; background: Canvas; padding: .75rem 0;
  border-bottom: 1px solid var(--line); }
h1 { font-size: 1.15rem; margin: 0; overflow-wrap: anywhere; }
header p { margin: .1rem 0; color: var(--dim); }
#filters { display: flex; flex-wrap: wrap; gap: .4rem; margin-top: .4rem; }
button, input { font: inherit; font-size: .9rem; padding: .15rem .7rem; border: 1px solid var(--line);
  border-radius: 1rem; background: none; color: inherit; }
button { cursor: pointer; }
button[aria-pressed=true] { background: CanvasText; color: Canvas; }
input { flex: 1 1 12rem; }
article { border-bottom: 1px solid var(--line); padding: 1rem 0; }
h2 { font-size: .9rem; font-weight: 600; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 span { color: var(--dim); font-weight: 400; }
pre { font: 13px/1.5 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere;
  unicode-bidi: isolate; margin: .25rem 0 .5rem; }
.asked { border-left: 3px solid var(--line); padding-left: .75rem; max-height: 18rem; overflow: auto; }
.gold { color: var(--dim); }
summary { cursor: pointer; padding: .15rem 0; overflow-wrap: anywhere; }
details pre { background: #8881; border-radius: .4rem; padding: .6rem .8rem; }
.right { color: var(--good); } .wrong { color: var(--bad); } .cut, .ungraded, .none { color: var(--warn); }
summary span + span::before { content: " \\00b7 "; color: var(--dim); }
"""

SCRIPT = """
"use strict";
const prompts = JSON.parse(document.getElementById("data").textContent);
const PAGE = 25;
const FILTERS = {
  all: () => true,
  right: c => c.score >= 0.5,
  wrong: c => c.score < 0.5,
  truncated: c => c.end === "length",
  "no answer": c => c.found === null && c.error === null,
  ungraded: c => c.error !== null,
};
let chosen = "all", words = "", shown = PAGE;

function element(tag, kind, text) {
  const made = document.createElement(tag);
  if (kind) made.className = kind;
  if (text !== undefined) made.textContent = text;  // as text, never as markup
  return made;
}

function summaryOf(completion, index) {
  const line = element("summary");
  const right = completion.score >= 0.5;
  const graded = completion.score === 0 || completion.score === 1 ? "" : " " + completion.score.toFixed(3);
  const verdict = right ? "right" : "wrong";
  line.append(element("span", verdict, `${index + 1} ${verdict}${graded}`));
  if (completion.error !== null) line.append(element("span", "ungraded", "ungraded: " + completion.error));
  else if (completion.found === null) line.append(element("span", "none", "no answer found"));
  else line.append(element("span", "", "answer " + completion.found));
  line.append(element("span", "gold", completion.tokens + " tokens"));
  if (completion.end === "length") line.append(element("span", "cut", "cut at its limit"));
  return line;
}

function detailsOf(completion, index) {
  const box = element("details");
  box.append(summaryOf(completion, index));
  box.addEventListener("toggle", () => {  // long texts are laid out when they are looked at
    if (box.open && box.childNodes.length === 1) box.append(element("pre", "", completion.text));
  });
  return box;
}

function articleOf(prompt, wanted) {
  const article = element("article");
  const title = element("h2", "", prompt.id);
  const right = prompt.completions.filter(FILTERS.right).length;
  const source = prompt.source ? ` ${prompt.source},` : "";
  title.append(element("span", "", ` ${source} ${right} of ${prompt.completions.length} right`));
  article.append(title);
  for (const [role, text] of prompt.prompt) {
    article.append(element("pre", "asked", prompt.prompt.length > 1 ? role + ": " + text : text));
  }
  article.append(element("div", "gold", "gold answer: " + prompt.answer));
  for (const [completion, index] of wanted) article.append(detailsOf(completion, index));
  return article;
}

function matches(prompt, completion) {
  if (!FILTERS[chosen](completion)) return false;
  if (!words) return true;
  const texts = [prompt.id, prompt.answer, completion.text, ...prompt.prompt.map(message => message[1])];
  return texts.some(text => text.toLowerCase().includes(words));
}

function draw() {
  const found = [];
  let completions = 0;
  for (const prompt of prompts) {
    const wanted = prompt.completions.map((c, index) => [c, index]).filter(pair => matches(prompt, pair[0]));
    if (wanted.length) found.push([prompt, wanted]);
    completions += wanted.length;
  }
  document.getElementById("count").textContent = `${completions} completions of ${found.length} prompts`;
  const list = found.slice(0, shown).map(pair => articleOf(pair[0], pair[1]));
  document.getElementById("prompts").replaceChildren(...list);
  const more = document.getElementById("more");
  more.replaceChildren();
  if (found.length > shown) {
    const button = element("button", "", `show ${Math.min(PAGE, found.length - shown)} more prompts`);
    button.addEventListener("click", () => { shown += PAGE; draw(); });
    more.append(button);
  }
}

function build() {
  const bar = document.getElementById("filters");
  for (const [name, test] of Object.entries(FILTERS)) {
    const count = prompts.reduce((sum, prompt) => sum + prompt.completions.filter(test).length, 0);
    const button = element("button", "", `${name} ${count}`);
    button.setAttribute("aria-pressed", String(name === chosen));
    button.addEventListener("click", () => {
      chosen = name;
      shown = PAGE;
      for (const other of bar.querySelectorAll("button")) {
        other.setAttribute("aria-pressed", String(other === button));
      }
      draw();
    });
    bar.append(button);
  }
  const search = element("input");
  search.type = "search";
  search.placeholder = "search prompts and completions";
  search.addEventListener("input", () => { words = search.value.toLowerCase(); shown = PAGE; draw(); });
  bar.append(search);
  draw();
}

build();
"""
