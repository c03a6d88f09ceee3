from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from heliostat.data.decode import Decoder, decode, decode_whole, decode_window, header
from heliostat.data.headers import read_header
from heliostat.data.samples import Pixels

DECODERS: tuple[Decoder, ...] = ("simplejpeg", "opencv", "pillow")


@pytest.fixture
def photo(shared_data: Path) -> Image.Image:
    """A photo of a raccoon, 417x650."""
    return Image.open(shared_data / "raccoon" / "images" / "raccoon-1.jpg").convert("RGB")


@pytest.fixture
def photos(shared_data: Path) -> list[Path]:
    """60 photos, every third of the raccoons' with the grey ones among them."""
    return sorted((shared_data / "raccoon" / "images").glob("*.jpg"))[::3][:60]


def test_all_decoders_read_the_same_pixels_of_every_kind_of_image(photo: Image.Image) -> None:
    for name, content in kinds(photo):
        for channels in (1, 3):
            shape = (channels, photo.height, photo.width)
            by_pillow = decode(content, shape, "pillow").astype(int)
            # Grey out of colours is rounded, or a JPEG's own brightness.
            off = 1 if channels == 1 else 0
            for decoder in DECODERS:
                image = decode(content, shape, decoder)
                assert np.abs(image - by_pillow).max() <= off, (name, channels, decoder)
                assert image.dtype == np.uint8
                assert image.flags.c_contiguous


def test_what_pillow_refuses_is_refused_by_all(photo: Image.Image) -> None:
    for name, content in kinds(photo):
        for part in (content[: len(content) // 2], content[:-40], content[:20]):
            for decoder in DECODERS:
                assert refused(part, decoder), (name, decoder, len(part), len(content))


def test_a_photo_at_its_own_size_is_what_pillow_reads_and_resized_is_off_by_little(
    photos: list[Path],
) -> None:
    differences = []
    for path in photos:
        with Image.open(path) as file:
            exact = file.convert("RGB")
        whole = decode_whole(path, 3, None)
        assert np.abs(whole.astype(int) - np.asarray(exact)).mean() < 0.1
        small = exact.resize((48, 64), Image.Resampling.BILINEAR)
        ours = decode(path, (3, 64, 48)).transpose(1, 2, 0)
        differences.append(np.abs(ours.astype(int) - np.asarray(small)).mean())
    # Of 255 levels; the larger ones are decoded at a reduced scale.
    assert np.mean(differences) < 0.5
    assert max(differences) < 1.5


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_window_is_what_is_cut_from_the_whole_image_and_resized(
    photos: list[Path], decoder: Decoder
) -> None:
    at_full_scale, reduced = [], []
    for path in photos:
        with Image.open(path) as file:
            exact = file.convert("RGB")
        for share, differences in ((4, at_full_scale), (1, reduced)):
            h, w = exact.height // share, exact.width // share
            top, left = (exact.height - h) // 2, (exact.width - w) // 2
            side = 64 if share == 1 else max(h, w)
            box = (left, top, left + w, top + h)
            expected = exact.resize((side, side), Image.Resampling.BILINEAR, box)
            ours = decode_window(path, (3, side, side), lambda *_: (top, left, h, w), decoder)  # noqa: B023
            off = np.abs(ours.transpose(1, 2, 0).astype(int) - np.asarray(expected)).mean()
            differences.append(off)
    assert np.mean(at_full_scale) < 0.5
    assert np.mean(reduced) < 3


def test_a_window_may_be_a_single_pixel_of_a_reduced_image() -> None:
    content = encoded(Image.new("RGB", (9, 9), (200, 100, 50)), "JPEG")
    window = decode_window(content, (3, 1, 1), lambda height, width: (height - 8, 0, 8, 8))
    assert np.abs(window.reshape(3).astype(int) - (200, 100, 50)).max() < 4


def test_a_header_is_read_without_a_library_and_agrees_with_pillow(photos: list[Path]) -> None:
    for path in photos:
        with Image.open(path) as image:
            expected = 1 if image.mode == "L" else 3, image.height, image.width
        found = read_header(path.read_bytes())
        assert found is not None
        assert (found.channels, found.height, found.width) == expected == header(path)


def test_no_beginning_of_an_image_breaks_the_header_reader(photo: Image.Image) -> None:
    for _, content in kinds(photo.resize((16, 16))):
        whole = read_header(content)
        for end in range(0, min(len(content), 900)):
            assert read_header(content[:end]) in (None, whole)
        for at in range(2, 200):
            read_header(content[:at] + b"\xff" * 40)


def refused(content: bytes, decoder: Decoder) -> bool:
    try:
        decode(content, (3, 64, 64), decoder)
    except (OSError, SyntaxError, ValueError):
        return True
    return False


def kinds(photo: Image.Image) -> Iterator[tuple[str, bytes]]:
    """Yield a photo in the formats and modes that image files come in."""
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    yield "jpeg", encoded(photo, "JPEG", quality=90)
    yield "jpeg turned", encoded(photo, "JPEG", exif=exif)
    yield "jpeg progressive", encoded(photo, "JPEG", progressive=True)
    yield "jpeg 4:4:4", encoded(photo, "JPEG", subsampling=0)
    yield "jpeg grey", encoded(photo.convert("L"), "JPEG")
    yield "CMYK", encoded(photo.convert("CMYK"), "JPEG")
    alpha = photo.copy()
    alpha.putalpha(photo.convert("L"))
    palette = photo.quantize(40)
    palette.info["transparency"] = 3
    grey = photo.convert("L")
    deep: Pixels = np.asarray(grey).astype(np.uint16) * 257  # type: ignore[assignment]
    yield "png", encoded(photo, "PNG")
    yield "png, a colour transparent", encoded(photo, "PNG", transparency=(1, 2, 3))
    yield "png grey", encoded(grey, "PNG")
    yield "png grey and alpha", encoded(alpha.convert("LA"), "PNG")
    yield "png alpha", encoded(alpha, "PNG")
    yield "png palette", encoded(palette, "PNG")
    yield "png two colours", encoded(photo.convert("1"), "PNG")
    yield "png 16 bits", encoded(Image.fromarray(deep), "PNG")
    yield "gif", encoded(photo, "GIF")
    yield "webp", encoded(photo, "WEBP", lossless=True)


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()
