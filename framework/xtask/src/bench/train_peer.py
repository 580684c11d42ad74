"""PyTorch's side of `cargo xtask bench train`: the job that train_bench.rs wrote, as one would write it by hand.

train_peer.py FOLDER STEPS THREADS DEVICE fp32|bf16 eager|compile
"""

import json
import sys
import time

import numpy
import torch
from transformers import AutoModelForCausalLM

folder, steps, threads, device, precision, mode = sys.argv[1:]
torch.set_num_threads(int(threads))
model = AutoModelForCausalLM.from_pretrained(
    f"{folder}/start/checkpoint", dtype=torch.float32, attn_implementation="sdpa"
)
model.to(device).train()
with open(f"{folder}/shape.json") as shape:
    rows, length = json.load(shape)
batches = numpy.fromfile(f"{folder}/batches.bin", dtype="<u4").astype("int64").reshape(-1, rows, length + 1)

# Norms and embeddings are not decayed.
decayed = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
others = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
optimizer = torch.optim.AdamW(
    [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
    lr=3e-4, betas=(0.9, 0.95), eps=1e-8, fused=True,
)
run = torch.compile(model) if mode == "compile" else model

for step in range(int(steps)):
    start = time.perf_counter()
    batch = torch.from_numpy(batches[step]).to(device)
    with torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=precision == "bf16"):
        logits = run(input_ids=batch[:, :-1], use_cache=False).logits
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), batch[:, 1:].flatten())
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    loss = loss.item()
    print(f"step {step + 1} {loss:.6f} {time.perf_counter() - start:.6f}", flush=True)

with open("/proc/self/status") as status:
    peak = next(line for line in status if line.startswith("VmHWM:"))
print(f"peak_mib {int(peak.split()[1]) / 1024:.0f}")
