"""A double of crossfit/op/tokenize.py of 0.0.9, of which only the way over Hugging Face's tokenizers is here."""

import cudf


class Tokenizer:
    def __init__(self, model, tokenizer_type="subword", cols=None, max_length=None):
        assert tokenizer_type == "default"
        self.model, self.cols, self.max_length = model, cols, max_length or model.max_seq_length()

    def __call__(self, data):
        (column,) = self.cols
        text = data[column]
        if not isinstance(data, cudf.DataFrame) or not isinstance(text, cudf.Series):
            raise ValueError("data must be a cudf Series")  # noqa: TRY004 - as Tokenizer.call does
        encoded = self.model.load_tokenizer().batch_encode_plus(
            [each or "unknown" for each in text.to_arrow().to_pylist()],  # Tokenizer.call_column replaces ""
            max_length=self.max_length,
            padding="max_length",
            return_tensors="pt",
            truncation=True,
            add_special_tokens=True,
            return_token_type_ids=False,
        )
        return {"input_ids": encoded["input_ids"], "attention_mask": encoded["attention_mask"], "index": data.index}
