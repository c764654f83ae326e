"""Sentences of a text, and sentences that say nothing."""

import re


# White space after the end of a sentence, on one line
SENTENCE_GAP = re.compile(r"(?<=[.!?]) +(?=\S)")

# Their words are in no lexicon
FILLERS = (
    "There is little more to add on that point.",
    "That at least is how it looked from where we sat.",
    "Others may put it in their own terms, and that is theirs to do.",
    "It went on for about as much time as one would expect.",
    "Everything else went on around it in the meantime.",
    "Some of this has been said before by others.",
    "Each of us had been told what to expect beforehand.",
    "There were no surprises as far as the rest goes.",
    "The rest of it went by as these things do.",
    "One could go on in this manner for several pages.",
    "What came after that is another matter.",
    "We then went on to other things in the evening.",
)


def split_sentences(text: str) -> list[str]:
    """Parts of a text that give it again when they are joined; each but the first begins with its white space."""
    starts = [0, *(gap.start() for gap in re.finditer(r"(?<=[.!?])\s+(?=\S)", text)), len(text)]
    return [text[start:end] for start, end in zip(starts, starts[1:], strict=False)]
