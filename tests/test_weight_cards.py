"""The bundled weights: small, complete, and described by their cards."""

import json

import pytest
import torch
from basicsr.archs import build_network
from safetensors.torch import load_file, save_file

from mihatp_arch import weight_cards
from mihatp_arch.bundled_weights import bundled_weights, read_metadata
from mihatp_arch.errors import UserError
from mihatp_cli.mihatp import main

NAMES = [f"he-light-x{scale}" for scale in (2, 4, 8)]
NUCLEI = "nuclei-light"


def test_three_scales_and_a_network_of_nuclei_are_bundled():
    assert list(bundled_weights()) == [*NAMES, NUCLEI]


@pytest.mark.parametrize("name", [*NAMES, NUCLEI])
def test_a_file_is_small_half_precision_and_fits_its_network(name):
    path = bundled_weights()[name]
    assert path.stat().st_size <= 3 * 2**20
    tensors = load_file(path)
    assert {tensor.dtype for tensor in tensors.values()} <= {torch.float16, torch.int64}
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())
    metadata = read_metadata(path)
    network = build_network(json.loads(metadata["network_g"]))
    network.load_state_dict(tensors)
    assert name == NUCLEI or name.endswith(metadata["scale"])


@pytest.mark.parametrize("name", NAMES)
def test_a_card_states_data_patients_kernel_seed_commands_numbers_and_licence(name, capsys):
    assert main(["weights", name]) == 0
    text = capsys.readouterr().out
    for fact in ("data:", "kernel: area", "mpp: 0.25", "seed:", "commands:", "psnr dB by patient", "licence:"):
        assert fact in text
    assert "not for diagnosis" in text


def test_the_card_of_the_network_of_nuclei(capsys):
    assert main(["weights", NUCLEI]) == 0
    text = capsys.readouterr().out
    for fact in ("data:", "mpp: 0.25", "seed:", "commands:", "dice and pq by patient", "licence:", "not for diagnosis"):
        assert fact in text


def test_the_list_names_every_file(capsys):
    assert main(["weights"]) == 0
    assert [line.split(" | ")[0].strip("| ") for line in capsys.readouterr().out.splitlines()[2:]] == [
        *NAMES,
        NUCLEI,
    ]


def test_unknown_weights_are_one_line_with_the_near_name(capsys):
    assert main(["weights", "he-lihgt-x4"]) == 2
    assert "did you mean 'he-light-x4'?" in capsys.readouterr().err


def test_files_without_a_sound_card_are_one_line(tmp_path):
    damaged, foreign, plain = (tmp_path / f"{name}.safetensors" for name in ("damaged", "foreign", "plain"))
    damaged.write_bytes((2**40).to_bytes(8, "little") + b"{}")
    save_file({"a": torch.zeros(1)}, foreign)
    save_file({"a": torch.zeros(1)}, plain, {"network_g": "{}", "card": "{"})
    for path, message in ((damaged, "is damaged"), (foreign, "has no card"), (plain, "damaged card")):
        with pytest.raises(UserError, match=message):
            weight_cards.card(str(path))
