"""All seven operations on real media. Each result is opened by a library other than the one that wrote it."""

import hashlib
import io
import json

import httpx
import pytest
from PIL import Image

from tests.e2e.conftest import CLIP, MEDIA, Params, Service

PHOTO_SIZE = (640, 427)


def decode(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


@pytest.mark.parametrize(
    ("params", "size", "format_"),
    [
        ({"width": 320}, (320, 214), "JPEG"),
        ({"width": 100, "height": 100, "fit": "cover", "format": "png"}, (100, 100), "PNG"),
        ({"width": 100, "height": 100, "fit": "fill", "format": "webp"}, (100, 100), "WEBP"),
        ({"width": 9000}, PHOTO_SIZE, "JPEG"),
    ],
)
def test_resize_scales_and_converts(
    service: Service, photo: str, params: Params, size: tuple[int, int], format_: str
) -> None:
    job = service.run(photo, "resize", params)

    image = decode(service.result(job))
    assert (image.size, image.format) == (size, format_)
    output = job["outputs"][0]
    assert (output["width_px"], output["height_px"]) == size
    assert output["media_type"] == f"image/{format_.lower()}"


def test_thumbnail_has_300_by_300_pixels_by_default(service: Service, photo: str) -> None:
    job = service.run(photo, "thumbnail")

    assert decode(service.result(job)).size == (300, 300)


def test_watermark_is_a_text_or_another_image(service: Service, photo: str) -> None:
    original = decode((MEDIA / "rocket.jpg").read_bytes())
    logo = service.file((MEDIA / "chelsea.png").read_bytes(), "logo.png", "image/png")

    by_text = service.run(photo, "watermark", {"text": "© Darkroom", "position": "top_left"})
    by_image = service.run(photo, "watermark", {"image_file_id": logo, "scale": 0.2, "opacity": 1.0})

    for job in (by_text, by_image):
        marked = decode(service.result(job))
        assert marked.size == original.size
        assert marked.tobytes() != original.tobytes()


def test_video_thumbnail_is_chosen_by_seconds_or_percent(service: Service, clip: str) -> None:
    by_time = service.run(clip, "video_thumbnail", {"time_s": 1, "width": 320})
    by_percent = service.run(clip, "video_thumbnail", {"time_percent": 50, "format": "webp"})

    assert decode(service.result(by_time)).size == (320, 180)
    assert decode(service.result(by_percent)).format == "WEBP"


def test_video_metadata_is_in_the_job_and_in_its_output(service: Service, clip: str) -> None:
    job = service.run(clip, "video_metadata")

    assert json.loads(service.result(job)) == job["document"]
    video, audio = job["document"]["streams"][:2]
    assert (video["type"], video["codec"], video["width_px"], video["height_px"]) == ("video", "h264", 1280, 720)
    assert audio["type"] == "audio"
    assert job["document"]["duration_s"] > 1


def test_video_metadata_describes_an_image(service: Service, photo: str) -> None:
    job = service.run(photo, "video_metadata")

    assert json.loads(service.result(job)) == job["document"]
    (image,) = job["document"]["streams"]
    assert (job["document"]["kind"], image["type"], image["codec"]) == ("image", "image", "jpeg")
    assert (image["width_px"], image["height_px"], image["frame_count"]) == (640, 427, 1)


def test_video_compress_reports_the_crf_chosen_for_a_target_ssim(service: Service, clip: str) -> None:
    params = {"target_ssim": 0.9, "max_height": 180, "preset": "ultrafast", "audio": "none"}

    document = service.run(clip, "video_compress", params)["document"]

    assert document["ssim"] >= document["target_ssim"] == 0.9
    assert 26 < document["crf"] <= 51


def test_video_compress_makes_a_smaller_video_of_the_same_duration(service: Service, clip: str) -> None:
    before = service.run(clip, "video_metadata")["document"]

    job = service.run(clip, "video_compress", {"crf": 32, "max_height": 360, "preset": "ultrafast"})

    content = service.result(job)
    compressed = service.file(content, "small.mp4", "video/mp4")
    after = service.run(compressed, "video_metadata")["document"]
    assert abs(after["duration_s"] - before["duration_s"]) < 0.1
    assert after["streams"][0]["height_px"] == 360
    assert len(content) < CLIP.stat().st_size
    assert content.index(b"moov") < content.index(b"mdat")


@pytest.mark.parametrize(
    ("format_", "codec"),
    [("mp3", "mp3"), ("m4a", "aac"), ("aac", "aac"), ("opus", "opus"), ("flac", "flac"), ("wav", "pcm_s16le")],
)
def test_audio_extract_writes_the_requested_codec(service: Service, clip: str, format_: str, codec: str) -> None:
    job = service.run(clip, "audio_extract", {"format": format_})

    audio = service.file(service.result(job), f"audio.{format_}")
    document = service.run(audio, "video_metadata")["document"]
    assert [stream["codec"] for stream in document["streams"]] == [codec]


def test_output_has_its_type_size_and_checksum_and_is_downloaded_under_its_name(service: Service, photo: str) -> None:
    job = service.run(photo, "resize", {"width": 64, "format": "png"})

    answer = httpx.get(job["download_url"])
    output = job["outputs"][0]
    assert output["size_bytes"] == len(answer.content)
    assert output["sha256"] == hashlib.sha256(answer.content).hexdigest()
    assert output["path"] == job["result_path"]
    assert answer.headers["content-type"] == "image/png"
    assert "rocket-resize.png" in answer.headers["content-disposition"]
