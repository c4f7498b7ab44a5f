"""How many examples each fuzz test tries."""

import os

FUZZ_EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "60"))
"""`FUZZ_EXAMPLES=20000` for a night."""
