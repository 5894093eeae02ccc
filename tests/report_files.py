"""A run whose documents, names and values try to break out of a report, made quickly."""

import json
import shutil
from types import SimpleNamespace

from run_files import REPOSITORY, documents, execute

HOSTILE = (
    "</script><script>document.title = 'broken'; console.error('ran')</script>",
    "<img src=https://tracker.example/x.png onerror=\"document.title = 'broken'\">",
    "\u202egnirts desrever\u202c \u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645",
    "W" * 1_000_000,
    "</bdi></p></article></section></main></body></html><base href=https://b.example>",
    "\x07\x1b[31mred\x1b[0m \x00 &lt;b&gt; {style} %s ]]> <!--",
    "<style>body { display: none }</style><link rel=stylesheet href=https://c.example/x.css>",
    "<a href='javascript:alert(1)'>x</a><iframe src=https://d.example></iframe>",
)
HOSTS = ("<b>host</b>.example", "x" * 300 + ".example", "\u202emoc.elpmaxe", "a.example", "b.example")
VALUES = ("</td></tr></table><h1>broken</h1>", "V" * 400, "<script>1</script>", "plain", None)
FILE = "<img src=x onerror=alert(1)> & 'quoted' {braces} " + "n" * 120 + ".jsonl"


def hostile(folder, **settings):
    """The tables of a run of two fastText classifiers over such documents, written to `folder`."""
    rows = list(documents(150))
    for number, row in enumerate(rows):
        row["id"] = f"<u>{number}</u>" + "i" * (300 if number % 7 == 0 else 0)
        row["url"] = f"https://{HOSTS[number % 5]}/{number}?q=<i>"
        row["topic"] = VALUES[number % 5]
        if number % 5:
            row["text"] = f"{HOSTILE[number % len(HOSTILE)]} {row['text']}"
    lines = [json.dumps(row) for row in rows] + [
        '{"text": ["</table><script>1</script>"]}',
        "<script>",
        '{"text": " "}',
    ]
    (folder / "input").mkdir(parents=True)
    (folder / "input" / FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")
    models = shutil.copytree(REPOSITORY / "curation" / "embedded" / "models", folder / "models")
    return {
        "output": str(folder / "<b>run & 'co'"),
        "input": {"path": str(folder / "input"), "carry": ["url", "topic"]},
        "classifier": [
            {"kind": "fasttext", "name": name, "model": str(models / "worth-keeping"), "label": f"__label__{label}"}
            for name, label in (("keep", "keep"), ("rest", "rest"))
        ],
        "tiering": {"weights": "documents"},
        "cluster": {"kind": "cpu", "workers": 1},
    } | settings


def reported(folder, **settings):
    """Such a run, carried out; the tables, and its directory."""
    tables = hostile(folder, **settings)
    done = execute(tables)
    return SimpleNamespace(tables=tables, folder=done.folder, code=done.code, text=done.text)
