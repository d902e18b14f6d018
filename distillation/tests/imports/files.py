"""Contents of files to import. No Django, so that conftest can use it."""

import json


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def pairs(count, start=0):
    return [{"prompt": f"question {n}", "completion": "label"} for n in range(start, start + count)]
