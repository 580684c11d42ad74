"""lm-evaluation-harness's side of `cargo xtask bench eval`: its own definitions of the tasks, on local files.

eval_peer.py make CHECKPOINT DATA
eval_peer.py score CHECKPOINT FOLDER TASK PATH NUM_FEWSHOT LIMIT THREADS BATCH[,BATCH...]

PATH is the file of the task's items; for mmlu, the folder that has dev/, and test/ or val/. LIMIT 0 is all of them.
"""

import csv
import json
import os
import sys
import time
from pathlib import Path

# The harness and what it imports print; on standard output stand results alone.
results, sys.stdout = sys.stdout, sys.stderr
os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1")

END_OF_TEXT = "<|endoftext|>"

# Where each definition lies in the harness.
DEFINITIONS = {
    "arc_challenge": "arc/arc_challenge.yaml",
    "arc_easy": "arc/arc_easy.yaml",
    "hellaswag": "hellaswag/hellaswag.yaml",
    "lambada_openai": "lambada/lambada_openai.yaml",
    "openbookqa": "openbookqa/openbookqa.yaml",
    "piqa": "piqa/piqa.yaml",
    "sciq": "sciq/sciq.yaml",
    "triviaqa": "triviaqa/default.yaml",
    "webqs": "webqs/webqs.yaml",
    "winogrande": "winogrande/default.yaml",
}

# Items on which batch sizes are tried.
TRIED = 40


def strings(value):
    """Every text in a row of JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from strings(inner)


def texts(data):
    for path in sorted(Path(data).rglob("*.jsonl")):
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                yield from strings(json.loads(line))
    for path in sorted(Path(data).rglob("*.csv")):
        for row in rows(path):
            yield from row


def rows(path):
    with open(path, encoding="utf-8", newline="") as file:
        yield from csv.reader(file)


def make(checkpoint, data):
    """A model of 30M random parameters, and a tokenizer that has seen the texts."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=8192,
        # The second one is what sbp would add, past the end of the model's vocabulary.
        special_tokens=[END_OF_TEXT, "<|related|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts(data), trainer)
    # Not tied: a random model with tied embeddings says its last token again and again.
    config = Qwen3Config(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=512, intermediate_size=1536, num_hidden_layers=7,
        num_attention_heads=8, num_key_value_heads=4, head_dim=64, max_position_embeddings=1024,
        tie_word_embeddings=False, bos_token_id=None, eos_token_id=tokenizer.token_to_id(END_OF_TEXT),
        # Wide enough that some continuations are far likelier than others.
        initializer_range=0.05,
    )
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(config)
    # Under another name until it is whole.
    partial = f"{checkpoint}.partial-{os.getpid()}"
    model.save_pretrained(partial)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END_OF_TEXT).save_pretrained(partial)
    os.rename(partial, checkpoint)
    print(f"parameters {model.num_parameters()}", file=results)


def definition(folder, name, source, files, num_fewshot):
    """Writes the harness's definition with local files in place of the hub's, and returns its path.

    Such files are JSON, which is YAML too.
    """
    import lm_eval.tasks

    path = f"{folder}/{name}.yaml"
    local = {
        "include": os.path.join(os.path.dirname(lm_eval.tasks.__file__), source),
        "task": name,
        "dataset_path": "json",
        "dataset_name": None,
        "dataset_kwargs": {"data_files": files, "cache_dir": f"{folder}/cache"},
        "training_split": None,
        "validation_split": None,
        "test_split": "test",
        "num_fewshot": num_fewshot,
    }
    with open(path, "w", encoding="utf-8") as file:
        json.dump(local, file)
    return path


