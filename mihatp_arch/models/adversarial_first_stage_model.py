"""Training of a first stage as LDM publishes it: with LPIPS and a discriminator beside the pixel loss."""

from copy import deepcopy
from typing import Any

import torch
from basicsr.archs import build_network
from basicsr.losses import build_loss
from basicsr.utils.registry import MODEL_REGISTRY
from torch import Tensor

from mihatp_arch.errors import UserError
from mihatp_arch.models.first_stage_model import FirstStageModel
from mihatp_arch.training.step import Losses, clip_gradients, refuse_not_finite

_LARGEST_WEIGHT = 1e4  # of the adversarial loss, as in the authors' code


@MODEL_REGISTRY.register()
class AdversarialFirstStageModel(FirstStageModel):
    """FirstStageModel against a discriminator (Rombach et al., CVPR 2022, section G; Esser et al., CVPR 2021, Eq. 7).

    Beside FirstStageModel's options:

    * `network_d` and `train.optim_d`: the discriminator and its optimizer.
    * `train.gan_opt`: GANLoss; LDM has the hinge loss.
    * `train.disc_start`: the iterations before the discriminator takes part.
    * `path.pretrain_network_d`: weights that the discriminator starts from.

    An adaptive weight makes the gradient of the adversarial loss as large as the gradient of pixel and perceptual loss,
    both at the last layer of the decoder, before `gan_opt.loss_weight` scales it. After each step of the first stage,
    the discriminator makes a step on HR and on the reconstructions of the same batch.
    """

    @staticmethod
    def check_options(opt: dict[str, Any]) -> None:
        """Refuse options that do not fit together, before data are opened."""
        FirstStageModel.check_options(opt)
        train = opt["train"]
        for name, value in (("network_d", opt.get("network_d")), ("train.optim_d", train.get("optim_d"))):
            if not value:
                raise UserError(f"{name}: AdversarialFirstStageModel needs it, as in options/train_VQF4gan_x4.yml")
        gan = train.get("gan_opt") or {}
        if gan.get("type") != "GANLoss" or gan.get("loss_weight", 1.0) <= 0:
            raise UserError("train.gan_opt: AdversarialFirstStageModel takes GANLoss with a loss_weight above 0")
        if train.get("compile"):
            raise UserError("train.compile: not for AdversarialFirstStageModel, whose step needs two backward passes")
        with torch.device("meta"):
            discriminator = build_network(deepcopy(opt["network_d"]))
        size, smallest = opt["datasets"]["train"].get("gt_size"), getattr(discriminator, "smallest", 1)
        if size < smallest:
            raise UserError(f"datasets.train.gt_size: {size} is less than {smallest}, which network_d needs")

    def init_training_settings(self) -> None:
        """Build the discriminator before BasicSR builds the optimizers."""
        train, path = self.opt["train"], self.opt["path"]
        self.net_d = self.model_to_device(build_network(self.opt["network_d"]))
        self.print_network(self.net_d)
        weights = path.get("pretrain_network_d")
        if weights is not None:
            self.load_network(self.net_d, weights, path.get("strict_load_d", True), path.get("param_key_d", "params"))
        self.net_d.train()
        self.cri_gan = build_loss(train["gan_opt"]).to(self.device)
        self.disc_start = train.get("disc_start", 0)
        self._reconstructions: list[Tensor] = []
        super().init_training_settings()

    def setup_optimizers(self) -> None:
        """That of the first stage, then that of the discriminator."""
        super().setup_optimizers()
        options = dict(self.opt["train"]["optim_d"])
        self.optimizer_d = self.get_optimizer(options.pop("type"), self.net_d.parameters(), **options)
        self.optimizers.append(self.optimizer_d)

    def optimize_parameters(self, current_iter: int) -> None:
        """A step of the first stage; from `disc_start` on also a step of the discriminator."""
        self._adversarial = current_iter > self.disc_start
        self._reconstructions = []
        super().optimize_parameters(current_iter)
        if self._adversarial:
            self._discriminator_step(current_iter)

    def losses(self) -> Losses:
        """The losses of FirstStageModel, and the adversarial loss with its adaptive weight."""
        terms, values = super().losses()
        if not self._adversarial:
            return terms, values
        self._reconstructions.append(self.output.detach().float())
        self.net_d.requires_grad_(False)
        scores = self.get_bare_model(self.net_d)(2 * self.output - 1)
        with torch.autocast(self.device.type, enabled=False):
            adversarial = self.cri_gan(scores.float(), True, is_disc=False)
            reconstruction = torch.stack([term for name, term in terms.items() if name != "l_latent"]).sum()
            weight = self._adaptive_weight(reconstruction, adversarial / self.cri_gan.loss_weight)
        return {**terms, "l_gan": weight * adversarial}, {**values, "gan_weight": weight}

    def _adaptive_weight(self, reconstruction: Tensor, adversarial: Tensor) -> Tensor:
        """λ of Esser et al., Eq. 7: the ratio of the norms of the two gradients at the last layer of the decoder."""
        last = self.get_bare_model(self.net_g).last_layer
        ours, theirs = (torch.autograd.grad(loss, last, retain_graph=True)[0] for loss in (reconstruction, adversarial))
        return (ours.norm() / (theirs.norm() + 1e-4)).clamp(0, _LARGEST_WEIGHT).detach()

    def _discriminator_step(self, current_iter: int) -> None:
        """One step of the discriminator on the whole batch. HR and reconstructions have a pass each, as published."""
        bf16 = self.opt["train"].get("precision") == "bf16"
        self.net_d.requires_grad_(True)
        self.optimizer_d.zero_grad()
        losses = {}
        for name, images, real in (("l_d_real", self.gt, True), ("l_d_fake", torch.cat(self._reconstructions), False)):
            with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
                scores = self.net_d(2 * images - 1)
            losses[name] = 0.5 * self.cri_gan(scores.float(), real, is_disc=True)
            losses[name].backward()
        logged = self.reduce_loss_dict({name: loss.detach() for name, loss in losses.items()})
        clip_gradients(self, self.optimizer_d, self.opt["train"].get("grad_clip"), current_iter)
        refuse_not_finite(logged, self, current_iter)
        self.optimizer_d.step()
        self.log_dict |= logged

    def save(self, epoch: int, current_iter: int) -> None:
        """Save `net_d` first and the training state last, so that a state always has its networks."""
        self.save_network(self.net_d, "net_d", current_iter)
        super().save(epoch, current_iter)
