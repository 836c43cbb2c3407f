"""The report: one file that needs nothing else and shows what it was given, pixel for pixel and letter for letter."""

import base64
import re
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from mihatp_arch.errors import UserError
from mihatp_arch.evaluation.report.page import Crop, write_report
from mihatp_arch.evaluation.report.table import Table

VOID = {"meta", "link", "img", "input", "br", "hr"}


class Page(HTMLParser):
    """Every tag with its attributes and the text inside it; an end tag that does not match fails."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.stack = [], []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert not self.stack

    def handle_starttag(self, tag, attrs):
        entry = {"tag": tag, "text": "", **dict(attrs)}
        self.tags.append(entry)
        if tag not in VOID:
            self.stack.append(entry)

    def handle_endtag(self, tag):
        assert self.stack.pop()["tag"] == tag

    def handle_data(self, data):
        for entry in self.stack:
            entry["text"] += data

    def all(self, tag, **attributes):
        return [t for t in self.tags if t["tag"] == tag and all(t.get(k) == v for k, v in attributes.items())]


def images(seed=0, height=24, width=32, labels=("bicubic", "MiHATP", "HR")):
    generator = np.random.default_rng(seed)
    return {label: generator.integers(0, 256, (height, width, 3), dtype=np.uint8) for label in labels}


def crops():
    return [Crop(f"patch {seed}", images(seed), {"bicubic": "27.31 dB", "MiHATP": "28.40 dB"}) for seed in range(2)]


TABLE = Table(
    "x4",
    ("method", "PSNR (dB)", "parameters"),
    [("bicubic", "27.31 ± 0.40", ""), ("MiHATP", "28.40 ± 0.38", "20 815 321")],
    {(1, 1)},
    "over five test sets",
)


def report(path, **changes):
    options = {
        "title": "A title",
        "summary": ["one line", "another"],
        "tables": [TABLE],
        "crops": crops(),
        "figures": {},
        "left": "bicubic",
        "right": "MiHATP",
    }
    write_report(path, **{**options, **changes})
    return Page(path)


@pytest.fixture
def figure(tmp_path):
    path = tmp_path / "figure.png"
    cv2.imwrite(str(path), images(7)["HR"])
    return path


def decoded(image):
    head, data = image["src"].split(",")
    assert head == "data:image/png;base64"
    return cv2.imdecode(np.frombuffer(base64.b64decode(data, validate=True), np.uint8), cv2.IMREAD_UNCHANGED)


def test_nothing_refers_to_anything_outside_the_file(tmp_path, figure):
    page = report(tmp_path / "report.html", figures={"Figure": figure})
    for tag in page.tags:
        for name in ("src", "href", "srcset", "action", "data", "poster", "background", "style", "onclick"):
            assert tag.get(name, "data:").startswith("data:"), tag
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not re.search(
        r"https?:|file:|//[a-z]|url\(|@import|\bfetch\b|XMLHttp|\beval\b", re.sub(r"data:[^\"]*", "", text)
    )


def test_the_only_links_are_those_to_views(tmp_path):
    views = {"the patches <of> all": "view/index.html", "a slide": "slide/index.html"}
    page = report(tmp_path / "report.html", views=views)
    assert [tag["href"] for tag in page.tags if "href" in tag][1:] == ["view/index.html", "slide/index.html"]
    assert "the patches &lt;of&gt; all</a>," in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_policy_allows_this_script_and_this_style_alone(tmp_path):
    page = report(tmp_path / "report.html")
    (policy,) = page.all("meta", **{"http-equiv": "Content-Security-Policy"})
    rules = dict(rule.strip().split(" ", 1) for rule in policy["content"].split(";"))
    assert rules["default-src"] == "'none'" and rules["img-src"] == "data:"
    for tag in ("script", "style"):
        (part,) = page.all(tag)
        assert rules[f"{tag}-src"] == f"'sha256-{base64.b64encode(sha256(part['text'].encode()).digest()).decode()}'"
    assert len((page.all("script")[0])["text"].splitlines()) < 120


def test_a_caption_is_on_its_head_and_in_a_list_and_remarks_are_lines(tmp_path):
    table = replace(TABLE, captions={"PSNR (dB)": 'higher is "better"'}, remarks=["one <remark>", "two"])
    page = report(tmp_path / "report.html", tables=[table])
    assert [head.get("title") for head in page.all("th", scope="col")] == [None, 'higher is "better"', None]
    assert [line["text"] for line in page.all("dt")] == ["PSNR (dB)"]
    assert [line["text"] for line in page.all("dd")] == ['higher is "better"']
    (list_,) = page.all("ul", **{"class": "note"})
    assert list_["text"].split("\n") == ["", "one <remark>", "two", ""]


def test_every_pixel_of_every_crop_once(tmp_path):
    page = report(tmp_path / "report.html")
    shown = page.all("img")
    wanted = [(crop, label) for crop in crops() for label in crop.images]
    assert [image["alt"] for image in shown] == [f"{crop.title}: {label}" for crop, label in wanted]
    for image, (crop, label) in zip(shown, wanted, strict=True):
        assert (decoded(image) == crop.images[label]).all()
        assert (image["width"], image["height"]) == ("32", "24")
    assert [caption["text"] for caption in page.all("figcaption")][:3] == ["bicubic 27.31 dB", "MiHATP 28.40 dB", "HR "]


def test_the_figures_are_the_files(tmp_path, figure):
    page = report(tmp_path / "report.html", figures={"PSNR <-> SSIM": figure}, crops=[])
    (image,) = page.all("img")
    assert base64.b64decode(image["src"].split(",")[1]) == figure.read_bytes()
    assert image["alt"] == "Figure: PSNR <-> SSIM"


def test_all_text_is_text(tmp_path, figure):
    evil = """<b>&amp;"'</script></style>$title ${js}<img src=x onerror=alert(1)>"""
    plain, page = (
        report(
            tmp_path / "report.html",
            title=text,
            summary=[text],
            tables=[Table(text, (text, "n"), [(text, "1")], {(0, 0)}, text)],
            crops=[Crop(text, images(labels=(text, "HR")), {text: text})] * 2,
            figures={text: figure},
            left=text,
            right="HR",
        )
        for text in ("x", evil)
    )
    assert [tag["tag"] for tag in page.tags] == [tag["tag"] for tag in plain.tags]
    assert [sorted(tag) for tag in page.tags] == [sorted(tag) for tag in plain.tags]
    texts = {tag["text"] for tag in page.tags} | {tag.get("alt") for tag in page.tags}
    assert {evil, f"{evil}: {evil}", f"Figure: {evil}", f"{evil} {evil}"} <= texts
    assert page.all("input", type="range")[0]["aria-label"] == f"Divider of {evil}"


