"""Ways that compute the same: each against the plain one, and how inference chooses between them."""

import json

import pytest
import torch
import torch.nn.functional as F

from mihatp_arch.archs.fast import choice_file
from mihatp_arch.archs.fast.attention import attention
from mihatp_arch.archs.fast.calibration import Calibration, calibrated, chosen_way, fastest
from mihatp_arch.archs.fast.fast_setting import WAYS, fast_setting
from mihatp_arch.archs.fast.gathered_bias import GatheredBias
from mihatp_arch.archs.fast.linear import linear
from mihatp_arch.archs.hat_arch import HAT
from mihatp_arch.archs.layers.windows import relative_position_index
from mihatp_arch.errors import UserError
from mihatp_arch.inference.network import NetworkInfo, TorchNetwork

SMALL = {"embed_dim": 12, "depths": [2], "num_heads": [2], "window_size": 4, "squeeze_factor": 4, "upscale": 2}


@pytest.fixture
def setting(monkeypatch):
    return lambda text: monkeypatch.setenv("MIHATP_FAST", text)


def busy(way):
    """Work of which `slow` has much more than the others."""
    return [number * number for number in range(20000 if way == "slow" else 20)]


@pytest.mark.parametrize("kind", ["no bias", "one bias", "a bias for each", "masks"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 5e-2)])
@pytest.mark.parametrize("way", WAYS["attention"])
def test_each_attention_is_the_plain_one(way, dtype, tolerance, kind, setting):
    (q,), (k, v) = (torch.randn(t, 5, 3, n, 8) for t, n in ((1, 7), (2, 9)))
    biases = {"no bias": None, "a bias for each": torch.randn(5, 3, 7, 9)}
    options = {"bias": biases.get(kind, torch.randn(1, 3, 7, 9)), "scale": 0.3}
    options |= {"attn_mask": torch.randn(3, 7, 9), "mask_counts": (3, 0, 2)} if kind == "masks" else {}
    plain = attention(q, k, v, fused=False, **options)
    setting(f"attention={way}")
    ours = attention(q.to(dtype), k.to(dtype), v.to(dtype), fused=True, **options)
    torch.testing.assert_close(ours.float(), plain, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("rows", [7, 32, 1040])
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("way", WAYS["linear"])
def test_each_linear_layer_is_torchs(way, autocast, rows, setting):
    x, weight, bias = torch.randn(rows, 12), torch.randn(20, 12), torch.randn(20)
    setting(f"linear={way}")
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        ours, without_bias = linear(x, weight, bias), linear(x, weight, None)
    assert ours.dtype == (torch.bfloat16 if autocast else torch.float32)
    tolerance = 5e-2 if autocast else 1e-5
    torch.testing.assert_close(ours.float(), F.linear(x, weight, bias), atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(without_bias.float(), F.linear(x, weight), atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("text", ["attention=sdpa", "attention=plain,linear=convolution", "linear=onednn", "fixed"])
def test_a_given_way_trains_to_the_same_gradients(text, setting):
    net = HAT(**SMALL, drop_path_rate=0.0)
    plain = HAT(**SMALL, drop_path_rate=0.0, fused_attn=False)
    plain.load_state_dict(net.state_dict())
    x = torch.rand(1, 3, 8, 8)
    setting(text)
    gradients = []
    for network in (net, plain):
        network(x).square().mean().backward()
        gradients.append([p.grad for p in network.parameters()])
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-3)


def test_the_fastest_way_is_chosen_and_stays(tmp_path):
    file = tmp_path / "cache" / "fast.json"
    ways = ("slow", "quick")
    assert fastest(ways, busy, fixed="slow") == fastest(ways, busy, fixed="quick") == "quick"
    assert fastest(("a", "b"), lambda way: sum(range(2000)), fixed="b") in ("a", "b")
    first = Calibration(file)
    assert first.choose("layer", ways, busy, "slow") == "quick"
    assert list(first.choices.values()) == ["quick"]
    lazy = Calibration(file)  # another process, for which the other way would be faster
    assert lazy.choose("layer", ways, lambda way: busy("slow" if way == "quick" else way), "slow") == "quick"


def test_another_process_that_was_first_decides(tmp_path):
    file, known = tmp_path / "fast.json", ("a", "b")
    assert choice_file.add_choice(file, "machine", "key", "a", known) == "a"
    assert choice_file.add_choice(file, "machine", "key", "b", known) == "a"
    assert choice_file.add_choice(file, "another", "key", "b", known) == "b"
    assert choice_file.add_choice(file, "machine", "key", "c", ("c",)) == "c"  # `a` is no longer a way
    assert choice_file.read_choices(file, "machine") == {"key": "c"}
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[]", b'{"format": "another", "machines": {}}']
    + [json.dumps({"format": choice_file._FORMAT, "machines": m}).encode() for m in (1, {"m": 1}, {"m": {"key": 3}})],
)
def test_a_damaged_or_foreign_file_is_ignored_and_replaced(content, tmp_path):
    file = tmp_path / "fast.json"
    file.write_bytes(content)
    assert choice_file.read_choices(file, "m") == {}
    assert choice_file.add_choice(file, "m", "key", "a", ("a",)) == "a"
    assert choice_file.read_choices(file, "m") == {"key": "a"}


def test_where_nothing_can_be_stored_the_fixed_way_is_taken(tmp_path):
    (tmp_path / "file").touch()
    unwritable = Calibration(tmp_path / "file" / "fast.json")
    assert unwritable.choose("layer", ("slow", "quick"), busy, "slow") == "slow"


def test_only_inference_measures(tmp_path, setting):
    setting("calibrated")
    calibration = Calibration(tmp_path / "fast.json")

    def choose():
        return chosen_way("linear", "key", ("slow", "quick"), busy, fixed="slow")

    with torch.no_grad():
        assert choose() == "slow"
    with calibrated(calibration):
        assert choose() == "slow"  # a graph may be wanted
        with torch.no_grad():
            setting("fixed")
            assert choose() == "slow"
            assert not (tmp_path / "fast.json").exists()
            setting("calibrated")
            assert choose() == "quick"


def test_inference_with_choices_is_the_same_network_and_has_the_same_bits_again(tmp_path, setting, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    module, lr = HAT(**SMALL), torch.rand(2, 3, 8, 8)
    results = []
    for text in ("calibrated", "calibrated", "fixed"):
        setting(text)
        network = TorchNetwork(module, NetworkInfo("HAT", 2), device=torch.device("cpu"), precision="fp32")
        results.append(network(lr))
    assert torch.equal(results[0], results[1])
    torch.testing.assert_close(results[0], results[2], atol=1e-5, rtol=1e-5)
    choices = choice_file.read_choices(tmp_path / "mihatp" / "fast.json", choice_file.machine_key())
    assert {key.split()[0] for key in choices} == {"attention", "linear"}


def test_a_bias_is_gathered_once_and_again_for_new_weights(tmp_path):
    table, index, gather = torch.randn(49, 2), relative_position_index(4), GatheredBias()

    def by_hand():
        return table[index].permute(2, 0, 1)[None]

    with calibrated(Calibration(tmp_path / "fast.json")), torch.inference_mode():
        first = gather(table, index)
        assert torch.equal(first, by_hand())
        assert gather(table, index) is first
        table.data[3] += 1  # unseen by torch's version counter
        assert torch.equal(gather(table, index), by_hand())
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(gather(table, index), by_hand().bfloat16())
    table.requires_grad_()
    gather(table, index).sum().backward()
    assert torch.equal(table.grad, torch.bincount(index.flatten())[:, None].expand(-1, 2).float())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fixd", "MIHATP_FAST=fixd: use calibrated, fixed, or ways such as .*; did you mean 'fixed'?"),
        ("attention=spda", "the ways of attention are chunked, sdpa, plain; did you mean 'sdpa'?"),
    ],
)
def test_a_wrong_setting_is_one_line(text, message, setting):
    setting(text)
    with pytest.raises(UserError, match=message):
        fast_setting()
    with pytest.raises(UserError, match="MIHATP_FAST"):
        TorchNetwork(torch.nn.Identity(), NetworkInfo("none", 1), device=torch.device("cpu"), precision="fp32")
