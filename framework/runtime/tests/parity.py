"""The outside reference: Qwen3 of `transformers`.

parity.py make FOLDER tied|untied   a random model in FOLDER, as `save_pretrained` writes it
parity.py logits FOLDER             FOLDER/logits.safetensors: logits of the sequences in FOLDER/ids.json
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, Qwen3Config, Qwen3ForCausalLM


def make(folder: Path, tied: bool) -> None:
    torch.manual_seed(3)
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=96,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=16,
            intermediate_size=48,
            max_position_embeddings=64,
            rope_parameters={"rope_type": "default", "rope_theta": 5e5},
            tie_word_embeddings=tied,
            # Wide, so that attention is far from uniform and logits are large.
            initializer_range=0.3,
        )
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.uniform_(0.5, 1.5)
    # Several shards for the one, a single file for the other.
    model.save_pretrained(folder, max_shard_size="1GB" if tied else "30KB")


def logits(folder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ids = json.loads((folder / "ids.json").read_text())
    with torch.no_grad():
        found = {str(row): model(torch.tensor([row_ids])).logits[0] for row, row_ids in enumerate(ids)}
    save_file(found, folder / "logits.safetensors")


command, folder, *rest = sys.argv[1:]
if command == "make":
    make(Path(folder), rest == ["tied"])
else:
    logits(Path(folder))