def test_the_first_choice_is_left_and_right_in_all_forms(tmp_path):
    page = report(tmp_path / "report.html", left="MiHATP", right="HR")
    for side in ("left", "right"):
        assert len(page.all("select", name=side)) == 3  # shared, and one for each crop
    chosen = [option["value"] for option in page.all("option") if "selected" in option]
    assert chosen == ["1", "2"] * 3


def test_numbers_are_marked_and_the_best_is_bold(tmp_path):
    page = report(tmp_path / "report.html")
    assert [head.get("class") for head in page.all("th", scope="col")] == [None, "number", "number"]
    assert [cell.get("data-value") for cell in page.all("td")] == ["27.31", None, "28.4", "20815321.0"]
    assert [bold["text"] for bold in page.all("strong")] == ["28.40 ± 0.38"]


def test_a_table_may_be_empty_and_a_report_too(tmp_path):
    page = report(tmp_path / "report.html", tables=[Table("t", ("a", "b"), [], set())], crops=[], left="", right="")
    assert [head["text"] for head in page.all("th")] == ["a", "b"] and not page.all("form")
    assert not report(tmp_path / "report.html", tables=[], crops=[]).all("section")


def test_the_same_bytes_again(tmp_path, figure):
    for name in ("a.html", "b.html"):
        report(tmp_path / name, figures={"Figure": figure})
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def bad_size(crop):
    return Crop(crop.title, {**crop.images, "MiHATP": crop.images["MiHATP"][::2]}, {})


def as_float(crop):
    return Crop(crop.title, {label: image / 255 for label, image in crop.images.items()}, {})


def without_hr(crop):
    return Crop(crop.title, {label: image for label, image in crop.images.items() if label != "HR"}, {})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"left": "HAT"}, "crop 'patch 0' has no image 'HAT': name one of bicubic, MiHATP, HR"),
        ({"right": "mihatp"}, "crop 'patch 0' has no image 'mihatp': name one of bicubic, MiHATP, HR"),
        (
            {"crops": [crops()[0], bad_size(crops()[1])]},
            "crop 'patch 1': 'MiHATP' is 12 x 32 x 3 uint8, not 24 x 32 x 3",
        ),
        ({"crops": [as_float(crops()[0])]}, "crop 'patch 0': 'bicubic' is 24 x 32 x 3 float64, not 24 x 32 x 3 uint8"),
        (
            {"crops": [crops()[0], without_hr(crops()[1])]},
            "crop 'patch 1' shows bicubic, MiHATP, but 'patch 0' bicubic",
        ),
        ({"crops": [Crop("empty", {}, {})]}, "crop 'empty' has no image 'bicubic': name one of none"),
    ],
)
def test_a_crop_that_cannot_be_compared_is_one_clear_line(tmp_path, changes, message):
    with pytest.raises(UserError) as error:
        report(tmp_path / "report.html", **changes)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_figure_that_is_no_png_and_one_that_is_not_there(tmp_path):
    path = tmp_path / "figure.png"
    with pytest.raises(UserError, match=r"figure 'F': cannot read '.*figure\.png': No such file"):
        report(tmp_path / "report.html", figures={"F": path})
    path.write_bytes(b"\xff\xd8\xff")
    with pytest.raises(UserError, match=r"figure 'F': '.*figure\.png' is not a PNG"):
        report(tmp_path / "report.html", figures={"F": path})


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "folder" / "report.html"
    with pytest.raises(UserError, match=r"cannot write '.*report\.html': No such file"):
        report(path)
    path.mkdir(parents=True)  # a folder of that name
    with pytest.raises(UserError, match="cannot write"):
        report(path)
    assert list(path.parent.iterdir()) == [path]
