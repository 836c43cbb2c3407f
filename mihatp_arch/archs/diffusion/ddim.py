"""DDIM (Song et al., ICLR 2021) over diffusers' scheduler, with noise of each image's own."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from mihatp_arch.archs.diffusion.base import ImageNoise, Steps
from mihatp_arch.errors import UserError


def check_steps(steps: int, timesteps: int, eta: float) -> None:
    """Refuse a sampling that the schedule has not. Raises `UserError`."""
    if timesteps < 2:
        raise UserError(f"network: timesteps {timesteps} are too few for a schedule; give 2 or more")
    if steps < 1:
        raise UserError(f"network: steps {steps}: sampling takes at least one")
    if steps > timesteps:
        raise UserError(f"network: steps {steps} are more than the {timesteps} timesteps of the schedule")
    if timesteps % steps:
        raise UserError(f"network: steps {steps} do not divide the {timesteps} timesteps: not all noise would go")
    if not 0 <= eta <= 1:
        raise UserError(f"network: eta {eta} lies outside 0 (no new noise) to 1 (as DDPM)")


def ddim(
    scheduler: Any,
    epsilon: Callable[[Tensor, int], Tensor],
    x: Tensor,
    noise: ImageNoise,
    *,
    steps: Steps,
    count: int,
    eta: float,
) -> Tensor:
    """From x_T to x_0.

    Args:
        scheduler: a `DDIMScheduler`.
        epsilon: ε_θ(x_t, t).
        x: x_T, BxCxHxW.
        noise: what eta > 0 draws from.
        steps: shows them.
        count: their number.
        eta: 0 without new noise … 1 as DDPM.
    """
    scheduler.set_timesteps(count, device=x.device)
    for t in steps(scheduler.timesteps.tolist()):
        fresh = noise(*x.shape[1:]) if eta > 0 else None
        predicted = epsilon(x, t).float()
        x = scheduler.step(
            predicted,
            t,
            x,
            eta=eta,
            use_clipped_model_output=scheduler.config.clip_sample,  # ε that belongs to the clipped x_0
            variance_noise=fresh,
        ).prev_sample
    return x
