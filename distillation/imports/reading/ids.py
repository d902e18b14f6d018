"""Which ids a file has given already, in a few bytes for each."""

from hashlib import blake2b

BITS = 1 << 27  # 16 MB, touched only where an id falls
PROBES = 2


class SeenIds:
    """A Bloom filter: no id that was seen is ever taken for new. Of a million different ids about
    one in fifteen thousand is taken for seen, and so gets a longer name than it needs.
    """

    def __init__(self) -> None:
        self._bits = bytearray(BITS // 8)

    def add(self, name: str) -> bool:
        """Return True when it is new."""
        digest = blake2b(name.encode("utf-8"), digest_size=8 * PROBES).digest()
        places = [int.from_bytes(digest[8 * n : 8 * n + 8]) % BITS for n in range(PROBES)]
        is_new = any(not self._bits[place >> 3] & (1 << (place & 7)) for place in places)
        for place in places:
            self._bits[place >> 3] |= 1 << (place & 7)
        return is_new
