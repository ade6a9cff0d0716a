"""Plans that fit, plans that could with more nodes, and plans that never will."""

import io

import pytest
from rich.console import Console

from actors.ray_pool import HEAD
from cluster import placement
from cluster.placement import Part, Room
from electorate.base.errors import ElectorateError
from electorate.config.run import Config
from simulations import plan
from tests.conftest import plain_config

TWO = Room([{"CPU": 2.0, HEAD: 1.0}, {"CPU": 8.0, "GPU": 4.0}])


def config(**changes: object) -> Config:
    return Config.model_validate(plain_config(**changes))


def parts(gpus: int = 1, replicas: int = 1, cohorts: int = 2, share: float = 1.0) -> list[Part]:
    kwargs = {"tensor_parallel_size": gpus} | (
        {"gpu_memory_utilization": share} if share < 1 else {}
    )
    model = {
        "engine": "vllm",
        "source": "o/m",
        "replicas": replicas,
        "gpu_share": share,
        "engine_kwargs": kwargs,
    }
    made = config(models={"m": model}, cluster={"cohorts": cohorts})
    return plan.of_run(made, made.models)  # type: ignore[arg-type]


def test_a_plan_says_what_goes_where_before_anything_starts() -> None:
    said = io.StringIO()
    placement.tell(parts(gpus=2), TWO, Console(file=said, width=120))
    assert [" ".join(line.split()) for line in said.getvalue().splitlines()] == [
        "plan: 2 nodes with 10 CPU and 4 GPU, at most 8 CPU, 4 GPU on one",
        "cohorts 2 x 0.5 CPU spread",
        "ranking 1 x nothing on the head's node",
        "engine m 1 x 2 x 1 GPU packed",
    ]


@pytest.mark.parametrize(
    ("wanted", "room"),
    [
        (parts(replicas=4), TWO),
        (parts(replicas=8, share=0.5), TWO),
        (
            parts(replicas=12, cohorts=40),
            Room(TWO.alive, [({"CPU": 8.0, "GPU": 8.0}, 1), ({"CPU": 4.0}, 3)]),
        ),
    ],
)
def test_what_fits_is_let_through(wanted: list[Part], room: Room) -> None:
    placement.require(wanted, room)


@pytest.mark.parametrize(
    ("wanted", "room", "says"),
    [
        (
            parts(replicas=5),
            TWO,
            r"engine m \(5 x 1 GPU\) does not fit .* 4 GPU on one; lower models.m.replicas",
        ),
        (parts(cohorts=21), TWO, r"cohorts \(21 x 0.5 CPU\) does not fit"),
        # Ten halves of a GPU are five GPUs, and a half on each of two is none.
        (parts(replicas=9, share=0.5), TWO, r"9 x 0.5 GPU"),
        (parts(replicas=2, share=0.6), Room([{"CPU": 9.0, "GPU": 1.0, HEAD: 1.0}]), r"2 x 0.6 GPU"),
        (parts(replicas=13), Room(TWO.alive, [({"GPU": 8.0}, 1)]), r"and may grow by 8 GPU"),
    ],
)
def test_what_never_fits_is_one_line(wanted: list[Part], room: Room, says: str) -> None:
    with pytest.raises(ElectorateError, match=says) as caught:
        placement.require(wanted, room)
    assert "\n" not in str(caught.value)


def test_cpus_that_are_there_in_pieces_hold_no_larger_piece() -> None:
    whole = [Part("cohorts", 1, [{"CPU": 3.0}], "throughout", "", "cluster.cpus_per_cohort")]
    with pytest.raises(
        ElectorateError,
        match=(
            r"cohorts \(1 x 3 CPU\) does not fit beside the other parts: 2 nodes with 4 CPU and 0 "
            r"GPU"
        ),
    ):
        placement.require(whole, Room([{"CPU": 2.0}, {"CPU": 2.0}]))


def test_training_comes_when_the_engines_are_gone() -> None:
    engine = Part("engine m", 1, [{"CPU": 2.0}], "answers", "", "")
    training = Part("training", 2, [{"CPU": 1.0}], "training", "", "reward.workers")
    placement.require([engine, training], Room([{"CPU": 2.0}]))
    assert (
        placement.needed(
            [engine, training, Part("cohorts", 2, [{"CPU": 0.5}], "throughout", "", "")], "CPU"
        )
        == 3.0
    )


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (
            {"gpu_share": 0.5},
            "gpu_share: 0.5 of a GPU needs engine_kwargs.gpu_memory_utilization of at most that",
        ),
        (
            {"gpu_share": 0.5, "engine_kwargs": {"tensor_parallel_size": 2}},
            "split over 2 GPUs takes them whole",
        ),
    ],
)
def test_a_share_of_a_gpu_is_checked(model: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        config(models={"m": {"engine": "vllm", "source": "o/m", **model}})
