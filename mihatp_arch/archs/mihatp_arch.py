"""MiHATP's network: HAT whose blocks gain a deformable attention branch (paper, section 2.2, Eq. 4)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from mihatp_arch.archs.hat_arch import HAT, Upsampler
from mihatp_arch.archs.layers.deformable_attention import DeformableAttention, Position
from mihatp_arch.archs.layers.hat_blocks import HAB, RHAG, BlockOptions, WindowGeometry


@dataclass(frozen=True)
class DATOptions:
    """Options that the deformable branches of all blocks share."""

    beta: float
    learnable_scales: bool
    norm_residual: bool
    num_groups: int
    sample_grid: int
    train_size: int
    offset_range: float
    position: Position


class MHAB(HAB):
    """Multi-hybrid attention block, Eq. 4; `[B, H, W, C]`.

    X_Norm = Norm(X)
    X_Med = SW-MSA(X_Norm) + α CAB(X_Norm) + β DAT(X_Norm)
    X_M-HAB = X_Norm + MLP(Norm(X_Med + X)) + X_Med + X

    With `norm_residual` false the last line has no X_Norm of its own; with β = 0 the block is then exactly HAB.
    With `learnable_scales` each block learns its α (`conv_scale`) and β (`beta`), which are then parameters of it.
    """

    beta: float | nn.Parameter

    def __init__(self, options: BlockOptions, *, shifted: bool, drop_path: float, dat: DATOptions) -> None:
        super().__init__(options, shifted=shifted, drop_path=drop_path)
        if dat.learnable_scales:
            self.conv_scale, self.beta = (nn.Parameter(torch.tensor(float(x))) for x in (options.conv_scale, dat.beta))
        else:
            self.beta = dat.beta
        self.norm_residual = dat.norm_residual
        self.dat = DeformableAttention(
            options.dim,
            num_heads=options.num_heads,
            num_groups=dat.num_groups,
            sample_grid=dat.sample_grid,
            train_size=dat.train_size,
            offset_range=dat.offset_range,
            position=dat.position,
            fused=options.fused_attn,
        )

    def forward(self, x: Tensor, windows: WindowGeometry) -> Tensor:
        x_norm = self.norm1(x)
        x_med = self.hybrid_attention(x_norm, windows) + self.beta * self.dat(x_norm)
        x = x_med + x
        x = self.drop_path(self.mlp(self.norm2(x))) + x
        return x_norm + x if self.norm_residual else x


class MRHAG(RHAG):
    """RHAG of multi-hybrid attention blocks (M-RHAG in the paper)."""

    def __init__(
        self,
        options: BlockOptions,
        *,
        drop_paths: Sequence[float],
        resi_connection: Literal["1conv", "identity"],
        dat: DATOptions,
    ) -> None:
        super().__init__(options, drop_paths=drop_paths, resi_connection=resi_connection, block=partial(MHAB, dat=dat))


@ARCH_REGISTRY.register()
class MiHATP(HAT):
    """One branch of MiHATP: `[B, 3, H, W]` in [0, 1] -> `[B, 3, s·H, s·W]`, any H, W >= 1.

    Its state dict is HAT's with `layers.*.residual_group.blocks.*.dat.*` added: HAT weights load with `strict=False`.
    `learnable_scales` adds `layers.*.residual_group.blocks.*.conv_scale` (α) and `….beta` (β), one number each.

    Args:
        alpha: α of Eq. 4, weight of CAB (HAT's conv_scale).
        beta: β of Eq. 4, weight of the deformable attention.
        learnable_scales: whether each block learns an α and a β of its own, from `alpha` and `beta` on.
        norm_residual: whether X_Norm is added to the block's output, as Eq. 4 prints it.
        img_size: width of the training LR patch; with `sample_grid` it fixes the sampling stride.
        sample_grid: G; deformable attention reads G×G keys on a training patch.
        num_groups: channel groups with offsets of their own; divides every entry of num_heads.
        offset_range: reach of an offset, in units of half a cell of the sample grid.
        position: position term of the deformable attention: `lepe`, `bias` or `none` (layers/deformable_attention.py).

    The other options are HAT's.

    Raises:
        UserError: the options do not fit together.
    """

    def __init__(
        self,
        *,
        alpha: float = 0.01,
        beta: float = 0.01,
        learnable_scales: bool = False,
        norm_residual: bool = True,
        sample_grid: int = 8,
        num_groups: int = 2,
        offset_range: float = 2.0,
        position: Position = "lepe",
        upscale: int = 4,
        in_chans: int = 3,
        img_size: int = 48,
        window_size: int = 16,
        embed_dim: int = 180,
        depths: Sequence[int] = (6, 6, 6, 6, 6, 6),
        num_heads: Sequence[int] = (6, 6, 6, 6, 6, 6),
        compress_ratio: int = 3,
        squeeze_factor: int = 30,
        overlap_ratio: float = 0.5,
        mlp_ratio: float = 2.0,
        qkv_bias: bool = True,
        drop_path_rate: float = 0.1,
        img_range: float = 1.0,
        upsampler: Upsampler = "pixelshuffle",
        resi_connection: Literal["1conv", "identity"] = "1conv",
        use_checkpoint: bool = False,
        fused_attn: bool = True,
        consistency: bool = False,
        global_skip: bool = False,
    ) -> None:
        dat = DATOptions(
            beta, learnable_scales, norm_residual, num_groups, sample_grid, img_size, offset_range, position
        )
        super().__init__(
            upscale=upscale,
            in_chans=in_chans,
            img_size=img_size,
            window_size=window_size,
            embed_dim=embed_dim,
            depths=depths,
            num_heads=num_heads,
            compress_ratio=compress_ratio,
            squeeze_factor=squeeze_factor,
            conv_scale=alpha,
            overlap_ratio=overlap_ratio,
            mlp_ratio=mlp_ratio,
            qkv_bias=qkv_bias,
            drop_path_rate=drop_path_rate,
            img_range=img_range,
            upsampler=upsampler,
            resi_connection=resi_connection,
            use_checkpoint=use_checkpoint,
            fused_attn=fused_attn,
            consistency=consistency,
            global_skip=global_skip,
            _group=partial(MRHAG, dat=dat),
        )
