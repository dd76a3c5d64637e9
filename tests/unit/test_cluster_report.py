"""The forms of a cluster's report: whatever it holds they render it, what they render is valid, and no secret is in it."""

import base64
import json
import re
import subprocess
import sys
import time
import zlib
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import msgspec
import pytest
from browsing import dom, needs_browser, poked
from hypothesis import given, settings
from hypothesis import strategies as st
from made_clusters import cluster
from msgspec.structs import replace

from commcheck.cli import cluster as verb
from commcheck.cluster import heat, history, to_html
from commcheck.cluster.rendering import FORMATS, exit_code, rendered
from commcheck.model.cluster import ClusterReport, Drift, HostRow, Reach
from commcheck.model.diagnosis import Verdict

TEXT = st.text(st.characters(), max_size=12) | st.sampled_from(
    ["<b>", "\x1b[31m", "a\nb", "\ud800", "", "|", '"', "</script>"]
)
NUMBERS = st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.floats(1e-9, 1e9)


@st.composite
def reports(draw):
    size = draw(st.integers(0, 30))
    rows = tuple(HostRow(name=draw(TEXT), address=draw(TEXT), said_nothing=draw(st.booleans())) for _ in range(size))
    letters = st.sampled_from([r.value for r in Reach])
    seed = draw(st.integers(0, 999))
    few = draw(st.lists(NUMBERS, min_size=1, max_size=8))
    matrix = tuple(tuple(few[(a * b + seed) % len(few)] for b in range(size)) for a in range(size))
    base = cluster(4, dead=3, link=(0, 1))
    first = replace(base.diagnoses[0], title=draw(TEXT), hosts=(draw(TEXT),))
    return replace(
        base,
        verdict=draw(st.sampled_from(list(Verdict))),
        hosts=rows,
        reach=tuple("".join(draw(st.lists(letters, min_size=size, max_size=size))) for _ in range(size)),
        latency_us=matrix,
        gbit=draw(st.sampled_from([(), matrix])),
        gbit_loaded=(),
        diagnoses=(first, *base.diagnoses[1:]),
        drift=(Drift(kind=draw(TEXT), name=draw(TEXT), values={draw(TEXT): (draw(TEXT),)}, baseline=draw(TEXT)),),
        bad_hosts=(draw(TEXT),),
        command=(draw(TEXT),),
        notes=(draw(TEXT),),
        not_evaluated=(draw(TEXT),),
    )


@settings(max_examples=40, deadline=None)
@given(reports(), st.sampled_from(FORMATS))
def test_any_report_is_rendered_in_any_form(report, form):
    changes = history.compare((cluster(3, begun=1.0),), report)
    text = rendered(report, form, changes, host="h")
    text.encode()
    assert text.endswith("\n")
    if form == "json":
        assert msgspec.json.decode(text, type=ClusterReport).verdict is report.verdict
    elif form == "junit":
        failures = ET.fromstring(text.split("\n", 1)[1]).findall(".//failure")
        assert bool(failures) == (report.verdict is Verdict.UNHEALTHY)
    elif form == "nhc":
        assert text.count("\n") == 1
    elif form == "nagios":
        assert text.partition("\n")[0].count("|") == 1
    elif form == "prometheus":
        for line in text.splitlines():
            assert re.fullmatch(r'# (HELP|TYPE) .*|[a-z_]+(\{([a-z_]+="([^"\\]|\\.)*",?)*\})? -?[0-9.e+-]+', line), line


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.loads, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.loads += [
            v for k, v in attrs if k in {"src", "href", "action"} and not v.startswith("data:image/png;base64,")
        ]
        assert not any(k.startswith("on") for k, _ in attrs)

    def handle_data(self, data):
        self.text += data


@settings(max_examples=20, deadline=None)
@given(TEXT)
def test_what_a_host_says_stays_text(said):
    evil = f"<script>alert(1)</script><img src=x onerror=alert(1)>{said}"
    base = cluster(22, dead=3)
    rows = (replace(base.hosts[0], name=evil, address=evil), *base.hosts[1:])
    first = replace(base.diagnoses[0], title=evil, hosts=(evil,))
    page = Page(rendered(replace(base, hosts=rows, diagnoses=(first,), notes=(evil,)), "html"))
    assert page.tags.count("script") == 2
    assert page.loads == []
    assert page.tags.count("img") == 4


