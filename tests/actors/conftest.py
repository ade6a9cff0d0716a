"""What tests of actors share."""

from collections.abc import Iterator

import pytest

from cluster.session import connected
from tests.conftest import RayCluster


@pytest.fixture
def on_ray(ray_cluster: RayCluster) -> Iterator[None]:
    """This process connected to the session's cluster."""
    with connected(ray_cluster.address, 1.0):
        yield
