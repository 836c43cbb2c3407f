"""The diffusion of ResShift (Yue et al., NeurIPS 2023): a chain that shifts the residual between HR and LR.

x_0 is the target, y_0 the degraded image at the same size (in ResShift both are latents), e_0 = y_0 - x_0, and ε is
standard normal noise. In code t counts from 0: t = 0 is the paper's step 1, the last step of the sampling.
"""

import torch
from torch import Tensor, nn

from mihatp_arch.errors import UserError


class ResidualShift(nn.Module):
    """The schedule η_1 < … < η_T, and the steps of the chain that follow from it.

    √η_t = √η_1 · (√η_T / √η_1)^(((t-1)/(T-1))^p),  √η_1 = min(m/κ, m)          (the paper's noise schedule)

    computed in float64, stored in float32. The authors' code gives √η_T the name `etas_end`.

    Args:
        steps: T.
        kappa: κ, the amount of noise that the shift adds.
        min_noise: m, the noise κ√η_1 that step 1 adds (for κ >= 1).
        max_root: √η_T.
        power: p; with a lower p, η grows earlier.

    Raises:
        UserError: the options do not fit together.
    """

    eta: Tensor
    _share: Tensor
    _deviation: Tensor

    def __init__(
        self,
        *,
        steps: int = 15,
        kappa: float = 2.0,
        min_noise: float = 0.04,
        max_root: float = 0.99,
        power: float = 0.3,
    ) -> None:
        super().__init__()
        if steps < 2:
            raise UserError(f"network: steps {steps} is too few; ResShift needs 2 or more")
        for name, value in (("kappa", kappa), ("min_noise", min_noise), ("power", power)):
            if not 0 < value < float("inf"):
                raise UserError(f"network: {name} {value} must be a positive number")
        if not 0 < max_root <= 1:
            raise UserError(f"network: max_root {max_root} must be above 0, and 1 at most")
        first = min(min_noise / kappa, min_noise)
        if first >= max_root:
            raise UserError(
                f"network: min_noise {min_noise} starts the schedule at {first:g}; it must be below max_root {max_root}"
            )
        self.steps, self.kappa = steps, kappa
        exponent = torch.linspace(0, 1, steps, dtype=torch.float64) ** power
        eta = (first * (max_root / first) ** exponent) ** 2
        before = torch.cat([eta.new_zeros(1), eta[:-1]])
        share = before / eta  # η_{t-1}/η_t
        self.register_buffer("eta", eta.float(), persistent=False)
        self.register_buffer("_share", share.float(), persistent=False)
        self.register_buffer("_deviation", (kappa * (share * (eta - before)).sqrt()).float(), persistent=False)

    def shift(self, x0: Tensor, y0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """x_t ~ q(x_t | x_0, y_0): x_0 + η_t e_0 + κ√η_t ε, the marginal of the forward chain.

        Args:
            x0: `[B, …]`.
            y0: the same shape.
            t: `[B]` integers in 0 … T-1.
            noise: ε, the same shape as x0.
        """
        eta = _per_sample(self.eta, t, x0)
        return x0 + eta * (y0 - x0) + self.kappa * eta.sqrt() * noise

    def posterior(self, x_t: Tensor, x0: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of q(x_{t-1} | x_t, x_0, y_0), in which y_0 cancels.

        μ = (η_{t-1}/η_t) x_t + (α_t/η_t) x_0,  σ² = κ² (η_{t-1}/η_t) α_t,  α_t = η_t - η_{t-1},  η_0 = 0

        Step 1 (t = 0) therefore gives x_0 itself, without noise.

        Args:
            x_t: `[B, …]`.
            x0: the network's prediction from x_t, the same shape.
            t: `[B]` integers in 0 … T-1.

        Returns:
            μ in the shape of x_t, and σ `[B, 1, …]`.
        """
        share = _per_sample(self._share, t, x_t)
        return share * x_t + (1 - share) * x0, _per_sample(self._deviation, t, x_t)

    def prior(self, y0: Tensor, noise: Tensor) -> Tensor:
        """The start of the sampling: x_T = y_0 + κ√η_T ε, as if η_T were 1; `noise` is ε, in the shape of y0."""
        return y0 + self.kappa * self.eta[-1].sqrt() * noise

    def scale_input(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The network's input x_t / √(κ² η_t + 1): about unit variance if x_0 and y_0 have unit variance."""
        return x_t / (self.kappa**2 * _per_sample(self.eta, t, x_t) + 1).sqrt()


def _per_sample(values: Tensor, t: Tensor, like: Tensor) -> Tensor:
    """values[t] with as many dimensions as `like`: `[B, 1, …]`."""
    return values[t].view(-1, *[1] * (like.dim() - 1))
