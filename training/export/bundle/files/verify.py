#!/usr/bin/env python3
"""Checks every file of this folder against manifest.json, and the manifest's signature, offline.

    python verify.py
    python verify.py --key HEX     the public key as the installation shows it

Without --key the signature is checked with the key in public_key.txt: that tells whether the folder
is whole, not who made it. Needs nothing but Python 3.9. Exit code 0: all is as it was signed.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
UNSIGNED = {"manifest.json", "manifest.sig"}

# Ed25519 as of RFC 8032, section 6: slow and plain, which is enough for one signature.
P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)
Point = tuple[int, int, int, int]


def add(a: Point, b: Point) -> Point:
    x = (a[1] - a[0]) * (b[1] - b[0]) % P
    y = (a[1] + a[0]) * (b[1] + b[0]) % P
    t, z = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = y - x, z - t, z + t, y + x
    return e * f, g * h, f * g, e * h


def times(number: int, point: Point) -> Point:
    total: Point = (0, 1, 1, 0)
    while number:
        if number & 1:
            total = add(total, point)
        point = add(point, point)
        number >>= 1
    return total


def is_same(a: Point, b: Point) -> bool:
    return (a[0] * b[2] - b[0] * a[2]) % P == 0 and (a[1] * b[2] - b[1] * a[2]) % P == 0


def point_of(data: bytes) -> Point:
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    if y >= P or (x * x - square) % P or (x == 0 and sign):
        raise ValueError("not a point of the curve")
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


def is_signed(key: bytes, signature: bytes, message: bytes) -> bool:
    try:
        public, r = point_of(key), point_of(signature[:32])
    except ValueError:
        return False
    s = int.from_bytes(signature[32:], "little")
    if len(key) != 32 or len(signature) != 64 or s >= Q:
        return False
    digest = hashlib.sha512(signature[:32] + key + message).digest()
    h = int.from_bytes(digest, "little") % Q
    base_y = 4 * pow(5, P - 2, P) % P
    base = point_of(base_y.to_bytes(32, "little"))
    return is_same(times(s, base), add(r, times(h, public)))


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for chunk in iter(lambda: stream.read(1 << 20), b""):
            digest.update(chunk)
    return digest.hexdigest()


def problems(key: bytes) -> Iterator[str]:
    raw = (HERE / "manifest.json").read_bytes()
    signature = base64.b64decode((HERE / "manifest.sig").read_text())
    if not is_signed(key, signature, raw):
        yield "manifest.json is not what this key signed"
    listed = {entry["path"]: entry["sha256"] for entry in json.loads(raw)["files"]}
    for path, digest in listed.items():
        if not (HERE / path).is_file():
            yield f"{path} is missing"
        elif sha256(HERE / path) != digest:
            yield f"{path} has changed since it was signed"
    there = {p.relative_to(HERE).as_posix() for p in HERE.rglob("*") if p.is_file()}
    for path in sorted(there - listed.keys() - UNSIGNED):
        yield f"{path} is not in the manifest"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--key", help="public key of the installation, 64 hexadecimal digits")
    args = parser.parse_args()
    try:
        key = bytes.fromhex(args.key or (HERE / "public_key.txt").read_text().strip())
        found = list(problems(key))
    except (OSError, ValueError, KeyError) as error:
        found = [f"it cannot be checked: {error}"]
    for problem in found:
        print(f"NOT VERIFIED: {problem}")
    if not found:
        whose = "the key you gave" if args.key else f"the key in public_key.txt, {key.hex()}"
        print(f"Verified: every file is as it was signed with {whose}.")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
