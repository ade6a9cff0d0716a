"""What a real cluster's nodes tell of their GPUs; the driver's tool is a script here."""

import logging
import os
from pathlib import Path

import pytest
import ray

from actors import ray_private
from cluster import gpus


def test_the_smallest_gpu_is_asked_of_the_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "nvidia-smi"
    script.write_text(
        "#!/bin/sh\necho 'NVIDIA L4, 23034, 580.65'\necho 'NVIDIA H100, 81559, 580.65'\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    ray_private.enable_token_auth()
    with ray_private.listening_on_loopback():
        ray.init(
            address="local",
            num_cpus=1,
            num_gpus=2,
            include_dashboard=False,
            _node_ip_address="127.0.0.1",
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    try:
        assert gpus.smallest() == 23_034 * 2**20
    finally:
        ray.shutdown()
