"""The ten nights with and without IF NEEDED: the figures, and the picture of them."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from benchmarks.nightly import PICTURE, WORKLOADS, Night, describe, draw

NIGHTS = [Night(100, 100, True, (50, 50)), Night(90, 100, False, (50, 0))]


def test_figures_of_a_workload() -> None:
    assert describe(NIGHTS) == "1 of 2 | 1 | 50 B instead of 100 B | 5.0 % | 10.0 %"


def test_picture_has_a_point_for_each_night() -> None:
    picture = ElementTree.fromstring(draw(dict.fromkeys(WORKLOADS, NIGHTS)))
    kinds = [point.get("class") for point in picture.iter("{http://www.w3.org/2000/svg}circle")]
    assert kinds == ["done", "saved"] * 3


def test_picture_of_the_docs_is_of_these_workloads() -> None:
    text = PICTURE.read_text(encoding="utf-8")
    page = Path(PICTURE).with_suffix(".md").read_text(encoding="utf-8")
    for name in WORKLOADS:
        assert name in text
        assert f"| {name} |" in page