@pytest.mark.parametrize("form", FORMATS)
def test_no_secret_is_rendered(form):
    token = "hf_abcdefghijklmnopqrstuvwxyz0123456789"
    base = cluster(4, dead=3)
    drift = Drift(kind="variable", name="HF_TOKEN", values={token: ("node0000",)})
    first = replace(base.diagnoses[0], title=f"token {token}")
    report = replace(
        base,
        drift=(drift,),
        notes=(token,),
        diagnoses=(first,),
        command=("commcheck", "--token", token),
        not_evaluated=(token,),
    )
    assert token not in rendered(report, form, host="node0003")


def test_a_level_is_read_back_as_its_value():
    matrix = [[None, 0.5, 9.4], [9.6, None, 9.5], [4.7, 9.9, None]]
    drawn = heat.numbers(matrix, more_is_worse=False, unit="Gbit/s")
    for row, values in zip(drawn.rows, matrix, strict=True):
        for level, value in zip(row, values, strict=True):
            assert (level == heat.NONE) == (value is None)
            if value is not None:
                assert drawn.low * drawn.step ** (level - 1) == pytest.approx(value, rel=0.01)
    usual, slow = (drawn.palette[drawn.rows[a][b]] for a, b in ((1, 2), (0, 1)))
    assert sum(usual) > sum(slow) + 200


def test_scales_get_darker_all_the_way():
    """Who sees no hues sees the order."""
    light = [
        sum(w * (c / 255) ** 2.2 for w, c in zip((0.2126, 0.7152, 0.0722), shade, strict=True))
        for shade in heat.SCALE[1:]
    ]
    assert light == sorted(light, reverse=True)
    assert len({shade for shade, _ in heat.REACHED.values()}) == len(heat.REACHED)


@given(st.lists(st.binary(min_size=3, max_size=3), min_size=1, max_size=9))
def test_the_picture_is_a_png_with_these_dots(rows):
    image = heat.png(rows, [(n, n, n) for n in range(256)])
    at, found = 8, {}
    while at < len(image):
        size = int.from_bytes(image[at : at + 4], "big")
        kind, body = image[at + 4 : at + 8], image[at + 8 : at + 8 + size]
        assert int.from_bytes(image[at + 8 + size : at + 12 + size], "big") == zlib.crc32(kind + body)
        found[kind] = body
        at += 12 + size
    assert zlib.decompress(found[b"IDAT"]) == b"".join(b"\0" + row for row in rows)


def test_each_form_says_who_is_bad():
    report = cluster(6, dead=3, slow=1)
    text = rendered(report, "text")
    assert text.startswith("UNHEALTHY  6 hosts: data-ports-dropped (node0003), and 1 more")
    assert re.search(r"leave out +node0003, node0001", text)
    assert "node0000  - o o d o o" in text
    metrics = rendered(report, "prometheus")
    assert 'commcheck_host_bad{host="node0003"} 1\n' in metrics
    assert 'commcheck_host_bad{host="node0002"} 0\n' in metrics
    assert 'commcheck_cluster_verdict{verdict="unhealthy"} 1\n' in metrics
    line = rendered(report, "nagios").partition("\n")[0]
    assert line.startswith("COMMCHECK CRITICAL - 6 hosts: data-ports-dropped (node0003)")
    assert "bad_hosts=2;;0" in line
    cases = {c.get("name"): c for c in ET.fromstring(rendered(report, "junit").split("\n", 1)[1]).iter("testcase")}
    assert cases["node0003"].find("failure") is not None
    assert cases["node0002"].find("failure") is None


@pytest.mark.parametrize(
    ("host", "word", "code"),
    [("node0003", "ERROR: commcheck: data-ports-dropped", 1), ("node0002.lan", "OK", 0), ("other", "NOT JUDGED", 0)],
)
def test_the_node_health_check_asks_about_one_node(host, word, code):
    report = cluster(4, dead=3)
    assert rendered(report, "nhc", host=host).startswith(word)
    assert exit_code(report, "nhc", host) == code
    doubtful = replace(report, verdict=Verdict.INCONCLUSIVE, bad_hosts=())
    assert exit_code(doubtful, "nhc", host) == 0


def test_the_command_knows_all_forms():
    assert verb.FORMATS == FORMATS  # written twice: the command's help loads none of this