def definitions(folder, task, path, num_fewshot):
    if task != "mmlu":
        return [definition(folder, task, DEFINITIONS[task], {"test": path}, num_fewshot)]
    paths = []
    # The items are the test set where there is one, as sbp takes them.
    tables = sorted(Path(path).glob("test/*_test.csv")) or sorted(Path(path).glob("val/*_val.csv"))
    for test in tables:
        subject = test.stem.rpartition("_")[0]
        files = {}
        for split, table in [("test", test), ("dev", Path(path) / "dev" / f"{subject}_dev.csv")]:
            files[split] = f"{folder}/{subject}.{split}.jsonl"
            with open(files[split], "w", encoding="utf-8") as file:
                for question, *choices, letter in rows(table):
                    row = {"question": question, "choices": choices, "answer": "ABCD".index(letter)}
                    file.write(json.dumps(row) + "\n")
        source = f"mmlu/default/mmlu_{subject}.yaml"
        paths.append(definition(folder, f"mmlu_{subject}", source, files, num_fewshot))
    return paths


def score(checkpoint, folder, task, path, num_fewshot, limit, threads, batches):
    import torch

    torch.set_num_threads(int(threads))
    from lm_eval import evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    class Timed(HFLM):
        """Adds up the time that requests take: tokens, batches, the model, and answers back in order."""

        seconds = 0.0

        def timed(self, answer, requests):
            start = time.perf_counter()
            answers = answer(requests, disable_tqdm=True)
            self.seconds += time.perf_counter() - start
            return answers

        def loglikelihood(self, requests, disable_tqdm=True):
            return self.timed(super().loglikelihood, requests)

        def generate_until(self, requests, disable_tqdm=True):
            return self.timed(super().generate_until, requests)

    lm = Timed(pretrained=checkpoint, dtype="float32", device="cpu")
    # Only what is named: the thousands of other definitions take a while to look through.
    tasks = TaskManager(include_defaults=False).load(definitions(folder, task, path, int(num_fewshot)))["tasks"]

    def first(limit):
        """The first items: of mmlu, whose definitions are one for each subject, subject after subject."""
        chosen = {}
        for name in tasks:
            count = min(limit, len(tasks[name].eval_docs))
            limit -= count
            if count > 0:
                chosen[name] = list(range(count))
        return chosen

    def run(batch_size, limit):
        lm.batch_size_per_gpu, lm.seconds = batch_size, 0.0
        chosen = first(limit)
        found = evaluate(lm, {"tasks": {name: tasks[name] for name in chosen}}, samples=chosen, bootstrap_iters=0)
        return lm.seconds, found

    limit = int(limit) or sys.maxsize
    # What happens at a first call only is not in the time.
    run(1, 1)
    batches = [int(batch) for batch in batches.split(",")]
    tried = min(limit, TRIED)
    best = min(batches, key=lambda batch: run(batch, tried)[0]) if len(batches) > 1 else batches[0]
    seconds, found = run(best, limit)
    write(folder, task, tasks, found)
    print(f"batch_size {best}", file=results)
    print(f"seconds {seconds:.6f}", file=results)


def write(folder, task, tasks, found):
    """Items and scores as of one task: subjects one after the other, and weighed by their number of items."""
    before, scores = 0, {}
    with open(f"{folder}/samples_{task}.jsonl", "w", encoding="utf-8") as file:
        for name, samples in found["samples"].items():
            for sample in samples:
                kept = {key: sample[key] for key in ["arguments", "resps", *sample["metrics"]]}
                file.write(json.dumps({"doc_id": before + sample["doc_id"], **kept}, default=float) + "\n")
            before += len(tasks[name].eval_docs)
            for metric, value in found["results"][name].items():
                if isinstance(value, float):
                    scores.setdefault(metric, []).append((value, len(samples)))
    # The harness's own way with the subjects of mmlu.
    weighed = {
        metric: sum(value * count for value, count in values) / sum(count for _, count in values)
        for metric, values in scores.items()
    }
    with open(f"{folder}/results.json", "w", encoding="utf-8") as file:
        json.dump({"results": {task: weighed}}, file)


verb, *arguments = sys.argv[1:]
{"make": make, "score": score}[verb](*arguments)

with open("/proc/self/status") as status:
    peak = next(line for line in status if line.startswith("VmHWM:"))
print(f"peak_mib {int(peak.split()[1]) / 1024:.0f}", file=results)
