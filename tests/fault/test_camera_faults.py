"""The camera fails in every way it can, at the real daemon. Numbers are those of the fault campaign."""

from __future__ import annotations

import random
import zlib
from collections.abc import AsyncIterator
from io import BytesIO
from itertools import repeat
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
import pytest_asyncio
from PIL import Image as Pillow

from inspector.cameras.faults import Fault
from inspector.demo.parts import Kind, render
from inspector.part_check import DIFFERS_S
from plc.registers import OfflineReason, Reason, Verdict
from tests.support.alarms import action_of
from tests.support.live_line import READY_AGAIN_S, LiveLine, broken, live_line, parts_of, standing

pytestmark = [pytest.mark.fault, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

FAULTS = [f for f in Fault if f not in (Fault.NONE, Fault.HANG)]
CAMERA, QUALITY, DEADLINE = ((Verdict.NOT_INSPECTED, r) for r in (Reason.CAMERA, Reason.IMAGE_QUALITY, Reason.DEADLINE))
STAINS = parts_of(Kind.STAIN)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def line(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveLine]:
    """A rendered camera that has any fault while a test says so."""
    folder = tmp_path_factory.mktemp("rendered")
    async with live_line(folder) as line:
        line.configure(deadline_ms=2000, more=broken(camera=standing(folder, *FAULTS)))
        await line.start()
        await line.ready()
        yield line


async def test_a_camera_unplugged_while_idle_is_one_alarm_in_time_and_comes_back_by_itself(line):
    """Row 1, I6."""
    await line.good()
    with line.fault(Fault.LOST):
        alarm = await line.not_ready(OfflineReason.CAMERA, "link lost")
        assert alarm["priority"] == "high" and "cable" in action_of(alarm)
        assert line.sim.stat()["ERROR_CODE"] == Reason.CAMERA
        assert await line.answer(line.raise_trigger(line.next_good())) == CAMERA, "a part that comes all the same"
    await line.ready(READY_AGAIN_S)
    await line.no_alarm()
    await line.good()


async def test_a_camera_pulled_under_a_plc_that_triggers_on_is_one_alarm_in_the_journal(line):
    """Row 1, F4: each part is answered and recorded, and a person is told once."""
    await line.good()
    before = line.journalled("camera")
    with line.fault(Fault.LOST):
        await line.not_ready(OfflineReason.CAMERA, "link lost")
        for _ in range(20):
            code, _ = await line.answer(line.raise_trigger(line.next_good()))
            assert code == Verdict.NOT_INSPECTED, "refused, or without a frame"
        assert (await line.listed("camera"))["phase"] == "unacknowledged"
    await line.ready(READY_AGAIN_S)
    await line.good()
    since = line.journalled("camera")[len(before) :]
    assert since.count("raised") <= 1, "none where the alarm of the test before is not over yet"


async def test_a_camera_unplugged_on_a_belt_that_does_not_wait_is_one_alarm_and_the_parts_are_told_after_it(line):
    """Row 1, F4: of parts that nobody triggered the count is told at once, the alarm once the camera is back."""
    await line.good()
    await line.act("reset_counts", station="st1", why="test")
    with line.fault(Fault.LOST):
        await line.not_ready(OfflineReason.CAMERA, "link lost")
        line.sim.ctrl["PLC_PART_COUNT"] += 5
        await line.sim.idle_for(DIFFERS_S + 2)
        status = await line.status()
        assert status["part_difference"] == 5, "the screen shows it beside the count"
        assert [a["id"] for a in status["alarms"]] == ["camera"]
    await line.ready(READY_AGAIN_S)
    await line.alarm("the PLC counted 5 parts more than it triggered")
    await line.act("reset_counts", station="st1", why="test")
    await line.good()


async def test_a_camera_unplugged_after_its_trigger_gives_no_pass_and_no_older_picture(tmp_path):
    """Row 2."""
    async with live_line(tmp_path) as line:
        line.configure(more=broken(camera=["none", "lost"]))
        await line.start()
        before = await line.good()
        lost = await line.play(line.next_good())
        assert (lost.code, lost.reason) == CAMERA
        await line.not_ready(OfflineReason.CAMERA, "link lost")
        row = line.row(lost)
        assert row["kind"] == "accepted" and row["confidence"] is None and "grabbed" not in row["stages"]
        assert (await line.told_row(before))["published_code"] == Verdict.PASS


async def test_a_frame_after_the_deadline_rejects_its_part_and_is_not_taken_for_the_next_one(line):
    """Row 3. The late frame shows a good part; the one that follows is stained."""
    await line.good()
    with line.fault(Fault.LATE):
        late = await line.play(line.next_good())
    assert (late.code, late.reason) == DEADLINE
    stained = await line.fairly(STAINS)
    assert (stained.code, stained.reason) == (Verdict.FAIL, Reason.CLASS), "judged by its own picture"
    assert line.row(late)["confidence"] is None
    await line.good()


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        pytest.param(Fault.TIMEOUT, CAMERA, id="row 3: no frame in time"),
        pytest.param(Fault.FROZEN, CAMERA, id="row 4: the frame before once more"),
        pytest.param(Fault.BUFFERED, CAMERA, id="row 5: out of a queue"),
        pytest.param(Fault.STALE, CAMERA, id="row 5: exposed before the trigger"),
        pytest.param(Fault.BLACK, QUALITY, id="row 6: black, lens cap"),
        pytest.param(Fault.OVEREXPOSED, QUALITY, id="row 7: overexposed"),
        pytest.param(Fault.HALF_FRAME, CAMERA, id="row 9: half a frame"),
        pytest.param(Fault.WRONG_SIZE, CAMERA, id="row 10: wrong size"),
    ],
)
async def test_a_bad_frame_rejects_its_part_says_why_and_the_next_part_is_fine(line, fault, told):
    """Rows 3 to 10. The part is good, and the one before it passed: only the frame is wrong."""
    await line.good()
    with line.fault(fault):
        result = await line.fairly(line.goods)
    assert (result.code, result.reason) == told
    row = line.row(result)
    assert row["confidence"] is None, "the model was asked about a picture that must not be judged"
    assert line.codes_told(result.trigger_id) == [told]
    await line.good()


