"""MiHATP's training: two branches and a contrastive loss (paper, Fig. 1, Eq. 1 to 9) in BasicSR's model interface."""

from os import path as osp
from typing import Any

from basicsr.archs import build_network
from basicsr.losses import build_loss
from basicsr.utils.registry import MODEL_REGISTRY
from torch import Tensor, nn

from mihatp_arch.errors import UserError
from mihatp_arch.models.base_model import LossModel
from mihatp_arch.models.transformation_pools import DrawnTransforms, build_pools
from mihatp_arch.training.parallel_branches import choose_branches
from mihatp_arch.training.probes.probe import Probe
from mihatp_arch.training.step import Losses


@MODEL_REGISTRY.register()
class MiHATPModel(LossModel):
    """Base branch F_base (`net_g`) and contrastive branch F_con (`net_c`), trained together; only F_base is tested.

    Beside SRModel's options, `train` has:

    * `contrastive_opt`: the loss of Eq. 8 and 9 with its weight λ; null leaves it out.
    * `reversible_opt`: `k_p`, the positives K_p of each image, and `elements` of the pool. null is the ablation
      without RTP: no contrastive branch, and every similarity to a positive is 1.
    * `irreversible_opt`: `k_n`, the negatives K_n, and `operations` of the pool. null is the ablation without ITP:
      every similarity to a negative is 1.
    * `share_branches`: one network for both branches, which run as one batch.
    * `detach_positive`: no gradient of the contrastive loss into F_con.
    * `branch_threads`: on a CPU, F_base and F_con run at the same time in two threads (default true). They must be HAT
      or MiHATP, uncompiled, in one process. The random draws are the same either way.
    * `probe_freq`: how often the log says what the contrastive loss and the terms of Eq. 4 do (training/probes).

    `network_c` describes F_con (default: as `network_g`); `path.pretrain_network_c` starts it from weights.

    Raises:
        UserError: options that do not fit together.
    """

    @staticmethod
    def check_options(opt: dict[str, Any]) -> None:
        """Refuse training options that do not fit together, before data are opened."""
        train_opt = opt["train"]
        if train_opt.get("perceptual_opt"):
            raise UserError("train.perceptual_opt: MiHATPModel has no perceptual loss; remove it (Eq. 5 has none)")
        if not train_opt.get("pixel_opt"):
            raise UserError("train.pixel_opt: MiHATPModel needs it for Eq. 6 and 7; give type: L1Loss")
        contrastive = train_opt.get("contrastive_opt")
        if contrastive and contrastive.get("type") != "ContrastiveLoss":
            raise UserError("train.contrastive_opt.type: MiHATPModel takes ContrastiveLoss alone")
        if train_opt["pixel_opt"].get("type") == "ContrastiveLoss":
            raise UserError("train.pixel_opt.type: ContrastiveLoss is no pixel loss; give type: L1Loss")
        if train_opt.get("share_branches") and opt.get("network_c"):
            raise UserError("train.share_branches: true leaves no use for network_c; remove one of them")
        if opt.get("network_c") and not train_opt.get("reversible_opt"):
            raise UserError("network_c: without train.reversible_opt there is no second branch; remove one of them")
        build_pools(opt)

    def losses(self) -> Losses:
        """The terms of Eq. 5, and the similarities of Eq. 9 for the log."""
        transforms = con = positives = negatives = None
        with self.branches:  # one after the other, or at the same time: training/parallel_branches.py
            base = self.branches.start(self.net_g, self.lq)  # Eq. 1: F_base(I^LR)
            if self.reversible_pool is not None and self.net_c is not None:
                transforms = DrawnTransforms.draw(self.reversible_pool, self.k_p, self.lq)
                con = self.branches.start(self.net_c, transforms.t_for(self.lq))  # Eq. 2: F_con(T_for(I^LR))
            if self.irreversible_pool is not None and self.cri_cl is not None:
                negatives = self.irreversible_pool(self.gt)  # Eq. 3: X^N = T_irr(I^HR)

        self.output = base.result().float()  # Eq. 1: I^SR
        terms = {"l_pix_base": self.cri_pix(self.output, self.gt)}  # Eq. 6
        if transforms is not None and con is not None:
            transformed = con.result().float()
            positives = transforms.t_inv(transformed)  # Eq. 2: X^P
            terms["l_pix_con"] = self.cri_pix(transformed, transforms.t_for(self.gt))  # Eq. 7
        if self.cri_cl is None:
            return terms, {}
        if positives is not None and self.detach_positive:
            positives = positives.detach()
        terms["l_cl"], similarities = self.cri_cl(self.output, positives, negatives)  # Eq. 8 and 9, times λ
        return terms, similarities  # Eq. 5 is the sum of the terms

    def optimize_parameters(self, current_iter: int) -> None:
        """One step on the batch of `feed_data`, which `probe` measures at some iterations."""
        with self.probe.of_step(self, current_iter):
            super().optimize_parameters(current_iter)

    def backward(self, loss: Tensor) -> None:
        """The gradients of both branches."""
        self.branches.backward(loss)

    def init_training_settings(self) -> None:
        """Build what only training needs, F_con first, so that the optimizer gets its parameters."""
        train_opt, path_opt = self.opt["train"], self.opt["path"]
        self.check_options(self.opt)
        self.k_p, self.reversible_pool, self.irreversible_pool = build_pools(self.opt)
        self.net_c = None if self.reversible_pool is None else self._build_contrastive_branch()
        self.cri_cl = None
        if train_opt.get("contrastive_opt"):
            self.cri_cl = build_loss(train_opt["contrastive_opt"]).to(self.device)
        self.detach_positive = bool(train_opt.get("detach_positive"))
        self.probe = Probe(every=train_opt.get("probe_freq", 500))
        # The kernels of compiled networks have the number of threads built in.
        threads = train_opt.get("branch_threads", True) and not (train_opt.get("compile") or self.opt["dist"])
        shared = self.net_c is self.net_g
        self.branches = choose_branches(self.trained_networks, device=self.device, threads=threads, shared=shared)
        super().init_training_settings()
        incomplete = path_opt.get("pretrain_network_g") and not path_opt.get("strict_load_g", True)
        if self.ema_decay > 0 and incomplete and not path_opt.get("resume_state"):
            self.model_ema(0)  # BasicSR draws the weights that the file lacks a second time for the average

    def _build_contrastive_branch(self) -> Any:
        if self.opt["train"].get("share_branches"):
            return self.net_g
        net_c = self.model_to_device(build_network(self.opt.get("network_c") or self.opt["network_g"]))
        path_opt = self.opt["path"]
        load_path = path_opt.get("pretrain_network_c")
        if load_path is not None:
            strict = path_opt.get("strict_load_c", True)
            self.load_network(net_c, load_path, strict, path_opt.get("param_key_c", "params"))
        return net_c.train()

    @property
    def trained_networks(self) -> list[nn.Module]:
        """F_base, and F_con where it has weights of its own."""
        own = self.net_c if self._has_own_contrastive_branch else None
        return [net for net in (self.net_g, own) if net is not None]

    @property
    def _has_own_contrastive_branch(self) -> bool:
        return self.net_c is not None and self.net_c is not self.net_g

    def save(self, epoch: int, current_iter: int) -> None:
        """Save `net_c` first and the training state last, so that a state always has its networks."""
        if self._has_own_contrastive_branch:
            self.save_network(self.net_c, "net_c", current_iter)
        super().save(epoch, current_iter)

    def resume_training(self, resume_state: dict[str, Any]) -> None:
        """BasicSR's, and load F_con: BasicSR loads it only where the options name `network_c`."""
        if self._has_own_contrastive_branch:
            path = osp.join(self.opt["path"]["models"], f"net_c_{resume_state['iter']}.pth")
            if not osp.isfile(path):
                raise UserError(f"{path}: missing, so the contrastive branch cannot resume; take an earlier state")
            self.load_network(self.net_c, path, True, "params")
        super().resume_training(resume_state)
