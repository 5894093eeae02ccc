"""A double of crossfit/backend/torch/hf/model.py of 0.0.9: it fits no curve, but runs the model as the fit would."""

import torch

DEVICE = "cpu"  # crossfit has "cuda"


class HFModel:
    def __init__(self, path_or_name, max_mem_gb=16, model_output_type="numeric"):
        self.path_or_name, self.max_mem_gb, self.model_output_type = path_or_name, max_mem_gb, model_output_type
        self._model_id = f"torch_model_{id(self)}"
        self.curve = f"memory/{self.load_cfg()._name_or_path}/mem_model.pkl"
        batch = {"input_ids": torch.randint(1, 20, (3, 2)), "attention_mask": torch.ones((3, 2))}
        self.load_model(DEVICE)(**batch)

    def get_model(self, worker):
        if not hasattr(worker, self._model_id):
            setattr(worker, self._model_id, self.load_model(DEVICE))
        return getattr(worker, self._model_id)
