"""DDIM (Song et al., ICLR 2021) by diffusers' scheduler, with the reproducible noise of `ImageNoise`."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from mihatp_arch.archs.diffusion.base import ImageNoise, Progress
from mihatp_arch.errors import UserError


def check_steps(steps: int, timesteps: int, eta: float) -> None:
    """Refuse a number of steps that does not fit the schedule. Raises `UserError`."""
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
    progress: Progress,
    steps: int,
    eta: float,
) -> Tensor:
    """The reverse process, from x_T to x_0.

    Args:
        scheduler: a `DDIMScheduler`.
        epsilon: ε_θ(x_t, t).
        x: x_T, `[B, C, H, W]`.
        noise: source of the new noise where eta > 0.
        progress: iterates over the time steps.
        steps: their number.
        eta: from 0, without new noise, to 1, as DDPM.
    """
    scheduler.set_timesteps(steps, device=x.device)
    for t in progress(scheduler.timesteps.tolist()):
        new_noise = noise(*x.shape[1:]) if eta > 0 else None
        predicted = epsilon(x, t).float()
        x = scheduler.step(
            predicted,
            t,
            x,
            eta=eta,
            use_clipped_model_output=scheduler.config.clip_sample,  # ε recomputed from the clipped x_0
            variance_noise=new_noise,
        ).prev_sample
    return x
