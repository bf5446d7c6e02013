"""Section 8, files: photos and long texts, sealed in chunks."""
from . import primitives as p
from .strict import need

CHUNK, TAG, MOST = 65536, 16, 20 << 20


def _nonce(file_id, i, last):
    return file_id + p.u32(i) + bytes(3) + p.u8(int(last))


def seal(plain, file_id, key):
    need(len(plain) <= MOST, "too large")
    chunks = [plain[at:at + CHUNK] for at in range(0, len(plain), CHUNK)] or [b""]
    return b"".join(p.secretbox_seal(chunk, _nonce(file_id, i, i == len(chunks) - 1), key)
                    for i, chunk in enumerate(chunks))


def unseal(sealed, file_id, key, size, hashed):
    step = CHUNK + TAG
    chunks = [sealed[at:at + step] for at in range(0, len(sealed), step)]
    plain = b"".join(p.secretbox_open(chunk, _nonce(file_id, i, i == len(chunks) - 1), key)
                     for i, chunk in enumerate(chunks))
    need(chunks and len(plain) == size and p.same(p.sha256(plain), hashed), "the file is damaged")
    return plain
