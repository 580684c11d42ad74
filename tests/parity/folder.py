"""A checkpoint folder as `transformers` sees it.

folder.py FOLDER TEXTS.json   JSON on stdout: for every text its tokens and, from the second on, their log-probabilities
"""

import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

folder, texts = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
found = []
for text in json.loads(Path(texts).read_text()):
    tokens = tokenizer(text)["input_ids"]
    assert tokenizer.decode(tokens) == text, f"{text!r} comes back as {tokenizer.decode(tokens)!r}"
    with torch.no_grad():
        log_probs = model(torch.tensor([tokens])).logits[0].log_softmax(-1)
    found.append(
        {"tokens": tokens, "log_probs": [log_probs[i, token].item() for i, token in enumerate(tokens[1:])]}
    )
print(json.dumps({"eos": tokenizer.eos_token_id, "texts": found}))
