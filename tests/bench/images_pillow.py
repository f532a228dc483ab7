"""Runs simple Pillow code for the same operations."""

import io

from PIL import Image, ImageOps

from tests.bench.images_worker import serve


def work(operation: str, fmt: str, content: bytes) -> bytes:
    image: Image.Image = Image.open(io.BytesIO(content))
    image = ImageOps.exif_transpose(image)
    if operation == "resize":
        image.thumbnail((1600, 1600), Image.Resampling.LANCZOS, reducing_gap=None)
    else:
        image = ImageOps.fit(image, (320, 320), Image.Resampling.LANCZOS)
    result = io.BytesIO()
    image.save(result, fmt.upper(), quality=80)
    return result.getvalue()


if __name__ == "__main__":
    serve(work)
