"""What a word is, in texts that are counted or rewritten by rules."""

import re


# Letters of any alphabet, with apostrophes inside: "don't" is one word, "well-made" are two
WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


def words_of(text: str) -> list[str]:
    """Words of a text in lower case, in order, with straight apostrophes."""
    return WORD.findall(text.lower().replace("’", "'"))
