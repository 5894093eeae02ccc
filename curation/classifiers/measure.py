"""The canary of a fetched model: what it scores without any of our scoring code, for every replica to reproduce."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from curation.classifiers.canary import write_canary
from curation.classifiers.encoder import Encoder
from curation.classifiers.fasttext import FastText
from curation.core.classifier import Canary
from curation.core.errors import ModelError
from curation.inference.files import read_json
from curation.inference.replica import ScoringSpec, load_replica
from curation.inference.weights import BASE_CONFIG, base_model, weight_files

CANARY_TEXTS = (
    "Water freezes at zero degrees because its molecules then settle into a lattice that we call ice.",
    "A fraction is in lowest terms when no number above one divides both of its parts.",
    "HURRY!!! 70 % off all watches, today only >>> click the link below and WIN",
    "The council met on Tuesday evening.\nNobody spoke against the bridge.\r\nThe vote was unanimous.",
    'for row in table:\n    total += row["price"] * row["count"]\nprint(total)',
    "春天来了。河边的柳树先绿了。 🌱 Der Frühling kommt auch bald.",
    "Why does the moon show phases?\u2028It does not shine itself: we see the part that the sun lights.",
    "ok",
)

# fastText sums in one order everywhere; matrix products of encoders depend on the processor.
_TOLERANCES = {Encoder: 1e-4, FastText: 1e-5}


def measure_canary(users: Sequence[Encoder | FastText], folder: Path) -> None:
    """Write the canary, from the plain library, and hold the classifiers against it.

    Classifiers that read one model differently (two labels) have no scores in common, and get none.
    """
    recipes = [replace(user, model=str(folder), revision="") for user in users]
    for recipe in recipes:
        recipe.fingerprint()  # says in our words what is wrong with the files, before a library meets them
    measured = {tuple(_plain_scores(recipe, folder)) for recipe in recipes}
    if len(measured) == 1:
        canary = Canary(CANARY_TEXTS, measured.pop(), _TOLERANCES[type(recipes[0])])
        write_canary(folder, canary, recipes[0].reading)
    if recipes:
        load_replica(recipes, ScoringSpec())


def _plain_scores(recipe: Encoder | FastText, folder: Path) -> list[float]:
    """The canary's scores without any of our scoring code."""
    try:
        return _model_card_loop(recipe, folder) if isinstance(recipe, Encoder) else _bare_binding(recipe, folder)
    except (ValueError, OSError, RuntimeError, KeyError, TypeError, ImportError) as error:
        raise ModelError(f"{recipe.name}: the model was fetched, but cannot be loaded: {error}") from error


def _model_card_loop(recipe: Encoder, folder: Path) -> list[float]:
    """One text at a time through transformers, as model cards show it."""
    import torch
    from transformers import AutoConfig, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    model = _wrapped_model(folder) if base_model(folder) else _sequence_classifier(folder)
    places = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False).label2id
    max_tokens = recipe.parts().max_tokens
    scores = []
    for text in CANARY_TEXTS:
        inputs = tokenizer(text, return_tensors="pt", truncation=True, max_length=max_tokens)
        with torch.inference_mode():
            outputs_C = model(inputs)[0]
        if len(outputs_C) > 1:
            outputs_C = outputs_C.softmax(-1)
        scores.append(float(outputs_C[places[recipe.label]] if recipe.label else outputs_C.max()))
    return scores


def _sequence_classifier(folder: Path) -> Callable[[Mapping[str, Any]], Any]:
    """Tokenised text → outputs_1C, by the class that transformers has for it."""
    import torch
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True, trust_remote_code=False, use_safetensors=True
    ).eval()
    return lambda inputs: model(**inputs).logits


def _wrapped_model(folder: Path) -> Callable[[Mapping[str, Any]], Any]:
    """Tokenised text → outputs_1C of a wrapped checkpoint, by what the cards of such models do."""
    import torch
    from safetensors.torch import load_file
    from transformers import AutoConfig, AutoModel

    tensors = {name: tensor.float() for path in weight_files(folder) for name, tensor in load_file(path).items()}
    trunk = AutoModel.from_config(AutoConfig.for_model(**read_json(folder / BASE_CONFIG)), dtype=torch.float32).eval()
    mine = {name.removeprefix("model."): tensor for name, tensor in tensors.items() if name.startswith("model.")}
    trunk.load_state_dict({name: tensor for name, tensor in mine.items() if name != "embeddings.position_ids"})

    def outputs_1C(inputs: Mapping[str, Any]) -> Any:
        hidden_1TD = trunk(inputs["input_ids"], attention_mask=inputs["attention_mask"]).last_hidden_state
        return torch.nn.functional.linear(hidden_1TD, tensors["fc.weight"], tensors["fc.bias"])[:, 0]

    return outputs_1C


def _bare_binding(recipe: FastText, folder: Path) -> list[float]:
    """One text at a time through fastText, on one line."""
    import fasttext

    (file,) = (path for path in folder.iterdir() if path.suffix in {".bin", ".ftz"})
    model = fasttext.load_model(str(file))
    scores = []
    for text in CANARY_TEXTS:
        labels, probabilities = model.predict(" ".join(text.strip().splitlines()), k=-1)
        scores.append(float(probabilities[labels.index(recipe.label)]))
    return scores
