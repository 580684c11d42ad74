"""transformers' side of `cargo xtask bench generate`: the same prompts by `generate`, as one would call it.

generate_peer.py FOLDER PROMPTS_FILE BATCH THREADS MAX_NEW_TOKENS
"""

import json
import os
import sys
import time

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from transformers import AutoModelForCausalLM

folder, prompts_file = sys.argv[1:3]
batch_size, threads, max_new_tokens = map(int, sys.argv[3:])
torch.set_num_threads(threads)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa").eval()
with open(prompts_file) as file:
    job = json.load(file)
stop, prompts = job["stop"], job["prompts"]


def generate(rows, limit):
    """What follows each prompt; behind the first stop token there may be more of them."""
    width = max(map(len, rows))
    ids = torch.tensor([[stop] * (width - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    found = model.generate(
        ids, attention_mask=mask, do_sample=False, max_new_tokens=limit,
        eos_token_id=stop, pad_token_id=stop, use_cache=True,
    )
    return found[:, width:].tolist()


generate(prompts[:8], 2)
tokens, completions = 0, [None] * len(prompts)
start = time.perf_counter()
# By length, so that hardly anything is padded.
order = sorted(range(len(prompts)), key=lambda place: len(prompts[place]))
for first in range(0, len(order), batch_size):
    places = order[first : first + batch_size]
    for place, row in zip(places, generate([prompts[place] for place in places], max_new_tokens)):
        end = row.index(stop) if stop in row else len(row)
        completions[place] = row[:end]
        # The stop token is counted.
        tokens += min(end + 1, len(row))
seconds = time.perf_counter() - start

with open(os.path.join(os.path.dirname(prompts_file), "completions-transformers.json"), "w") as file:
    json.dump(completions, file)
print(f"seconds {seconds:.3f}")
print(f"tokens {tokens}")
print(f"tokens_per_second {tokens / seconds:.2f}")
with open("/proc/self/status") as status:
    peak = next(line for line in status if line.startswith("VmHWM:"))
print(f"peak_mib {int(peak.split()[1]) / 1024:.0f}")
