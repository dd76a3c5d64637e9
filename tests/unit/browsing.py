"""Pages in a headless browser, as a person's has them after their scripts have run."""

import re
import shutil
import subprocess
from html import unescape

import pytest

CHROMIUM = next((p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH (Debian: chromium)")


def dom(text, folder, *, width=1280):
    """The page's elements."""
    page = folder / "page.html"
    page.write_text(text, encoding="utf-8")
    words = (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        f"--user-data-dir={folder / 'home'}",
    )
    done = subprocess.run(
        [CHROMIUM, *words, f"--window-size={width},900", "--virtual-time-budget=10000", "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=90,
    )
    return done.stdout


def poked(text, folder, script, *, width=1280):
    """What a script of the test's own, which the page's policy must be told of, leaves in the body's `dataset`. It runs once
    the page's own have."""
    whole = f"""
      addEventListener("error", (e) => {{ document.body.dataset.wrong = e.message; }});
      const own = document.getElementById("filter") ? "script" : "lanes";
      const wait = () => document.documentElement.dataset[own] ? run() : setTimeout(wait, 20);
      const run = () => {{ {script}
        document.body.dataset.poked = "yes"; }};
      wait();"""
    text = re.sub(r"script-src [^;\"]*", "script-src 'unsafe-inline'", text)
    head, body, tail = text.rpartition("</body>")
    found = dom(f"{head}<script>{whole}</script>{body}{tail}", folder, width=width)
    said = dict(re.findall(r'data-(\w+)="([^"]*)"', re.search(r"<body[^>]*>", found).group()))
    assert "wrong" not in said, said
    assert said.pop("poked", "") == "yes", found[-500:]
    return {name: unescape(value) for name, value in said.items()}
