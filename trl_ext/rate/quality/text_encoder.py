"""Vectors of texts, by an encoder of transformers."""

from collections.abc import Callable, Sequence

import numpy as np

from ...data.bundled import ENCODER, resolve_model


# texts -> vectors (N, D)
Encoder = Callable[[Sequence[str]], np.ndarray]


def load_encoder(name: str = ENCODER, *, batch_size: int = 64, device: str | None = None) -> Encoder:
    """
    An encoder: the mean of a model's last hidden states over the tokens of a text. What is longer than its window is cut.

    Args:
        name (`str`, *optional*, defaults to `"bundled:all-minilm-l6-v2"`): Bundled model, Hub id or folder.
        batch_size (`int`, *optional*, defaults to `64`): Texts encoded at once.
        device (`str`, *optional*): By default the GPU if there is one.

    Returns:
        `Callable`: Function from N texts to float64 vectors of length 1, shape `(N, D)`.
    """
    import torch
    from transformers import AutoModel, AutoTokenizer

    path = resolve_model(name)
    tokenizer = AutoTokenizer.from_pretrained(path)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    model = AutoModel.from_pretrained(path, dtype=torch.float32).eval().to(device)
    longest = min(tokenizer.model_max_length, model.config.max_position_embeddings)

    def encode(texts: Sequence[str]) -> np.ndarray:
        vectors = np.empty((len(texts), model.config.hidden_size))
        order = np.argsort([len(text) for text in texts], kind="stable")
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            batch = tokenizer(
                [texts[row] for row in rows], padding=True, truncation=True, max_length=longest, return_tensors="pt"
            ).to(device)
            with torch.no_grad():
                states = model(**batch).last_hidden_state
            mask = batch["attention_mask"].unsqueeze(-1)
            means = ((states * mask).sum(1) / mask.sum(1)).double().cpu().numpy()
            vectors[rows] = means / np.linalg.norm(means, axis=1, keepdims=True)
        return vectors

    return encode
