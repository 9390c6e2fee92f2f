import subprocess
import sys

import pytest
from autoresearch.model import VramTier

from node.hardware import HardwareError, cpu_model, detect_hardware, nominal_gb, nvidia_model


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz", "cpu-intel-xeon-platinum-8481c"),
        ("AMD EPYC 7B13", "cpu-amd-epyc-7b13"),
        ("AMD Ryzen 9 7950X 16-Core Processor", "cpu-amd-ryzen-9-7950x-16"),
        ("13th Gen Intel(R) Core(TM) i7-1360P", "cpu-13th-gen-intel-i7-1360p"),
        ("Apple M3 Max", "cpu-apple-m3-max"),
        ("", "cpu-unknown"),
    ],
)
def test_a_cpu_class_names_its_model(name, model):
    assert cpu_model(name) == model


@pytest.mark.parametrize(
    ("name", "memory_mb", "model"),
    [
        ("NVIDIA H100 80GB HBM3", 81559, "nvidia-h100-sxm-80gb"),
        ("NVIDIA H100 PCIe", 81559, "nvidia-h100-pcie-80gb"),
        ("NVIDIA H100 NVL", 95830, "nvidia-h100-nvl-94gb"),
        ("NVIDIA H200", 143771, "nvidia-h200-sxm-141gb"),
        ("NVIDIA A100-SXM4-40GB", 40960, "nvidia-a100-sxm-40gb"),
        ("NVIDIA A100-PCIE-40GB", 40960, "nvidia-a100-pcie-40gb"),
        ("NVIDIA GeForce RTX 4090", 24564, "nvidia-rtx-4090-24gb"),
        ("NVIDIA GeForce RTX 3080 Laptop GPU", 16384, "nvidia-rtx-3080-laptop-gpu-16gb"),
        ("Tesla T4", 15360, "nvidia-tesla-t4-16gb"),
        ("NVIDIA RTX 6000 Ada Generation", 49140, "nvidia-rtx-6000-ada-generation-48gb"),
    ],
)
def test_an_nvidia_class_names_model_form_factor_and_memory(name, memory_mb, model):
    assert nvidia_model(name, memory_mb=memory_mb) == model


def test_a_partition_is_another_class():
    assert nvidia_model("NVIDIA H100 80GB HBM3", memory_mb=9900, partition="1g.10gb") == (
        "nvidia-h100-sxm-mig-1g.10gb"
    )


def test_a_lowered_power_limit_is_another_class():
    lowered = nvidia_model("NVIDIA H100 80GB HBM3", memory_mb=81559, limit_w=490, default_w=700)
    default = nvidia_model("NVIDIA H100 80GB HBM3", memory_mb=81559, limit_w=690, default_w=700)

    assert lowered == "nvidia-h100-sxm-80gb-500w"
    assert default == "nvidia-h100-sxm-80gb"


@pytest.mark.parametrize(
    ("memory_mb", "size"),
    [(81559, 80), (24564, 24), (15360, 16), (700, 1), (97887, 96), (22731, 24), (143771, 141)],
)
def test_memory_is_named_as_on_the_box(memory_mb, size):
    assert nominal_gb(memory_mb) == size


def test_this_machine_has_a_cpu_class():
    hardware = detect_hardware(("cpu",))

    assert hardware.hardware_class.startswith("cpu-")
    assert "/torch-" in hardware.hardware_class
    assert hardware.memory_mb > 100
    assert hardware.tier in VramTier


def test_a_kind_that_the_challenge_forbids_is_a_clear_error():
    with pytest.raises(HardwareError, match="not one this challenge allows: cpu"):
        detect_hardware(("cpu",), "cuda")


def test_a_machine_without_the_accelerator_is_a_clear_error():
    with pytest.raises(HardwareError, match="none of: abacus"):
        detect_hardware(("abacus",))


def test_detection_does_not_import_torch():
    code = "import sys, node.hardware as h; h.detect_hardware(('cuda', 'cpu')); print('torch' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"
