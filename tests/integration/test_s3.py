"""Upload forms, object heads and download links of a real S3."""

import httpx

from darkroom.services import s3
from tests.integration.conftest import Upload
from tests.support.tenants import upload_key


def test_upload_form_accepts_only_the_file_that_it_was_made_for() -> None:
    form = s3.upload_form(
        upload_key("a"), media_type="image/png", metadata={"name": "a.png"}, max_bytes=10, expires_s=60
    )

    def post(content: bytes, **fields: str) -> int:
        return httpx.post(form["url"], data=form["fields"] | fields, files={"file": content}).status_code

    assert post(b"x" * 11) == 400
    assert post(b"") == 400
    assert post(b"x", **{"Content-Type": "text/html"}) == 403
    assert post(b"x", **{"x-amz-meta-name": "b.png"}) == 403
    assert s3.head(upload_key("a"), 16) is None
    assert post(b"x" * 10) == 204
    head = s3.head(upload_key("a"), 4)
    assert head is not None
    assert (head.content, head.size_bytes, head.media_type) == (b"xxxx", 10, "image/png")
    assert head.metadata == {"name": "a.png"}


def test_head_of_an_empty_object_is_empty(upload: Upload) -> None:
    head = s3.head(upload_key(upload(b"")), 16)

    assert head is not None
    assert (head.content, head.size_bytes) == (b"", 0)


def test_link_saves_an_object_under_a_name_in_any_script(upload: Upload) -> None:
    link = s3.link(upload_key(upload(b"data")), expires_s=60, save_as="Łódź, фото.jpg")

    answer = httpx.get(link)

    assert answer.content == b"data"
    assert "filename*=UTF-8''%C5%81%C3%B3d%C5%BA" in answer.headers["content-disposition"]