async def test_every_trigger_of_that_line_has_one_row_and_is_counted_once(line):
    """I1, I2 and I3 over all of the above."""
    await line.good()
    counted, rows = await line.counted(), line.checked()
    assert counted["TRIGGERS"] == len(rows) == len(line.sim.results) + len(line.held)
    assert counted["PASS"] == sum(r["published_code"] == Verdict.PASS for r in rows)


# -- pictures from files -----------------------------------------------------------------------------------------------


def jpeg(seed: int, kind: Kind = Kind.GOOD) -> bytes:
    out = BytesIO()
    Pillow.fromarray(render(seed, kind).image).save(out, "JPEG", quality=95)
    return out.getvalue()


def bmp_header(width: int, height: int) -> bytes:
    """A BMP that says it holds width x height pixels, and holds 16."""
    out = BytesIO()
    Pillow.new("RGB", (4, 4)).save(out, "BMP")
    raw = bytearray(out.getvalue())
    raw[18:26] = width.to_bytes(4, "little") + height.to_bytes(4, "little")
    return bytes(raw)


def png_header(width: int, height: int) -> bytes:
    """A PNG of one bit a pixel up to its first data, with right checksums."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size + b"\1\0\0\0\0") + chunk(b"IDAT", zlib.compress(bytes(8_000)))


def deep_png() -> bytes:
    """A good part with 16 bits a channel."""
    return cv2.imencode(".png", render(1, Kind.GOOD).image.astype(np.uint16) * 256)[1].tobytes()


def flipped(raw: bytes, seed: int) -> bytes:
    luck, bad = random.Random(seed), bytearray(raw)
    for _ in range(20):
        bad[luck.randrange(len(bad))] ^= 1 << luck.randrange(8)
    return bytes(bad)


GOOD_JPEG = jpeg(1)
UNREADABLE = {  # name -> its bytes
    "b_cut": GOOD_JPEG[: len(GOOD_JPEG) // 2],
    "c_head": bytes(200) + GOOD_JPEG[200:],
    "d_noise": random.Random(0).randbytes(20_000),
    "e_nothing": b"",
    "f_only_magic": GOOD_JPEG[:4],
    "g_deep": deep_png(),
}
FLIPS = 12


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def files(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveLine]:
    """A folder camera; PART_ID n shows its n-th picture."""
    folder = tmp_path_factory.mktemp("files")
    pictures = folder / "pictures"
    pictures.mkdir()
    huge = {"h_huge_bmp": bmp_header(60_000, 60_000), "h_huge_png": png_header(60_000, 60_000)}
    shown = {"a_good": GOOD_JPEG, **UNREADABLE, **huge}
    shown |= {f"i_flipped_{n:02d}": flipped(jpeg(n, Kind.EMPTY), n) for n in range(FLIPS)}
    for name, raw in shown.items():
        (pictures / f"{name}.jpg").write_bytes(raw)
    async with live_line(folder) as line:
        line.configure(camera=f'kind = "folder"\nfolder = "{pictures}"\npick = "part_id"')
        await line.start()
        await line.ready()
        yield line


async def shows(line: LiveLine, name: str) -> tuple[int, int]:
    """What the PLC reads for the part whose picture is this file."""
    names = sorted(p.stem for p in (line.folder / "pictures").iterdir())
    result = await line.fairly(repeat(names.index(name) + 1))
    return result.code, result.reason


async def test_a_header_of_60000_by_60000_pixels_is_refused_before_it_has_memory(files):
    """Row 11, I7."""
    assert await shows(files, "a_good") == (Verdict.PASS, Reason.NONE)
    before = peak_bytes(files)
    for name in ("h_huge_bmp", "h_huge_png"):
        assert await shows(files, name) == CAMERA
    assert peak_bytes(files) - before < 50e6
    assert await shows(files, "a_good") == (Verdict.PASS, Reason.NONE)


def peak_bytes(line: LiveLine) -> int:
    """The most memory that the daemon ever had."""
    assert line.process is not None and psutil.pid_exists(line.process.pid)
    status = Path(f"/proc/{line.process.pid}/status").read_text()
    return next(int(row.split()[1]) for row in status.splitlines() if row.startswith("VmHWM")) * 1024


@pytest.mark.parametrize("name", UNREADABLE)
async def test_a_damaged_picture_rejects_its_part_and_the_next_one_is_fine(files, name):
    """Rows 10 (bit depth) and 12."""
    assert await shows(files, name) == CAMERA
    assert await shows(files, "a_good") == (Verdict.PASS, Reason.NONE)


async def test_flipped_bits_are_answered_one_way_or_another_and_end_nothing(files):
    """Row 12. A JPEG has no checksum: some of these decode, to what was an empty belt."""
    for n in range(FLIPS):
        code, _ = await shows(files, f"i_flipped_{n:02d}")
        assert code in (Verdict.FAIL, Verdict.UNCERTAIN, Verdict.NOT_INSPECTED)
    assert files.process is not None and files.process.returncode is None
    assert await shows(files, "a_good") == (Verdict.PASS, Reason.NONE)


async def test_every_picture_of_that_folder_has_one_row(files):
    """I1, I2 and I3 over all of the above."""
    counted, rows = await files.counted(), files.checked()
    assert counted["TRIGGERS"] == len(rows) == len(files.sim.results)
