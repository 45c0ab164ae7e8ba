"""The texts of the page in each language, and that no text stands anywhere else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from string import Formatter

import pytest

from inspector.web import words
from inspector.web.present import counts_view, duration, milliseconds

WEB = words.FOLDER.parent
TEMPLATES = [t for folder in (WEB, WEB.parent / "serve") for t in folder.glob("templates/*")]
ENGLISH, CHINESE = (words.read_catalog(language) for language in words.LANGUAGES)
HAN = re.compile("[\u4e00-\u9fff]")
OWN_NAME = {"Inspector"}
SAME_IN_ALL = {"Excel"}  # names of programs


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def faults(english: Mapping[str, str], chinese: Mapping[str, str]) -> list[str]:
    """What is wrong with a translation, one line a text."""
    found = [f"{key}: in one language only" for key in english.keys() ^ chinese.keys()]
    for key in english.keys() & chinese.keys():
        one, other = english[key], chinese[key]
        if placeholders(one) != placeholders(other):
            found.append(f"{key}: other placeholders")
        if not one.strip() or not other.strip():
            found.append(f"{key}: empty")
        bare = re.sub("|".join([r"\{\w*\}", "`[^`]*`", *SAME_IN_ALL]), "", other)  # in backticks: a command to type
        untold = re.search(r"[a-z]{3}", bare) is not None and not HAN.search(bare)
        if "language." in key:
            continue  # a language's name is written in that language
        if untold or re.search(r"[A-Za-z]{2,} [a-z]{2,}", bare):
            found.append(f"{key}: not translated")
    return found


def test_both_languages_say_the_same_things() -> None:
    assert faults(ENGLISH, CHINESE) == []
    assert len(ENGLISH) > 250


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        ({"title.line": None}, "title.line: in one language only"),
        ({"title.line2": "产线"}, "title.line2: in one language only"),
        ({"counts.since": "自某时起"}, "counts.since: other placeholders"),
        ({"error.404": " "}, "error.404: empty"),
        ({"error.404": "Not found here"}, "error.404: not translated"),
        ({"error.404": "There is no such 页面"}, "error.404: not translated"),
        ({"title.line": "Line"}, "title.line: not translated"),
    ],
)
def test_a_text_that_is_missing_or_not_translated_is_found(damage: dict[str, str | None], fault: str) -> None:
    damaged = {key: text for key, text in {**CHINESE, **damage}.items() if text is not None}
    assert fault in faults(ENGLISH, damaged)


# One word for one thing, as a quality engineer expects it; the other ones, and the word to write.
INSTEAD = {
    "图片": "图像", "守护进程": "检测程序", "后台程序": "检测程序", "检测服务": "检测程序", "挑战件": "测试件",
    "误剔": "误判", "修订版": "版本", "黄金图": "标准图像", "线缆": "电缆", "试运行": "模拟运行",
    "存疑": "不确定", "锁定": "冻结", "热图": "热力图", "机器学习": "模型",
}  # fmt: skip
HALF_WIDTH = re.compile(rf"{HAN.pattern}[,:;?!]|[,;?!]{HAN.pattern}|{HAN.pattern}[(]")


def unusual(chinese: Mapping[str, str]) -> list[str]:
    """Texts with another word for a thing that has one, or with the signs of a Latin script, one line a text."""
    found = [f"{key}: {INSTEAD[w]}, not {w}" for key, text in chinese.items() for w in INSTEAD if w in text]
    bare = {key: re.sub("`[^`]*`", "", text) for key, text in chinese.items()}
    return found + [f"{key}: full-width signs" for key, text in bare.items() if HALF_WIDTH.search(text)]


def test_chinese_has_one_word_for_one_thing_and_the_signs_of_its_script() -> None:
    assert unusual(CHINESE) == []
    damaged = {"a": "没有图片", "b": "忘记密码?管理员", "c": "共(3)条", "d": "运行 `check: 全部`，然后重启"}
    assert unusual(damaged) == ["a: 图像, not 图片", "b: full-width signs", "c: full-width signs"]


def test_each_language_is_named_in_its_own_words() -> None:
    for each in words.LANGUAGES:
        with words.speaking(each):
            assert (words.word("language.en"), words.word("language.zh")) == ("English", "简体中文")


def test_every_big_word_in_chinese_has_at_most_three_signs_so_that_it_fits() -> None:
    signs = {key: text for key, text in CHINESE.items() if key.startswith("sign.")}
    assert len(signs) == len(set(signs.values())) == 10
    assert max(map(len, signs.values())) <= 3


def sentences(template: str) -> list[str]:
    """Words that a person would read and that come from no catalog."""
    inside = re.findall(r"\{\{(.*?)\}\}", template, re.S)
    spoken = [s for code in inside for s in re.findall(r"[\"']([A-Za-z]+ [A-Za-z ]+)[\"']", code)]
    template = re.sub(r"\{% block (bodyclass|sheets) %\}.*?\{% endblock %\}", "", template)  # names for styles, unseen
    text = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}|<!--.*?-->|<code>.*?</code>|&\w+;", " ", template, flags=re.S)
    told = re.findall(r"\b(?:alt|title|aria-label|placeholder)=\"([^\"]*)\"", text)
    shown = [*spoken, *told, re.sub(r"<[^>]*>", " ", text)]
    return [w for part in shown for w in re.findall(r"[^\W\d_]{2,}", part) if w not in OWN_NAME]


def test_the_templates_hold_no_text_of_their_own() -> None:
    assert len(TEMPLATES) > 5
    assert {t.name: found for t in TEMPLATES if (found := sentences(t.read_text(encoding="utf-8")))} == {}


@pytest.mark.parametrize(
    "template",
    [
        "<p>No parts</p>",
        '<img alt="Last picture">',
        "<p>{{ w('a') }}没有</p>",
        '{{ x or "not known yet" }}',
        "<b>OK</b>",
    ],
)
def test_a_text_in_a_template_is_found(template: str) -> None:
    assert sentences(template) != []


def test_a_markup_without_text_is_none() -> None:
    assert sentences("""<p class="quiet" data-a="b c">{{ w("part.none") }}{% if a > b %}, – {% endif %}</p>""") == []


def test_numbers_are_written_as_each_language_writes_them() -> None:
    def told() -> list[str]:
        numbers = counts_view({"pass": 999, "fail": 1})
        return [numbers["yield"], milliseconds(31.4), *map(duration, (7, 240, 14_580, 93_600))]

    assert words.in_each(told) == {
        "en": ["99.9 %", "31 ms", "7 s", "4 min", "4 h 3 min", "1 d 2 h"],
        "zh": ["99.9%", "31 ms", "7 秒", "4 分钟", "4 小时 3 分钟", "1 天 2 小时"],
    }
