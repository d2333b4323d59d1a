import shutil

import pyroberta
from pyroberta.shipped import SHIPPED


def untrained(model_class, folder, **config):
    sizes = {"vocab_size": 4800, "max_positions": 130, "hidden_size": 64, "num_attention_heads": 4}
    config = pyroberta.RobertaConfig(num_blocks=2, **sizes, **config)
    model_class.from_config(config, seed=0).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(SHIPPED / name, folder)
    return folder
