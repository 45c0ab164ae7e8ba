"""Code of others that the browser runs: unchanged, with its licence, and htmx with all that it may not do off."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from inspector.web.site import STATIC, TEMPLATES

VENDOR = STATIC / "vendor"
OFF = {"includeIndicatorStyles": False, "allowEval": False, "allowScriptTags": False, "selfRequestsOnly": True}
SHUT = {**OFF, "historyCacheSize": 0, "refreshOnHistoryMiss": True}


def test_every_vendored_file_is_the_published_one_and_lies_beside_its_licence() -> None:
    told = dict(re.findall(r"`(\S+)` \| `([0-9a-f]{64})`", (VENDOR / "README.md").read_text("utf-8")))
    files = [p for p in VENDOR.rglob("*") if p.is_file() and p.name not in ("LICENSE", "README.md")]
    assert {p.relative_to(VENDOR).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files} == told
    assert all((p.parent / "LICENSE").stat().st_size > 200 for p in files) and len(files) > 2


def test_htmx_evaluates_nothing_brings_no_style_asks_nobody_else_and_keeps_no_page() -> None:
    config = re.search(r"name=\"htmx-config\" content='(.*?)'", (TEMPLATES / "_htmx.html").read_text("utf-8"))
    assert config is not None and SHUT.items() <= json.loads(config[1]).items()


def test_no_template_asks_htmx_to_evaluate_anything() -> None:
    for path in TEMPLATES.glob("*.html"):
        text = Path(path).read_text("utf-8")
        found = re.findall(
            r"""hx-on[:\w-]*=|hx-(?:vals|vars|headers)=['"](?:js|javascript):|hx-trigger="[^"]*\[""", text
        )
        assert found == [], path.name
