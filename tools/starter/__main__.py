"""Write the starter corpus as JSONL: `python -m tools.starter > starter.jsonl`."""

import json

from tools.starter.corpus import starter_rows

if __name__ == "__main__":
    for row in starter_rows():
        print(json.dumps(row, ensure_ascii=False))
