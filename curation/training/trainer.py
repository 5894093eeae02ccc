"""transformers' Trainer on the text path of scoring. Importing this module imports torch and transformers."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import (
    AutoModelForSequenceClassification,
    EvalPrediction,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from curation.core.errors import ModelError
from curation.evaluation.metrics import MacroF1
from curation.inference.batches import Framed
from curation.inference.tokens import VOCABULARIES, Tokenizer
from curation.inference.trunk import quiet
from curation.training.annotations import Annotations
from curation.training.recipe import Choice, Places, Say, Values

if TYPE_CHECKING:
    from curation.training.finetuning import FinetuneRecipe

_STATE = "trainer_state.json"  # what the Trainer writes last of a checkpoint
_TOKENIZER_CONFIG = "tokenizer_config.json"
_TOKENIZER_FILES = ("tokenizer.json", "special_tokens_map.json", "added_tokens.json", *VOCABULARIES)


def finetune(
    recipe: "FinetuneRecipe",
    annotations: Annotations,
    places: tuple[Places, Places],
    folder: Path,
    say: Say,
) -> tuple[Path, Choice]:
    """A directory in `folder` with the model of most merit on held-out documents and its tokenizer, and its step.

    `places` are those of the documents to train on, and of those held out. Goes on from the last whole checkpoint that
    lies in `folder`.
    """
    trunk, (train, held_out) = recipe.folder, places
    targets, classes = recipe.targets(annotations), annotations.classes
    arguments = _arguments(recipe, folder)
    documents = _Documents(recipe, trunk, annotations.texts, targets, is_class=bool(classes))
    set_seed(recipe.seed)
    model = _model(trunk, classes)
    trainer = Trainer(
        model=model,
        args=arguments,
        data_collator=documents.collate,
        train_dataset=[{"place": int(place)} for place in train],
        eval_dataset=[{"place": int(place)} for place in held_out],
        compute_loss_func=_Loss(recipe, targets[train], is_class=bool(classes)),
        compute_metrics=_merit,
        callbacks=[_Progress(say)],
    )
    trainer.remove_callback(PrinterCallback)
    checkpoint = last_checkpoint(folder)
    if checkpoint is not None:
        say(f"Goes on from {checkpoint.name} in {folder}.")
    with quiet():
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    if trainer.state.best_global_step is None:
        raise ModelError("Fine-tuning: the loss on held-out documents was never finite. Lower recipe.learning_rate.")
    found = folder / "found"
    shutil.rmtree(found, ignore_errors=True)
    with quiet():
        model.save_pretrained(found)
    _copy_tokenizer(trunk, found, recipe.max_tokens)
    setting = {"learning_rate": recipe.learning_rate, "step": trainer.state.best_global_step}
    return found, Choice(setting, 1, trainer.state.best_metric)


def last_checkpoint(folder: Path) -> Path | None:
    """The checkpoint of the highest step that was written to its end; None where there is none."""
    whole = [path.parent for path in folder.glob(f"checkpoint-*/{_STATE}") if _is_json(path)]
    return max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except ValueError:
        return False
    return True


def _arguments(recipe: "FinetuneRecipe", folder: Path) -> TrainingArguments:
    on_gpu = torch.cuda.is_available()
    part = recipe.batch_size // recipe.accumulation
    when = {"eval_strategy": "epoch", "save_strategy": "epoch"}
    if recipe.checkpoint_steps:
        steps = recipe.checkpoint_steps
        when = {"eval_strategy": "steps", "eval_steps": steps, "save_strategy": "steps", "save_steps": steps}  # type: ignore[dict-item]
    arguments = TrainingArguments(
        output_dir=str(folder),
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="linear",
        num_train_epochs=recipe.num_epochs,
        per_device_train_batch_size=part,
        per_device_eval_batch_size=part,
        gradient_accumulation_steps=recipe.accumulation,
        bf16=on_gpu and torch.cuda.is_bf16_supported(including_emulation=False),
        use_cpu=not on_gpu,
        seed=recipe.seed,
        save_total_limit=1,  # and the best one
        load_best_model_at_end=True,
        metric_for_best_model="merit",
        greater_is_better=True,
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=on_gpu,
        **when,
    )
    if on_gpu:
        arguments._n_gpu = 1  # noqa: SLF001 - several would share a batch by DataParallel, and make it another recipe
    return arguments


def _model(trunk: Path, classes: Sequence[str]) -> Any:
    """The trunk with a head of its own kind: fresh where the checkpoint has none of this size."""
    names = tuple(classes) or ("score",)
    with quiet():
        return AutoModelForSequenceClassification.from_pretrained(
            trunk,
            num_labels=len(names),
            id2label=dict(enumerate(names)),
            label2id={name: place for place, name in enumerate(names)},
            problem_type="single_label_classification" if classes else "regression",
            ignore_mismatched_sizes=True,
            dtype=torch.float32,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
        )


class _Documents:
    """All texts as the ids that scoring makes of them, and batches of some."""

    def __init__(
        self, recipe: "FinetuneRecipe", trunk: Path, texts: Sequence[str], targets: Values, *, is_class: bool
    ) -> None:
        tokenizer = Tokenizer(trunk)
        tokens = tokenizer.encode(texts, recipe.max_tokens - tokenizer.template.num_special)
        self._texts = Framed(tokens, tokenizer.template)
        self._labels_N = torch.from_numpy(targets.astype(np.int64 if is_class else np.float32))

    def collate(self, rows: Sequence[dict[str, int]]) -> dict[str, Tensor]:
        """What the model reads of some documents, and their labels."""
        places = np.asarray([row["place"] for row in rows])
        ids_BT, mask_BT = map(torch.from_numpy, self._texts.batch(places).padded())
        return {"input_ids": ids_BT, "attention_mask": mask_BT, "labels": self._labels_N[places]}


class _Loss:
    """Mean squared error of a score or cross-entropy of classes, a document counting as its class weighs."""

    def __init__(self, recipe: "FinetuneRecipe", targets: Values, *, is_class: bool) -> None:
        rounded = np.rint(targets).astype(np.int64)
        self._lowest = int(rounded.min())
        counts = np.bincount(rounded - self._lowest)
        weights = len(rounded) / (np.count_nonzero(counts) * np.maximum(counts, 1))
        self._weights_C = torch.from_numpy(
            (weights if recipe.class_weights == "balanced" else np.ones(len(counts))).astype(np.float32)
        )
        self._is_class = is_class

    def __call__(self, outputs: Any, labels_B: Tensor, num_items_in_batch: Tensor | int | None = None) -> Tensor:
        """The mean over a step's documents, of which these may be a part."""
        logits_BC = outputs["logits"].float()
        if self._is_class:
            loss_B = torch.nn.functional.cross_entropy(logits_BC, labels_B, reduction="none")
        else:
            loss_B = (logits_BC[:, 0] - labels_B).square()
        classes_B = labels_B.round().long() - self._lowest
        weights_C = self._weights_C.to(loss_B.device)
        loss_B = loss_B * weights_C[classes_B.clamp(0, len(weights_C) - 1)]
        return loss_B.sum() / (len(labels_B) if num_items_in_batch is None else num_items_in_batch)


