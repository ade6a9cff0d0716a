"""Run by the peer's own Python: TRL's RewardTrainer with LoRA on a folder's votes, as JSON on
standard output.

The folder has train.parquet and test.parquet (chosen, rejected: one text each) and settings.json.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from trl import RewardConfig, RewardTrainer

folder = Path(sys.argv[1])
settings = json.loads((folder / "settings.json").read_text())
torch.set_num_threads(settings["threads"])
train, test = (
    Dataset.from_pandas(pd.read_parquet(folder / f"{name}.parquet")) for name in ("train", "test")
)
tokenizer = AutoTokenizer.from_pretrained(settings["model"])
tokenizer.eos_token = tokenizer.eos_token or tokenizer.sep_token  # TRL ends every text with it
on_gpu = settings.get("gpu", False)
model = AutoModelForSequenceClassification.from_pretrained(
    settings["model"], num_labels=1, dtype=torch.bfloat16 if on_gpu else torch.float32
)
model.config.pad_token_id = tokenizer.pad_token_id
trainer = RewardTrainer(
    model=model,
    processing_class=tokenizer,
    train_dataset=train,
    args=RewardConfig(
        output_dir=str(folder / "trl"),
        num_train_epochs=1,
        max_steps=settings.get("max_steps", -1),
        per_device_train_batch_size=settings.get("batch", 32),
        learning_rate=settings["learning_rate"],
        max_length=settings["max_tokens"],
        report_to="none",
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        use_cpu=not on_gpu,
        bf16=on_gpu,
        gradient_checkpointing=False,
        dataloader_pin_memory=False,
    ),
    peft_config=LoraConfig(
        r=settings["lora_rank"],
        lora_alpha=2 * settings["lora_rank"],
        target_modules="all-linear",
        task_type="SEQ_CLS",
        modules_to_save=["score" if hasattr(model, "score") else "classifier"],
    ),
)
start = time.perf_counter()
trainer.train()
seconds = time.perf_counter() - start
gib = torch.cuda.max_memory_allocated() / 2**30 if on_gpu else float("nan")


def scores(texts: list[str]) -> np.ndarray:
    found = []
    with torch.no_grad():
        for i in range(0, len(texts), 64):
            read = tokenizer(
                texts[i : i + 64],
                return_tensors="pt",
                padding=True,
                truncation=True,
                max_length=settings["max_tokens"],
            ).to(trainer.model.device)
            found.append(trainer.model(**read).logits[:, 0].float().cpu().numpy())
    return np.concatenate(found)


trainer.model.eval()
texts = sorted({*test["chosen"], *test["rejected"]})
score = dict(zip(texts, scores(texts), strict=True))
ahead = np.array(
    [score[a] - score[b] for a, b in zip(test["chosen"], test["rejected"], strict=True)]
)
print(
    json.dumps(
        {
            "seconds": seconds,
            "votes": len(train),
            "gib": gib,
            "held_out": float(np.log1p(np.exp(-ahead)).mean()),
        }
    )
)
