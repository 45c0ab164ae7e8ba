"""Which language a person is answered in, and that two at once do not mix."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from inspector.demo.parts import Kind
from inspector.serve.app import create_app as create_service
from inspector.serve.declined import Declined
from inspector.serve.decoder import DecodeBounds, Decoder
from inspector.serve.judge import unready
from inspector.serve.service import ServeSettings, Service
from inspector.web import feed as feed_module
from inspector.web.feed import Feed, encode
from inspector.web.speech import own_path, preferred
from inspector.web.words import Text, speaking, word
from tests.support.fake_daemon import FakeDaemon
from tests.support.page import browser_at, client_of, page_process, site_in, until
from tests.support.record import Entry, write_record

ZH, EN = {"accept-language": "zh-CN,zh;q=0.9,en;q=0.8"}, {"accept-language": "en-GB,en;q=0.9"}


@pytest.mark.parametrize(
    ("wishes", "spoken"),
    [
        ("", "en"), ("zh", "zh"), ("zh-CN,zh;q=0.9,en;q=0.8", "zh"), ("en-US,en;q=0.9,zh;q=0.8", "en"),
        ("de,zh;q=0.5", "zh"), ("de", "en"), ("*", "en"), ("ZH-Hans-CN", "zh"), ("en;q=0.1, zh ; q=0.2", "zh"),
        ("zh;q=0", "en"), ("zh;q=nan,en;q=0.1", "en"), ("zh;q=7", "en"), (",;q=,;;,zh;x=1", "en"),
        ("de," * 10_000 + "zh", "en"),
    ],
)  # fmt: skip
def test_the_browser_is_answered_in_the_language_that_it_wishes_most_and_we_speak(wishes: str, spoken: str) -> None:
    assert preferred(wishes) == spoken


@pytest.mark.parametrize(
    "to",
    [
        "//evil.example", "/\\evil.example", "\\\\evil.example", "https://evil.example", "javascript:alert(1)", "",
        "evil.example", "/\t/evil.example", "/\n/evil.example", "///evil.example", "http:/evil", "/x\\..\\y", "//[",
    ],
)  # fmt: skip
async def test_a_choice_leads_nowhere_but_to_our_own_pages(tmp_path: Path, to: str) -> None:
    assert own_path(to) == "/"
    async with client_of(site_in(tmp_path)) as client:
        assert (await client.get("/language/zh", params={"to": to})).headers["location"] == "/"


async def test_a_choice_is_kept_and_leads_back_and_outdoes_the_browser(tmp_path: Path) -> None:
    await write_record(tmp_path, [Entry(1, Kind.SCRATCH)], pictures=False)
    async with client_of(site_in(tmp_path)) as client:
        english = await client.get("/history?verdict=2&label=a%20b", headers=EN)
        assert '<html lang="en">' in english.text
        link = re.search(r'href="(/language/zh[^"]*)" lang="zh"[^>]*>简体中文<', english.text)
        assert link
        back = await client.get(link[1].replace("&amp;", "&"))
        assert (back.status_code, back.headers["location"]) == (303, "/history?verdict=2&label=a%20b")
        cookie = back.headers["set-cookie"].lower()
        assert "httponly" in cookie and "samesite=lax" in cookie and "max-age" in cookie
        chinese = await client.get("/history", headers=EN)
        assert '<html lang="zh">' in chinese.text and "发现缺陷：scratch" in chinese.text
        assert "Defect" not in chinese.text
        await client.get("/language/en")
        assert '<html lang="en">' in (await client.get("/history", headers=ZH)).text


async def test_a_cookie_of_a_language_that_we_do_not_speak_is_as_none(tmp_path: Path) -> None:
    async with client_of(site_in(tmp_path)) as client:
        for chosen in ("xx", "", "../zh"):
            answer = await client.get("/", headers={**ZH, "cookie": f"language={chosen}"})
            assert '<html lang="zh">' in answer.text


async def test_a_choice_that_is_none_is_404_and_a_page_elsewhere_has_no_say(tmp_path: Path) -> None:
    async with client_of(site_in(tmp_path)) as client:
        unknown = await client.get("/language/xx")
        foreign = await client.get("/language/zh", headers={"sec-fetch-site": "cross-site"})
        assert (unknown.status_code, foreign.status_code) == (404, 403)
        assert "set-cookie" not in unknown.headers and "set-cookie" not in foreign.headers
        assert (await client.post("/language/zh")).status_code == 405


async def test_what_is_refused_is_refused_in_the_language_of_the_request(tmp_path: Path) -> None:
    async with client_of(site_in(tmp_path)) as client:
        assert "没有这个页面或零件" in (await client.get("/no/such", headers=ZH)).text
        assert "错误 404" in (await client.get("/no/such", headers=ZH)).text
        assert (await client.put("/", headers=ZH)).text == "本页面只能查看"
        assert (await client.get("/", headers={**ZH, "host": "evil.example"})).text == "不允许以这个名称访问本页面"
        assert "无法识别此查询条件：零件" in (await client.get("/history?part_id=x", headers=ZH)).text
        assert (await client.get("/readyz", headers=ZH)).json()["reason"] == "检测程序没有运行"


async def test_many_requests_at_once_are_each_answered_in_their_own_language(tmp_path: Path) -> None:
    await write_record(tmp_path, [Entry(n, Kind.DENT) for n in range(1, 5)], pictures=False)
    async with client_of(site_in(tmp_path)) as client:
        asked = [ZH if n % 3 else EN for n in range(24)]
        answers = await asyncio.gather(*(client.get("/history", headers=headers) for headers in asked))
    for headers, answer in zip(asked, answers, strict=True):
        assert ("发现缺陷：dent" in answer.text, "Defect found: dent" in answer.text) == (headers is ZH, headers is EN)


async def events_of(stream: httpx.Response) -> AsyncIterator[tuple[str, Any]]:
    event = ""
    async for line in stream.aiter_lines():
        if line.startswith("event: "):
            event = line[7:]
        elif line.startswith("data: "):
            yield event, json.loads(line[6:])


async def the_next(events: AsyncIterator[tuple[str, Any]], wanted: str) -> Any:
    async with asyncio.timeout(60):
        async for event, data in events:
            if event == wanted:
                return data
    raise AssertionError(f"no {wanted} came")


@pytest.mark.slow
async def test_two_screens_at_once_are_told_of_the_same_part_each_in_its_own_language(tmp_path: Path) -> None:
    daemon = FakeDaemon(tmp_path)
    await daemon.start()
    daemon.part(Kind.EMPTY)
    site = site_in(tmp_path)
    async with page_process(site) as origin, browser_at(origin) as client:
        await until(lambda: site.feed.up)
        async with client.stream("GET", "/events", headers=ZH) as zh, client.stream("GET", "/events", headers=EN) as en:
            streams = [events_of(zh), events_of(en)]
            first = [(await the_next(s, "hello"))["parts"][0]["word"] for s in streams]
            states = [(await the_next(s, "status"))["states"][0]["name"] for s in streams]
            daemon.part(Kind.SCRATCH)
            parts = [await the_next(s, "part") for s in streams]
            for stream in streams:
                await stream.aclose()
    await daemon.stop()
    assert (first, states) == (["故障", "FAULT"], ["相机", "Camera"])
    assert [(p["no"], p["sign"], p["word"], p["text"]) for p in parts] == [
        (2, "fail", "不合格", "发现缺陷：scratch"), (2, "fail", "FAIL", "Defect found: scratch"),
    ]  # fmt: skip


async def test_a_message_is_encoded_once_for_each_language_that_a_screen_is_open_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[object] = []
    monkeypatch.setattr(feed_module, "encode", lambda event, data: (made.append(data), encode(event, data))[1])
    feed = Feed(lambda: None)  # type: ignore[arg-type, return-value]  # nothing is followed here
    with speaking("zh"):
        screens = [feed.open_screen() for _ in range(3)]
    made.clear()
    feed.strip().set_last_fail(lambda: {"no": 1, "word": word("sign.fail")})
    feed.refresh("")
    assert [hello["last_fail"]["word"] for hello in made] == ["不合格"]  # type: ignore[index]
    screens.append(feed.open_screen())
    made.clear()
    feed.strip().set_last_fail(lambda: {"no": 2, "word": word("sign.fail")})
    feed.refresh("")
    assert sorted(hello["last_fail"]["word"] for hello in made) == ["FAIL", "不合格"]  # type: ignore[index]


async def test_the_page_of_the_prediction_service_follows_the_browser(tmp_path: Path) -> None:
    service = Service(ServeSettings(bundle=tmp_path, keys=()))
    transport = httpx.ASGITransport(app=create_service(service))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
        chinese, english = await client.get("/", headers=ZH), await client.get("/", headers=EN)
        refused = await client.post("/predict", content=b"", headers=ZH)
        unknown = await client.get("/no/such", headers=ZH)
    service.close()
    assert refused.json() == {
        "error": "未就绪：正在启动：验证并加载模型包",
        "what_to_do": "请稍后再试；/readyz 会告知何时就绪",
    }
    assert unknown.json()["error"] == "没有这个地址"
    assert '<html lang="zh">' in chinese.text and "正在加载模型" in chinese.text
    assert '<html lang="en">' in english.text and "Loading the model" in english.text


def test_what_is_declined_in_a_thread_is_told_in_the_language_of_who_asked() -> None:
    bounds = DecodeBounds()
    declined = Declined(422, "size", size="9 x 9", wanted=Decoder([(256, 320), (64, 64)], bounds).wanted)
    with speaking("zh"):
        assert declined.what_to_do == "请发送相机的整幅图像，320 x 256 像素，或被判定的视野，64 x 64 像素"
        assert unready(Text("unready.starting")).error == "未就绪：正在启动：验证并加载模型包"
        assert str(Decoder([(64, 64), (64, 64)], bounds).wanted) == "被判定的视野，64 x 64 像素"
    assert str(declined) == "the picture is 9 x 9 pixels"
    assert declined.what_to_do == (
        "send a whole camera picture, 320 x 256 pixels or the view that is judged, 64 x 64 pixels"
    )