def _merit(prediction: EvalPrediction) -> dict[str, float]:
    """Macro F1 of classes; of scores minus the mean squared error, which rounding to classes would blur."""
    logits_BC: NDArray[np.float32] = np.asarray(prediction.predictions)
    labels_B = np.asarray(prediction.label_ids)
    if logits_BC.shape[1] > 1:
        return {"merit": MacroF1(np.asarray)(labels_B, logits_BC.argmax(axis=1))}
    return {"merit": -float(np.square(labels_B - logits_BC[:, 0]).mean())}


class _Progress(TrainerCallback):  # type: ignore[misc]
    """Says how well a model does whenever it is looked at."""

    def __init__(self, say: Say) -> None:
        self._say = say

    def on_evaluate(self, args: Any, state: Any, control: Any, **given: Any) -> None:  # noqa: ARG002
        """After each look at the held-out documents."""
        metrics = given["metrics"]
        self._say(
            f"Step {state.global_step} of {state.max_steps}: on held-out documents loss {metrics['eval_loss']:.4f}, "
            f"merit {metrics['eval_merit']:.4f}."
        )


def _copy_tokenizer(trunk: Path, directory: Path, max_tokens: int) -> None:
    """The trunk's tokenizer, which from now on says how many tokens the model reads."""
    for name in _TOKENIZER_FILES:
        if (trunk / name).is_file():
            shutil.copy2(trunk / name, directory)
    given = trunk / _TOKENIZER_CONFIG
    settings = json.loads(given.read_text(encoding="utf-8")) if given.is_file() else {}
    text = json.dumps(settings | {"model_max_length": max_tokens}, indent=1, ensure_ascii=False)
    (directory / _TOKENIZER_CONFIG).write_text(text + "\n", encoding="utf-8")
