"""Text from strangers, made safe to show: in a log line, a record, the model's instructions. Pure.

One sanitizer for all of them, so that none of them has its own idea of what a control character
is. It is for showing only: what goes into a SIP header or a JSON text is escaped, or refused, by
whoever builds that.
"""

from __future__ import annotations

import unicodedata

# Cc: C0 and C1 controls (line breaks, escape sequences of a terminal). Cf: what steers text without
# showing: bidirectional overrides, byte order marks, tag characters. Zl, Zp: U+2028 and U+2029.
# Cs: lone surrogates, which no encoder takes. Co, Cn: nobody knows what they look like.
UNSAFE = frozenset({"Cc", "Cf", "Zl", "Zp", "Cs", "Co", "Cn"})
JOINERS = "\u200c\u200d"  # of category Cf, but Persian and Hindi names are misspelt without them

CALLER_ID = 64  # characters of a name or number of a person
OTHERS = 256  # characters of anything else


def cleaned(text: str, limit: int = OTHERS) -> str:
    """`text` in NFC, only what shows of it, at most `limit` characters."""
    shown = (c for c in text[: 4 * limit] if c in JOINERS or unicodedata.category(c) not in UNSAFE)
    return unicodedata.normalize("NFC", "".join(shown))[:limit]
