"""Write the starter corpus into the product: `python -m tools.starter`."""

from tools.starter.corpus import STARTER_FILE, packed

if __name__ == "__main__":
    STARTER_FILE.write_bytes(packed())
