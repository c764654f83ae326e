"""Published ratings that the package ships: seven facts."""

from ..ratings.model_names import known_aliases
from ..ratings.rating_table import RatingTable


_CHARM = {
    "GPT-4o-mini-2024-07-18": 1273,
    "Qwen2.5-72B-Instruct": 1258,
    "Llama-3.1-70B-Instruct": 1248,
    "gemma-2-27b-it": 1220,
    "gemma-2-9b-it-SimPO": 1216,
    "gemma-2-9b-it": 1191,
    "Llama-3.1-8B-Instruct": 1176,
}


def charm_ratings() -> RatingTable:
    """
    Ratings of the seven policy models of the paper: text leaderboard of Chatbot Arena without style control, the same in
    the snapshots of 2024-12-16, -23 and -31. The paper's configuration has no intervals; a snapshot read by
    [`read_leaderboard`] has.

    References:
        - CHARM: Calibrating Reward Models With Chatbot Arena Scores, https://arxiv.org/abs/2504.10045.

    Returns:
        [`RatingTable`]: With aliases, such as the ids on the Hugging Face Hub.

    Example:
        ```python
        >>> from trl_ext.arena import charm_ratings
        >>> ratings = charm_ratings()
        >>> round(ratings.win_probability("princeton-nlp/gemma-2-9b-it-SimPO", "gpt-4o-mini"), 4)
        0.4187

        ```
    """
    table = RatingTable.from_ratings(
        _CHARM,
        category="full",
        style_control=False,
        snapshot="2024-12-31",
        source="Chatbot Arena text leaderboard, as in the paper's configuration",
    ).table
    return RatingTable(table, aliases=known_aliases(list(_CHARM)))
