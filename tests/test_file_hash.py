"""A bit that changed anywhere in a file of weights or in a training state is found before the file is used."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mihatp_arch import file_hash, weight_cards
from mihatp_arch.bundled_weights import bundled_weights
from mihatp_arch.checkpoints import find_training_state, load_tensors
from mihatp_arch.errors import UserError
from mihatp_arch.inference.load import load_network
from mihatp_arch.training.saving import save_whole

CONTENT = {"params": {"weight": torch.arange(12.0).reshape(3, 4)}, "iter": 5}


def flipped(path: Path, positions: Iterator[int] | range | list[int], *, seed: int = 0) -> Iterator[int]:
    """Change one bit at each position in turn; the file is as it was after the last."""
    whole, chance = path.read_bytes(), random.Random(seed)
    for position in positions:
        changed = bytearray(whole)
        changed[position] ^= 1 << chance.randrange(8)
        path.write_bytes(changed)
        yield position
    path.write_bytes(whole)


def somewhere(path: Path, count: int) -> list[int]:
    """Positions all over a file, its first and last bytes among them."""
    size = path.stat().st_size
    return [0, 1, size - 1, size - 30, size - 80, *random.Random(path.name).sample(range(size), count)]


@pytest.mark.slow
def test_every_byte_of_a_file_of_a_training_counts(tmp_path):
    path = tmp_path / "5.state"
    save_whole(CONTENT, path)
    for position in flipped(path, range(path.stat().st_size)):
        with pytest.raises(UserError, match=r"5\.state' (is damaged|cannot be loaded)"):
            load_tensors(path)
            pytest.fail(f"the file was loaded with another byte {position}")
    assert torch.equal(load_tensors(path)["params"]["weight"], CONTENT["params"]["weight"])


@pytest.mark.parametrize("mapped", [True, False])
def test_torch_alone_reads_the_files_with_a_hash(tmp_path, mapped):
    save_whole(CONTENT, tmp_path / "a.pth")
    loaded = torch.load(tmp_path / "a.pth", weights_only=True, mmap=mapped)
    assert torch.equal(loaded["params"]["weight"], CONTENT["params"]["weight"]) and loaded["iter"] == 5


def test_a_file_of_others_has_the_crcs_of_its_records(tmp_path):
    path = tmp_path / "net_g_5.pth"
    torch.save(CONTENT, path)
    refused = 0
    for _ in flipped(path, range(0, path.stat().st_size, 7)):
        try:
            loaded = load_tensors(path)
        except UserError:
            refused += 1
        else:  # bytes that nothing reads, such as the padding and the date of a record
            assert loaded["iter"] == 5 and torch.equal(loaded["params"]["weight"], CONTENT["params"]["weight"])
    data = path.read_bytes().index(CONTENT["params"]["weight"].numpy().tobytes())
    for _ in flipped(path, range(data, data + 48)):
        with pytest.raises(UserError, match="the CRC of its record 'net_g_5/data/0' is not the stored one"):
            load_tensors(path)
    assert refused > 80
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(UserError, match="bytes follow it"):
        load_tensors(path)


def test_files_of_the_older_format_of_torch_are_read(tmp_path):
    torch.save(CONTENT, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert load_tensors(tmp_path / "old.pth")["iter"] == 5


@pytest.mark.parametrize("name", ["training_states/9.state", "models/net_g_9.pth"])
def test_a_state_with_another_bit_is_passed_over(tmp_path, name):
    for folder in ("models", "training_states"):
        (tmp_path / folder).mkdir()
    for iteration in (6, 9):
        save_whole({"params": {"weight": torch.randn(40, 50)}}, tmp_path / "models" / f"net_g_{iteration}.pth")
        optimizer = torch.optim.Adam([torch.nn.Parameter(torch.randn(40, 50))])
        state = {"epoch": 0, "iter": iteration, "optimizers": [optimizer.state_dict()], "schedulers": []}
        save_whole(state, tmp_path / "training_states" / f"{iteration}.state")
    options = {"path": {}, "train": {}, "network_g": {"type": "SwinIR"}}
    for position in flipped(tmp_path / name, somewhere(tmp_path / name, 30)):
        state, report = find_training_state(options, tmp_path, newest=True)
        assert state is not None and state.values["iter"] == 6, position
        assert "9." in report
    state, _ = find_training_state(options, tmp_path, newest=True)
    assert state is not None and state.values["iter"] == 9


def test_every_byte_of_safetensors_with_a_hash_counts(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({"weight": torch.ones(3, 4)}, path, {"scale": "4", file_hash.KEY: file_hash.BLANK})
    file_hash.fill_in(path)
    for position in flipped(path, range(path.stat().st_size)):
        with pytest.raises(UserError, match="is damaged"):
            load_tensors(path)
            pytest.fail(f"the file was loaded with another byte {position}")
    assert torch.equal(load_tensors(path)["weight"], torch.ones(3, 4))


def test_safetensors_of_others_have_no_hash(tmp_path):
    save_file({"weight": torch.ones(2)}, tmp_path / "a.safetensors")
    assert torch.equal(load_tensors(tmp_path / "a.safetensors")["weight"], torch.ones(2))


@pytest.mark.parametrize("name", bundled_weights())
def test_bundled_weights_have_a_hash(name, tmp_path):
    path = tmp_path / f"{name}.safetensors"
    path.write_bytes(bundled_weights()[name].read_bytes())
    assert load_file(path)
    for _ in flipped(path, somewhere(path, 10)):
        with pytest.raises(UserError, match="is damaged"):
            load_network(path)
        with pytest.raises(UserError, match="is damaged"):
            weight_cards.card(str(path))
    assert weight_cards.card(str(path)).startswith(f"# {name}\n")