def test_exit_codes_are_what_the_reader_of_the_form_expects():
    codes = {
        form: [
            exit_code(replace(cluster(4), verdict=v), form)
            for v in (Verdict.HEALTHY, Verdict.UNHEALTHY, Verdict.INCONCLUSIVE)
        ]
        for form in ("text", "nagios")
    }
    assert codes == {"text": [0, 1, 3], "nagios": [0, 2, 3]}


# --- in a browser --------------------------------------------------------------------------------------------------------


@needs_browser
@pytest.mark.parametrize("size", [4, 120])
def test_the_page_runs_in_a_browser(tmp_path, size):
    found = dom(rendered(cluster(size, dead=3, link=(0, 2)), "html"), tmp_path)
    assert re.search(r'<html[^>]* data-script="ran"', found), found[:300]
    assert 'id="finding"' in found
    assert '<div id="finding" hidden' not in found


@needs_browser
def test_a_pointer_over_a_table_is_no_error(tmp_path):
    poke = """
        const figure = document.querySelector("figure[data-matrix]");
        for (const kind of ["mousemove", "click"]) figure.dispatchEvent(new MouseEvent(kind, { clientX: 9, clientY: 9 }));"""
    assert poked(rendered(cluster(4, dead=3), "html"), tmp_path, poke) == {}


@needs_browser
def test_a_cell_is_read_from_the_picture_and_hosts_are_filtered(tmp_path):
    """What a person does with pointer and keys, done by a script of the test's own, which the page's policy must be told of."""
    report = cluster(60, dead=3, link=(0, 2))
    poke = """
        const figure = document.querySelector('figure[data-matrix="gbit"]');
        const box = figure.querySelector("img").getBoundingClientRect();
        const at = { clientX: box.left + box.width * 2.5 / 60, clientY: box.top + box.height * 0.5 / 60 };
        figure.dispatchEvent(new MouseEvent("mousemove", at));
        document.body.dataset.tip = document.getElementById("tip").textContent;
        const filter = document.getElementById("filter");
        filter.value = "node0003"; filter.dispatchEvent(new Event("input"));
        document.body.dataset.shown = document.querySelectorAll(".hosts [data-host]:not(.away)").length;
        document.body.dataset.rows = figure.querySelector("canvas").height;"""
    said = poked(rendered(report, "html"), tmp_path, poke)
    usual, seen = 9.8, re.search(r"alone: about ([0-9.]+) Gbit/s", said["tip"])
    assert "node0000 → node0002" in said["tip"]
    assert float(seen.group(1)) == pytest.approx(report.gbit[0][2], rel=0.02)
    assert report.gbit[0][2] < usual / 3
    assert (said["shown"], said["rows"]) == ("1", "2")


def test_a_thousand_hosts_fit_on_a_page():
    report = cluster(1000, dead=17, loaded=False)
    begin = time.process_time()
    text = to_html.render(report)
    print(f"1,000 hosts: {len(text) / 1e6:.1f} MB in {time.process_time() - begin:.1f} s of processor time")
    assert len(text) < 4e6
    pictures = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", text)
    assert len(pictures) == 3
    assert all(base64.b64decode(p).startswith(b"\x89PNG") for p in pictures)
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text).group(1))
    assert len(data["hosts"]) == 1000


def test_the_command_shows_a_report_again_beside_an_earlier_one(tmp_path):
    """Kept, compared, and written whole."""
    kept = tmp_path / "kept"
    kept.mkdir()
    for seed, dead in ((1, None), (2, 3)):
        report = cluster(5, seed=seed, dead=dead, begun=1e9 + seed)
        (kept / history.file_name(report)).write_text(rendered(report, "json"), encoding="utf-8")
    now = sorted(kept.iterdir())[1]
    words = [sys.executable, "-m", "commcheck", "cluster", "--read", str(now), "--since", str(kept)]
    text = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert text.returncode == 1, text.stderr
    assert re.search(r"worse +data-ports-dropped: node0003", text.stdout)
    out = tmp_path / "commcheck.prom"
    done = subprocess.run([*words, "--format", "prometheus", "--output", str(out)], capture_output=True, timeout=60)
    assert done.returncode == 1
    assert 'commcheck_cluster_changes{kind="worse"}' in out.read_text()
    assert list(tmp_path.glob("*.writing")) == []
    wrong = subprocess.run([*words[:-1], "tomorrow"], capture_output=True, text=True, timeout=60)
    assert wrong.returncode == 2
    assert "7d" in wrong.stderr
