"""Texts as vectors whose cosine says how alike they are: mean states of a sentence encoder's
last layer (Reimers and Gurevych, 2019).
"""

from collections.abc import Sequence

import numpy as np

from electorate.base.errors import ElectorateError
from electorate.base.scale import Floats

BATCH = 64
MAX_TOKENS = 256


def embed(texts: Sequence[str], source: str) -> Floats:
    """(len(texts), width). source: a folder or a hub id; safetensors only.

    Raises ElectorateError if it cannot be loaded.
    """
    import torch
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
        model = AutoModel.from_pretrained(source, use_safetensors=True, dtype=torch.float32).eval()
    except (OSError, ValueError) as error:
        raise ElectorateError(
            f"new_prompts.encoder: {source}: cannot be loaded: {' '.join(str(error).split())[:200]}"
        ) from None
    parts = []
    with torch.no_grad():
        for start in range(0, len(texts), BATCH):
            batch = list(texts[start : start + BATCH])
            read = tokenizer(
                batch, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
            )
            states = model(**read).last_hidden_state
            mask = read["attention_mask"][..., None]
            parts.append(((states * mask).sum(dim=1) / mask.sum(dim=1)).numpy())
    return np.concatenate(parts).astype(float)
