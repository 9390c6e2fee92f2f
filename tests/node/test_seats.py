from dataclasses import replace

import pytest
from node_builders import make_hardware

from node.hardware import list_cards
from node.seats import Seat, SeatError, choose_seats, common_hardware

CARDS = ("GPU-aa", "GPU-bb", "GPU-cc")


def test_one_worker_needs_no_supervisor():
    assert choose_seats("", 1, "cuda", ()) == ()
    assert choose_seats("", 1, "cpu", ()) == ()


def test_all_gpus_are_a_seat_each_that_sees_its_own_alone():
    seats = choose_seats("all", 1, "cuda", CARDS)

    assert [seat.name for seat in seats] == ["gpu-0", "gpu-1", "gpu-2"]
    assert [dict(seat.environ) for seat in seats] == [{"CUDA_VISIBLE_DEVICES": card} for card in CARDS]


def test_a_list_takes_those_gpus():
    assert choose_seats("2,0", 1, "rocm", ("0", "1", "2")) == (
        Seat(name="gpu-2", environ={"HIP_VISIBLE_DEVICES": "2"}),
        Seat(name="gpu-0", environ={"HIP_VISIBLE_DEVICES": "0"}),
    )


def test_workers_share_a_processor():
    assert [seat.name for seat in choose_seats("", 2, "cpu", ())] == ["cpu-0", "cpu-1"]


@pytest.mark.parametrize(
    ("gpus", "workers", "kind", "cards", "complaint"),
    [
        ("0,3", 1, "cuda", CARDS, "there is no GPU 3; this machine has 3"),
        ("all", 1, "cuda", (), "there is no GPU here"),
        ("all", 1, "cpu", (), "use --workers"),
        ("all", 1, "mps", (), "use neither"),
        ("", 2, "cuda", CARDS, "use --gpus"),
    ],
)
def test_what_is_not_here_is_said(gpus, workers, kind, cards, complaint):
    with pytest.raises(SeatError, match=complaint):
        choose_seats(gpus, workers, kind, cards)


def test_gpus_of_several_classes_are_told_to_be_several_nodes():
    first = make_hardware()
    other = replace(first, hardware_class="nvidia-a100/torch-2.13")
    found = {"gpu-0": first, "gpu-1": other, "gpu-2": first}

    with pytest.raises(SeatError, match=r"--gpus 0,2 \(cpu-toy.*--gpus 1 \(nvidia-a100"):
        common_hardware(found)
    assert common_hardware({"gpu-0": first, "gpu-2": first}) == first


def test_cards_are_counted_among_those_that_the_environment_leaves_visible():
    assert list_cards("cuda", {"CUDA_VISIBLE_DEVICES": "GPU-bb, 3"}) == ("GPU-bb", "3")
    assert list_cards("cuda", {"CUDA_VISIBLE_DEVICES": ""}) == ()
    assert list_cards("rocm", {"HIP_VISIBLE_DEVICES": "1,-1,2"}) == ("1",)
    assert list_cards("cpu", {}) == ()
