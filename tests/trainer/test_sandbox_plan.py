"""Which layers are chosen on which machine, and how bubblewrap is told about them; nothing is started."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from fewer_layers import leave_out

from trainer.sandbox import Layer, SandboxUnavailable, plan_sandbox
from trainer.sandbox.accelerators import find_accelerators
from trainer.sandbox.bubblewrap import View, arguments
from trainer.sandbox.layers import BUBBLEWRAP
from trainer.sandbox.machine import Machine
from trainer.sandbox.places import packages, readable_places, unreadable_by_others, without_nested

GOOD = Machine(
    is_linux=True,
    is_root=False,
    bubblewrap="/usr/bin/bwrap",
    options=frozenset({"--size", "--disable-userns"}),
    problem="",
    fix="",
    landlock_abi=7,
    has_seccomp=True,
    has_namespace_limits=True,
)
BARE = replace(
    GOOD,
    bubblewrap="",
    problem="bubblewrap is not installed",
    fix="sudo apt-get install -y bubblewrap",
)
VIEW = View(readable=["/usr"], scratch_bytes=1 << 20, scratch_from="/tmp/run")


def test_a_user_gets_everything() -> None:
    layers = plan_sandbox("auto", machine=GOOD).layers

    assert set(Layer) - layers == {Layer.OTHER_USER, Layer.SCRATCH_DIRECTORY}


def test_root_gets_another_user_instead_of_a_namespace_of_users() -> None:
    layers = plan_sandbox("auto", machine=replace(GOOD, is_root=True)).layers

    assert set(Layer) - layers == {Layer.USER_NAMESPACE, Layer.SCRATCH_DIRECTORY}


def test_none_leaves_what_every_worker_has() -> None:
    layers = plan_sandbox("none", machine=GOOD).layers

    assert not layers & (BUBBLEWRAP | {Layer.OTHER_USER, Layer.LANDLOCK, Layer.SECCOMP, Layer.CAPPED_SCRATCH})


def test_without_landlock_bubblewrap_is_enough() -> None:
    layers = plan_sandbox("auto", machine=replace(GOOD, landlock_abi=0)).layers

    assert layers >= BUBBLEWRAP | {Layer.SECCOMP}
    assert Layer.LANDLOCK not in layers


def test_an_old_bubblewrap_leaves_scratch_on_the_disk() -> None:
    layers = plan_sandbox("auto", machine=replace(GOOD, options=frozenset())).layers

    assert Layer.SCRATCH_DIRECTORY in layers
    assert Layer.CAPPED_SCRATCH not in layers


@pytest.mark.parametrize("abi", [4, 5, 7])
def test_landlock_that_knows_tcp_is_enough_for_a_user(abi: int) -> None:
    plan = plan_sandbox("auto", machine=replace(BARE, landlock_abi=abi))

    assert plan.layers >= {Layer.LANDLOCK, Layer.SECCOMP}
    assert not plan.layers & (BUBBLEWRAP | {Layer.CAPPED_SCRATCH, Layer.OTHER_USER})
    assert "apt-get install" in plan.notes[0]


@pytest.mark.parametrize(
    "machine",
    [
        replace(BARE, landlock_abi=3),
        replace(BARE, landlock_abi=0),
        replace(BARE, landlock_abi=5, is_root=True),
    ],
)
def test_too_little_is_refused_with_the_command_that_mends_it_and_the_way_out(machine: Machine) -> None:
    with pytest.raises(SandboxUnavailable) as refused:
        plan_sandbox("auto", machine=machine)

    assert "sudo apt-get install -y bubblewrap" in str(refused.value)
    assert "--sandbox none" in str(refused.value)


@pytest.mark.parametrize(
    ("machine", "word"),
    [
        (replace(BARE, is_linux=False), "Linux"),
        (replace(GOOD, has_seccomp=False), "seccomp"),
        (replace(GOOD, is_root=True, private_file="/root/venv"), "chmod -R o+rX /root/venv"),
    ],
)
def test_other_lacks_are_refused_too(machine: Machine, word: str) -> None:
    with pytest.raises(SandboxUnavailable, match=re.escape(word)):
        plan_sandbox("auto", machine=machine)

    assert plan_sandbox("none", machine=machine).layers


@pytest.mark.parametrize("layer", Layer)
def test_a_layer_can_be_left_out_alone(layer: Layer) -> None:
    for machine in (GOOD, replace(GOOD, is_root=True), BARE):
        plan = plan_sandbox("auto", machine=machine)

        assert layer not in leave_out(plan, {layer}).layers - {Layer.SCRATCH_DIRECTORY}


def test_a_note_of_layers_fits_a_report() -> None:
    assert len(",".join(plan_sandbox("auto", machine=GOOD).layers)) <= 200


def words(machine: Machine, view: View = VIEW, without: frozenset[Layer] = frozenset()) -> str:
    plan = leave_out(plan_sandbox("auto", machine=machine), without)
    return " ".join(
        arguments(view, {"HOME": "/scratch"}, plan.layers, features=machine.options, seccomp_fd=9)
    )


def test_bubblewrap_is_told_every_layer() -> None:
    told = words(GOOD)

    for word in (
        "--die-with-parent",
        "--new-session",
        "--unshare-user --disable-userns",
        "--unshare-pid",
        "--unshare-net",
        "--unshare-ipc --unshare-uts",
        "--unshare-cgroup-try",
        "--cap-drop ALL",
        "--ro-bind /usr /usr",
        "--proc /proc",
        "--perms 0777 --size 1048576 --tmpfs /scratch",
        "--symlink /scratch /tmp",
        "--remount-ro /",
        "--chdir /",
        "--setenv HOME /scratch",
        "--seccomp 9",
    ):
        assert word in told
    assert "--cap-add" not in told
    assert told.index("--remount-ro /") > told.index("--tmpfs /scratch")


def test_root_keeps_two_capabilities_until_the_worker_is_another_user() -> None:
    told = words(replace(GOOD, is_root=True))

    assert "--cap-drop ALL --cap-add CAP_SETUID --cap-add CAP_SETGID" in told
    assert "--unshare-user" not in told


@pytest.mark.parametrize(
    ("layer", "word"),
    [
        (Layer.PID_NAMESPACE, "--unshare-pid"),
        (Layer.NETWORK_NAMESPACE, "--unshare-net"),
        (Layer.IPC_NAMESPACE, "--unshare-ipc"),
        (Layer.USER_NAMESPACE, "--unshare-user"),
        (Layer.FILE_VIEW, "--ro-bind"),
    ],
)
def test_what_is_left_out_is_not_told(layer: Layer, word: str) -> None:
    assert word in words(GOOD)
    assert word not in words(GOOD, without=frozenset({layer}))


def test_folders_above_a_closed_one_are_made_anew(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "python").mkdir(parents=True)
    closed.chmod(0o700)
    view = replace(VIEW, readable=[str(closed / "python")])

    told = words(GOOD, view)

    assert told.index(f"--dir {closed} ") < told.index(f"--ro-bind {closed}/python")


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "bin").symlink_to("usr/bin")

    assert f"--symlink usr/bin {tmp_path}/bin" in words(GOOD, replace(VIEW, readable=[str(tmp_path / "bin")]))


def test_compile_caches_and_devices_are_passed_on() -> None:
    view = replace(VIEW, devices=["/dev/nvidia0"], writable=["/cache/compiled/ab"])

    told = words(GOOD, view)

    assert "--dev-bind /dev/nvidia0 /dev/nvidia0" in told
    assert "--bind /cache/compiled/ab /cache/compiled/ab" in told


def nodes(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def test_nvidia_devices_are_found_by_their_names(tmp_path: Path) -> None:
    nodes(tmp_path, "dev/nvidia0", "dev/nvidia1", "dev/nvidiactl", "dev/nvidia-uvm", "dev/nvidia-uvm-tools")
    nodes(
        tmp_path, "dev/nvidia-caps/nvidia-cap1", "dev/kfd", "dev/sda", "sys/bus/pci/x", "sys/module/nvidia/v"
    )

    found = find_accelerators(("cuda",), {}, tmp_path)

    names = {str(Path(path).relative_to(tmp_path)) for path in found.devices}
    assert names == {
        "dev/nvidia0",
        "dev/nvidia1",
        "dev/nvidiactl",
        "dev/nvidia-uvm",
        "dev/nvidia-uvm-tools",
        "dev/nvidia-caps",
    }
    assert {str(Path(path).relative_to(tmp_path)) for path in found.facts} == {
        "sys/bus/pci",
        "sys/module/nvidia",
    }


def test_rocm_devices_are_found_by_their_names(tmp_path: Path) -> None:
    nodes(tmp_path, "dev/kfd", "dev/dri/renderD128", "dev/nvidia0", "sys/class/kfd/kfd", "opt/rocm-6.4/lib/x")

    found = find_accelerators(("rocm", "cpu"), {}, tmp_path)

    assert [Path(path).name for path in found.devices] == ["kfd", "dri"]
    assert {Path(path).name for path in found.facts} == {"kfd", "rocm-6.4"}


def test_a_driver_named_by_the_environment_is_passed_on(tmp_path: Path) -> None:
    (tmp_path / "cuda").mkdir()
    environ = {"LD_LIBRARY_PATH": f"{tmp_path}/cuda:{tmp_path}/gone:relative:/", "CUDA_HOME": ""}

    assert find_accelerators(("cuda",), environ, tmp_path).facts == (f"{tmp_path}/cuda",)


def test_a_cpu_gets_no_devices() -> None:
    assert find_accelerators(("cpu",), {"LD_LIBRARY_PATH": "/usr/lib"}).devices == ()


def test_a_worker_sees_our_packages_but_not_the_folder_around_them() -> None:
    seen = readable_places()

    for package in packages():
        assert any(Path(package).is_relative_to(place) for place in seen)
        assert str(Path(package).parent) not in seen
    assert not {"/", "/etc", "/home", "/root", "/var", str(Path.home())} & set(seen)


def test_what_lies_within_another_place_is_left_out(tmp_path: Path) -> None:
    assert without_nested(["/usr/lib/x", "/usr", "/opt", "/usr"]) == ["/opt", "/usr"]


def test_a_private_installation_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    (tmp_path / "private").mkdir(mode=0o700)

    assert unreadable_by_others([str(tmp_path / "open"), "/no/such/place"]) is None
    assert unreadable_by_others([str(tmp_path / "private")]) == str(tmp_path / "private")
