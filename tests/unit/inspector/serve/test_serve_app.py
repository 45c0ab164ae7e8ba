"""The prediction service under load, in trouble and towards strangers: what it answers, and that it recovers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest

from inspector.core.errors import BundleError, ConfigError
from inspector.core.types import Image, Prediction
from inspector.demo.parts import ROI, Kind, Stream, render
from inspector.model import OpenVinoModel
from inspector.serve import app
from inspector.serve import judge as judge_module
from tests.support.page import until
from tests.support.patience import LONG_S
from tests.support.serving_here import Here, serving_here, settings_in
from tests.support.tiny_bundle import entries_of, make_key, sign_files, tiny_files, tiny_manifest, trusted_key, write_ir

pytestmark = pytest.mark.slow

GOOD = render(1, Kind.GOOD).image
BRIGHT = 180.0  # mean grey above which the model's score is no number
HALF_A_FORM = (
    b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    b'Content-Length: 500\r\n\r\n--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
)


def png(image: Image) -> bytes:
    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()


async def ask(here: Here, image: Image = GOOD, **headers: str) -> httpx.Response:
    return await here.client.post("/predict", files={"file": ("part.png", png(image))}, headers=headers)


@asynccontextmanager
async def half_a_form(here: Here) -> AsyncIterator[asyncio.StreamWriter]:
    """A client in the middle of its upload, and the service in the middle of taking it."""
    _, writer = await asyncio.open_connection("127.0.0.1", here.port)
    try:
        writer.write(HALF_A_FORM)
        await until(lambda: here.service._inside == 1)
        yield writer
    finally:
        writer.transport.abort()


async def test_more_requests_than_it_holds_are_503_and_told_when_to_come_back(tmp_path: Path) -> None:
    async with serving_here(settings_in(tmp_path, most_at_once=1)) as here:
        async with half_a_form(here):
            busy = await ask(here)
            assert busy.status_code == 503 and busy.headers["retry-after"] == "1"
            assert busy.json() == {"error": "too many requests at once", "what_to_do": "ask again in a second"}
            assert (await here.client.get("/readyz")).status_code == 200
        await until(lambda: here.service._inside == 0)  # it left in the middle, and its place is free again
        assert (await ask(here)).status_code == 200


async def test_while_it_loads_it_lives_is_not_ready_and_judges_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, load = threading.Event(), judge_module.load_model
    monkeypatch.setattr(judge_module, "load_model", lambda *a, **k: (go.wait(LONG_S), load(*a, **k))[1])
    async with serving_here(settings_in(tmp_path), ready=False) as here:
        try:
            assert (await here.client.get("/healthz")).status_code == 200
            for answer in (await here.client.get("/readyz"), await ask(here)):
                assert answer.status_code == 503 and answer.headers["retry-after"] == "2"
                assert "being verified and loaded" in answer.json()["error"]
            assert "Loading the model" in (await here.client.get("/")).text
        finally:
            go.set()
        await until(lambda: not here.service.not_ready)
        assert (await ask(here)).json()["verdict"] == "PASS"


def failing_bundle(folder: Path) -> dict[str, object]:
    """A signed bundle whose real model gives no number for a bright picture."""
    key, files = make_key(), tiny_files()
    (folder / "ir").mkdir()
    write_ir(folder / "ir", nan_above=BRIGHT)
    files |= {file.name: file.read_bytes() for file in (folder / "ir").iterdir()}
    bundle = sign_files(folder / "failing.bundle", key, tiny_manifest(files=entries_of(files)), files)
    return {"bundle": bundle, "keys": (trusted_key(key),)}


async def test_a_failed_inference_is_500_and_not_ready_until_the_golden_pictures_are_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, replay = threading.Event(), judge_module.replay
    async with serving_here(settings_in(tmp_path, **failing_bundle(tmp_path))) as here:
        monkeypatch.setattr(judge_module, "replay", lambda *a: (go.wait(LONG_S), replay(*a))[1])
        try:
            failed = await ask(here, np.full_like(GOOD, 255))
            assert failed.status_code == 500 and "novelty_score is not finite" in failed.json()["error"]
            unready = await here.client.get("/readyz")
            assert unready.status_code == 503 and "the last inference failed" in unready.json()["error"]
            assert (await ask(here)).status_code == 503
            assert (await here.client.get("/healthz")).status_code == 200
        finally:
            go.set()
        await until(lambda: not here.service.not_ready)
        assert (await ask(here)).json()["verdict"] == "PASS"


async def test_a_model_that_does_not_come_back_is_no_longer_healthy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, infer = threading.Event(), OpenVinoModel.predict_blocking

    def hanging(self: OpenVinoModel, view: Image) -> Prediction:
        release.wait(LONG_S)
        return infer(self, view)

    monkeypatch.setattr(judge_module, "HANG_AFTER_S", 0.2)
    async with serving_here(settings_in(tmp_path)) as here:
        monkeypatch.setattr(OpenVinoModel, "predict_blocking", hanging)
        asking = asyncio.create_task(ask(here))
        try:
            await until(lambda: here.service.judge.hangs)
            for path in ("/healthz", "/readyz"):
                answer = await here.client.get(path)
                assert answer.status_code == 503 and "does not come back" in answer.json()["error"]
        finally:
            release.set()
        assert (await asking).status_code == 200
        assert (await here.client.get("/healthz")).status_code == 200


async def test_a_page_elsewhere_can_neither_read_nor_ask(tmp_path: Path) -> None:
    async with serving_here(settings_in(tmp_path)) as here:
        for answer in (
            await ask(here, host="rebound.example"),
            await here.client.get("/", headers={"host": "rebound.example"}),
            await ask(here, **{"sec-fetch-site": "cross-site"}),
            await ask(here, **{"sec-fetch-site": "same-site"}),
        ):
            assert answer.status_code == 403 and answer.json()["what_to_do"]
        assert (await ask(here, **{"sec-fetch-site": "same-origin"})).status_code == 200
        assert (await here.client.post("/", content=b"")).status_code == 405
        assert (await here.client.put("/predict", content=b"")).headers["allow"] == "POST"


async def test_bad_light_is_not_inspected_as_on_the_line(tmp_path: Path) -> None:
    async with serving_here(settings_in(tmp_path)) as here:
        good, dark = (await ask(here)).json(), (await ask(here, (GOOD * 0.1).astype(np.uint8))).json()
    assert (good["verdict"], good["reason"]["number"]) == ("PASS", 0)
    assert (dark["verdict"], dark["reason"]["number"], dark["reason"]["word"]) == (
        "NOT_INSPECTED",
        102,
        "IMAGE_QUALITY",
    )


async def test_every_golden_picture_is_judged_as_the_bundle_expects(tmp_path: Path) -> None:
    """Whole, and as the view alone: the service's view is the line's."""
    x, y, w, h = ROI
    async with serving_here(settings_in(tmp_path)) as here:
        for golden in tiny_manifest().golden:
            picture = render(
                int(golden.file[7:9]) if golden.role == "good" else 0, Kind(golden.truth), Stream.GOLDEN
            ).image
            for view in (picture, picture[y : y + h, x : x + w]):
                got = (await ask(here, view)).json()
                assert (got["reason"]["number"], got["class"]) == (golden.expected.reason, golden.expected.label)
                assert got["novelty_score"] == pytest.approx(golden.expected.novelty_score, abs=1e-3)
                assert got["probabilities"][got["class"]] == got["confidence"]


async def test_many_at_once_are_each_given_their_own_answer(tmp_path: Path) -> None:
    kinds = [Kind.GOOD, Kind.STAIN, Kind.EMPTY] * 5
    async with serving_here(settings_in(tmp_path)) as here:
        answers = await asyncio.gather(*(ask(here, render(3, kind).image) for kind in kinds))
    told = [answer.json() for answer in answers]
    for kind in set(kinds):
        same = [(t["class"], t["novelty_score"]) for t, k in zip(told, kinds, strict=True) if k is kind]
        assert len(set(same)) == 1
    assert [t["verdict"] for t in told[:3]] == ["PASS", "FAIL", "NOT_INSPECTED"]


async def test_a_refusal_is_read_by_a_client_that_is_still_sending(tmp_path: Path) -> None:
    """Closed over unread bytes, the connection would be reset and the answer lost."""
    async with serving_here(settings_in(tmp_path, max_mb=0.1)) as here:
        for _ in range(5):
            answer = await here.client.post("/predict", files={"file": ("a", bytes(20_000_000))})
            assert answer.status_code == 413 and answer.headers["connection"] == "close"


async def test_it_ends_though_a_client_is_still_sending(tmp_path: Path) -> None:
    """Who waits for the whole form waits for longer than the end may take here."""
    assert app.END_S < 2, "that is all that an end waits"
    async with AsyncExitStack() as sending, serving_here(settings_in(tmp_path)) as here:
        await sending.enter_async_context(half_a_form(here))


async def test_a_bundle_that_is_not_right_ends_the_service_with_the_reason(tmp_path: Path) -> None:
    wrong = settings_in(tmp_path, keys=(trusted_key(make_key()),))
    with pytest.raises(BundleError, match="signed by no key"):
        async with serving_here(wrong):
            pass


async def test_a_limit_below_the_camera_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--max-megapixels 0.05 is less than the bundle's 320 x 256 pixels"):
        async with serving_here(settings_in(tmp_path, max_megapixels=0.05)):
            pass
