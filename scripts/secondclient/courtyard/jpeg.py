"""Section 15: which JPEG is a photo, by its segments."""
from .strict import need

SIZE, SIDE, PIXELS = 2 << 20, 20000, 1 << 24
SOI, EOI, SOS, APP0, APP2 = 0xD8, 0xD9, 0xDA, 0xE0, 0xE2
FRAMES, TABLES = (0xC0, 0xC1), (0xC4, 0xDB, 0xDD)


def sides(raw):
    """(width, height) of a photo."""
    need(len(raw) <= SIZE and raw[:2] == bytes([0xFF, SOI]), "not a photo")
    at, found, scans = 2, None, 0
    while True:
        need(len(raw) >= at + 2 and raw[at] == 0xFF, "a marker is due")
        marker = raw[at + 1]
        if marker == EOI:
            need(at + 2 == len(raw) and scans, "something behind the end, or nothing before it")
            return found
        length = int.from_bytes(raw[at + 2:at + 4], "big")
        need(length >= 2 and at + 2 + length <= len(raw), "cut short")
        body, at = raw[at + 4:at + 2 + length], at + 2 + length
        if marker in FRAMES:
            need(found is None, "two pictures")
            found = _frame(body)
        elif marker == SOS:
            need(found is not None, "a scan before its frame")
            scans, at = scans + 1, _behind_scan(raw, at)
        elif marker == APP0:
            need(len(body) == 14 and body[:5] == b"JFIF\0" and body[12:] == b"\0\0", "not a bare JFIF header")
        elif marker == APP2:
            need(body.startswith(b"ICC_PROFILE\0"), "not a colour profile")
        else:
            need(marker in TABLES, "a segment that no photo needs")


def _frame(body):
    need(len(body) >= 6 and body[0] == 8 and body[5] in (1, 3) and len(body) == 6 + 3 * body[5], "not baseline")
    height, width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
    need(1 <= width <= SIDE and 1 <= height <= SIDE and width * height <= PIXELS, "the sides")
    return width, height


def _behind_scan(raw, at):
    """Where the next marker stands that is no restart."""
    while at + 1 < len(raw) and (raw[at] != 0xFF or raw[at + 1] == 0 or 0xD0 <= raw[at + 1] <= 0xD7):
        at += 1 if raw[at] != 0xFF else 2
    return at
