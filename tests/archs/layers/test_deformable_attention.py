"""Deformable attention: what it reduces to, its geometry, its gradients."""

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

from mihatp_arch.archs.layers.deformable_attention import DeformableAttention, cell_centres
from mihatp_arch.errors import UserError


def dat(**options):
    torch.manual_seed(2)
    return DeformableAttention(12, **{"num_heads": 4, "num_groups": 2, "sample_grid": 4, "train_size": 8, **options})


def with_offsets(module):
    nn.init.normal_(module.offset_out.weight, std=0.5)
    return module


def test_stride_one_without_offsets_and_position_is_global_attention():
    module = dat(sample_grid=8, position="none")
    assert module.stride == 1
    x = torch.randn(2, 8, 6, 12)
    tokens = x.flatten(1, 2)
    q, k, v = (rearrange(t, "b n (h d) -> b h n d", h=4) for t in (module.q(tokens), *module.kv(tokens).chunk(2, -1)))
    expected = module.proj(rearrange(F.scaled_dot_product_attention(q, k, v), "b h n d -> b n (h d)"))
    torch.testing.assert_close(module(x), expected.view_as(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("position", ["lepe", "bias", "none"])
@pytest.mark.parametrize("size", [(1, 1), (2, 9), (8, 8), (13, 7)])
def test_any_size_and_fused_equals_plain(position, size):
    fused = with_offsets(dat(position=position))
    plain = dat(position=position, fused=False)
    plain.load_state_dict(fused.state_dict())
    x = torch.randn(2, *size, 12)
    assert fused(x).isfinite().all()
    torch.testing.assert_close(fused(x), plain(x), atol=1e-5, rtol=1e-5)


def test_sampling_density_is_that_of_the_training_patch():
    """The paper's LR patches: 8×8 keys, strides 12, 6, 3; a tile twice as wide has twice as many keys a side."""
    for train_size, stride in ((96, 12), (48, 6), (24, 3)):
        module = DeformableAttention(12, num_heads=4, sample_grid=8, train_size=train_size)
        assert module.stride == stride
        for width, keys in ((train_size, 8), (2 * train_size, 16)):
            assert module.points(torch.zeros(1, width, width, 12)).shape == (2, keys, keys, 2)


def test_points_start_at_cell_centres_inside_the_image():
    points = dat().points(torch.randn(1, 8, 8, 12))
    torch.testing.assert_close(points[0, 0, :, 0], torch.tensor([-0.75, -0.25, 0.25, 0.75]))
    torch.testing.assert_close(points[0, :, 0, 1], torch.tensor([-0.75, -0.25, 0.25, 0.75]))


@pytest.mark.parametrize("width", [12, 13, 14, 17, 18, 64])
def test_points_of_any_size_start_in_the_cells_that_the_offsets_see(width):
    """Cells are as wide as the stride, and the last one ends with the image."""
    module = dat(train_size=24)  # stride 6
    points = module.points(torch.randn(1, width, 6, 12))
    starts = range(0, width, 6)
    centres = [(start + min(start + 6, width)) / 2 for start in starts]  # pixels from the upper edge
    expected = torch.tensor([2 * centre / width - 1 for centre in centres])
    torch.testing.assert_close(points[0, :, 0, 1], expected)
    torch.testing.assert_close(points[:, :, 0, 0], torch.zeros(2, len(starts)))
    assert points.abs().max() < 1


def test_what_is_far_from_the_lower_edge_is_sampled_alike_whatever_the_height():
    """The keys of a part of an image stay where they are when rows are added below it."""
    module = with_offsets(dat(position="none"))  # stride 2
    x = torch.randn(1, 13, 8, 12)
    (k, _), (above, _) = (module.sample(part, module.points(module.q(part))) for part in (x, x[:, :12]))
    torch.testing.assert_close(k[:, :, :16], above[:, :, :16], atol=1e-5, rtol=1e-4)  # 4 rows of 4 keys


@pytest.mark.parametrize("width", [12, 13, 17])
def test_offsets_move_points_by_half_a_stride_at_any_size(width):
    module = dat(train_size=24, offset_range=1.0)  # stride 6
    still = module.points(torch.randn(1, width, width, 12))
    nn.init.constant_(module.offset_out.weight, 1e3)
    moved = (module.points(torch.randn(1, width, width, 12)) - still).abs() * width / 2  # pixels
    assert 2.9 < moved.max() <= 3 + 1e-5


@pytest.mark.parametrize("train_size", [4, 8, 12, 24])
def test_offsets_see_their_own_cell_so_that_flips_commute(train_size):
    module = with_offsets(dat(position="none", train_size=train_size)).double()
    for convolution in (module.offset_conv, module.offset_out):
        if convolution.kernel_size[0] > 1:
            with torch.no_grad():  # a kernel that is its own mirror image
                convolution.weight.copy_(convolution.weight + convolution.weight.flip(-1))
    x = torch.randn(1, train_size, train_size, 12, dtype=torch.float64)
    moved, moved_mirrored = (module.points(map_)[..., 0] - cell_centres(4, 4, x)[..., 0] for map_ in (x, x.flip(2)))
    torch.testing.assert_close(moved, moved_mirrored.flip(2), atol=1e-6, rtol=0)


def test_nan_does_not_end_the_process():
    """It stays NaN, for the check of the loss to name it; the points, which would crash `grid_sample`, are numbers."""
    module = with_offsets(dat())
    x = torch.full((1, 8, 8, 12), torch.nan, requires_grad=True)
    assert module.points(module.q(x)).isfinite().all()
    y = module(x)
    y.sum().backward()
    assert y.isnan().all() and x.grad.isnan().all()


def test_offsets_reach_the_neighbouring_point_and_no_further():
    module = dat()
    nn.init.constant_(module.offset_out.weight, 1e3)
    moved = module.points(torch.randn(3, 8, 8, 12)) - cell_centres(4, 4, torch.zeros(1))
    assert moved.abs().max() <= 0.5 + 1e-6  # a cell of a 4×4 grid is 0.5 wide in [-1, 1]
    assert moved.abs().max() > 0.49


def test_sampling_reads_the_features_where_the_points_are():
    """On a map whose first two channels are its own coordinates, the sampled features are the points."""
    module = with_offsets(dat(num_groups=1, offset_range=1.0))
    coordinates = cell_centres(8, 8, torch.zeros(1))
    x = torch.zeros(1, 8, 8, 12)
    x[..., :2] = coordinates
    nn.init.zeros_(module.kv.weight)
    nn.init.zeros_(module.kv.bias)
    with torch.no_grad():
        module.kv.weight[0, 0] = module.kv.weight[1, 1] = 1.0
    points = module.points(torch.randn(1, 8, 8, 12))
    k, _ = module.sample(x, points)
    inside = points.flatten(1, 2).clamp(-7 / 8, 7 / 8)  # border pixels repeat outwards
    torch.testing.assert_close(k[:, 0, :, :2], inside)


@pytest.mark.parametrize("position", ["lepe", "bias"])
def test_gradients_reach_the_offsets_and_agree_with_finite_differences(position):
    module = with_offsets(dat(position=position)).double()
    x = torch.randn(1, 6, 6, 12, dtype=torch.float64)
    weight = module.offset_out.weight
    weights = torch.randn(1, 6, 6, 12, dtype=torch.float64)

    def value():
        return (module(x) * weights).sum()

    value().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in module.parameters())
    step = 1e-4  # positions are fp32, so the differences are no finer
    index = (1, 2, 0, 0)
    with torch.no_grad():
        weight[index] += step
        above = value()
        weight[index] -= 2 * step
        below = value()
    assert weight.grad[index].item() == pytest.approx(((above - below) / (2 * step)).item(), rel=0.05, abs=1e-3)


@pytest.mark.parametrize("position", ["lepe", "bias", "none"])
@pytest.mark.parametrize("size", [(4, 6), (5, 3)])
def test_a_network_in_fp64_computes_in_fp64(position, size):
    module = with_offsets(dat(position=position, fused=False)).double()
    x = torch.randn(1, *size, 12, dtype=torch.float64, requires_grad=True)
    assert module.points(module.q(x)).dtype == torch.float64
    weights = (module.offset_out.weight, module.kv.weight)
    assert torch.autograd.gradcheck(lambda x, *_: module(x), (x, *weights), fast_mode=True)


def test_points_are_fp32_in_fp32_and_bf16():
    x = torch.randn(1, 8, 8, 12)
    assert dat().points(x).dtype == dat().bfloat16().points(x.bfloat16()).dtype == torch.float32


def test_offsets_get_a_gradient_from_their_zero_start():
    module = dat()
    module(torch.randn(1, 8, 8, 12)).square().sum().backward()
    assert module.offset_out.weight.grad.abs().max() > 0


def test_bias_is_held_at_the_training_extent():
    """Beyond the displacements seen in training the table's edge is used."""
    module = dat(position="bias", num_groups=1)
    assert module.reach == 3
    nn.init.zeros_(module.bias_table)
    with torch.no_grad():
        module.bias_table[:, :, -1] = 1.0  # pixel at least three cells to the right of its point
    points = module.points(torch.zeros(1, 32, 32, 12))
    bias = module.displacement_bias(points, 32, 32)
    first_point = bias[0, 0, :, 0].view(32, 32)[16]
    assert first_point[0] == 0
    assert (first_point[8:] == 1).all()


@pytest.mark.parametrize(
    "options",
    [{"num_heads": 5}, {"num_groups": 3}, {"sample_grid": 0}, {"position": "rpe"}],
)
def test_options_that_do_not_fit_are_refused(options):
    with pytest.raises(UserError):
        dat(**options)
