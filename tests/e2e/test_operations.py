"""All seven operations on real media, each result opened by a reader that is not the one that made it."""

import hashlib
import io
import json

import httpx
import pytest
from PIL import Image

from tests.e2e.conftest import CLIP, MEDIA

PHOTO_SIZE = (640, 427)


def opened(content):
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
def test_resize(service, photo, params, size, format_):
    job = service.run(photo, "resize", params)

    image = opened(service.result(job))
    assert (image.size, image.format) == (size, format_)
    output = job["outputs"][0]
    assert (output["width_px"], output["height_px"]) == size
    assert output["media_type"] == f"image/{format_.lower()}"


def test_thumbnail_is_300_pixels_high_by_default(service, photo):
    job = service.run(photo, "thumbnail")

    assert opened(service.result(job)).size == (300, 300)


def test_watermark_by_text_and_by_another_file(service, photo):
    original = opened((MEDIA / "rocket.jpg").read_bytes())
    logo = service.file((MEDIA / "chelsea.png").read_bytes(), "logo.png", "image/png")

    by_text = service.run(photo, "watermark", {"text": "© Darkroom", "position": "top_left"})
    by_image = service.run(photo, "watermark", {"image_file_id": logo, "scale": 0.2, "opacity": 1.0})

    for job in (by_text, by_image):
        marked = opened(service.result(job))
        assert marked.size == original.size
        assert marked.tobytes() != original.tobytes()


def test_video_thumbnail_by_seconds_and_by_percent(service, clip):
    by_time = service.run(clip, "video_thumbnail", {"time_s": 1, "width": 320})
    by_percent = service.run(clip, "video_thumbnail", {"time_percent": 50, "format": "webp"})

    assert opened(service.result(by_time)).size == (320, 180)
    assert opened(service.result(by_percent)).format == "WEBP"


def test_video_metadata_is_in_the_job_and_in_a_file(service, clip):
    job = service.run(clip, "video_metadata")

    assert json.loads(service.result(job)) == job["document"]
    video, audio = job["document"]["streams"][:2]
    assert (video["type"], video["codec"], video["width_px"], video["height_px"]) == ("video", "h264", 1280, 720)
    assert audio["type"] == "audio"
    assert job["document"]["duration_s"] > 1


def test_video_metadata_of_an_image(service, photo):
    job = service.run(photo, "video_metadata")

    assert json.loads(service.result(job)) == job["document"]
    (image,) = job["document"]["streams"]
    assert (job["document"]["kind"], image["type"], image["codec"]) == ("image", "image", "jpeg")
    assert (image["width_px"], image["height_px"], image["frame_count"]) == (640, 427, 1)


def test_video_compress_to_a_likeness_tells_what_it_chose(service, clip):
    params = {"target_ssim": 0.9, "max_height": 180, "preset": "ultrafast", "audio": "none"}

    document = service.run(clip, "video_compress", params)["document"]

    assert document["ssim"] >= document["target_ssim"] == 0.9
    assert 26 < document["crf"] <= 51


def test_video_compress_makes_a_smaller_video_of_the_same_length(service, clip):
    before = service.run(clip, "video_metadata")["document"]

    job = service.run(clip, "video_compress", {"crf": 32, "max_height": 360, "preset": "ultrafast"})

    content = service.result(job)
    again = service.file(content, "small.mp4", "video/mp4")
    after = service.run(again, "video_metadata")["document"]
    assert abs(after["duration_s"] - before["duration_s"]) < 0.1
    assert after["streams"][0]["height_px"] == 360
    assert len(content) < CLIP.stat().st_size
    assert content.index(b"moov") < content.index(b"mdat")


@pytest.mark.parametrize(
    ("format_", "codec"),
    [("mp3", "mp3"), ("m4a", "aac"), ("aac", "aac"), ("opus", "opus"), ("flac", "flac"), ("wav", "pcm_s16le")],
)
def test_audio_extract(service, clip, format_, codec):
    job = service.run(clip, "audio_extract", {"format": format_})

    sound = service.file(service.result(job), f"sound.{format_}")
    document = service.run(sound, "video_metadata")["document"]
    assert [stream["codec"] for stream in document["streams"]] == [codec]


def test_a_result_carries_type_size_and_checksum_and_downloads_under_its_name(service, photo):
    job = service.run(photo, "resize", {"width": 64, "format": "png"})

    answer = httpx.get(job["download_url"])
    output = job["outputs"][0]
    assert output["size_bytes"] == len(answer.content)
    assert output["sha256"] == hashlib.sha256(answer.content).hexdigest()
    assert output["path"] == job["result_path"]
    assert answer.headers["content-type"] == "image/png"
    assert "rocket-resize.png" in answer.headers["content-disposition"]
