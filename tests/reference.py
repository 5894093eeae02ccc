"""What others would compute: the loops that scores are held against."""

import numpy as np
import torch


def card_loop(directory, texts, *, max_length, batch_size=4, dtype=torch.float32):
    """Logits [n, C] by the loop that model cards print: plain transformers, batches in the order of the texts."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = AutoModelForSequenceClassification.from_pretrained(directory, dtype=dtype).eval()
    return np.concatenate(
        [
            _logits(model, tokenizer, texts[start : start + batch_size], max_length)
            for start in range(0, len(texts), batch_size)
        ]
    )


def mean_pooled(directory, texts, *, max_length, batch_size=4):
    """Features [n, D] as sentence-transformers computes them: the mean of the last hidden states over the mask."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = AutoModel.from_pretrained(directory, dtype=torch.float32).eval()
    features = []
    for start in range(0, len(texts), batch_size):
        inputs = _inputs(tokenizer, texts[start : start + batch_size], max_length)
        with torch.no_grad():
            hidden = model(**inputs).last_hidden_state
        mask = inputs["attention_mask"].unsqueeze(-1).expand(hidden.size()).float()
        features.append((hidden * mask).sum(1) / torch.clamp(mask.sum(1), min=1e-9))
    return torch.cat(features).numpy()


def _logits(model, tokenizer, texts, max_length):
    with torch.no_grad():
        return model(**_inputs(tokenizer, texts, max_length)).logits.float().numpy()


def _inputs(tokenizer, texts, max_length):
    return tokenizer(texts, return_tensors="pt", padding="longest", truncation=True, max_length=max_length)
