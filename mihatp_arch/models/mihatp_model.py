"""MiHATP's training: two branches and a contrastive loss (paper, Fig. 1, Eq. 1 to 9) in BasicSR's model interface."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from os import path as osp
from typing import Any, ClassVar

import torch
from basicsr.archs import build_network
from basicsr.losses import build_loss
from basicsr.models.sr_model import SRModel
from basicsr.utils.registry import MODEL_REGISTRY
from torch import Tensor, nn

from mihatp_arch.archs import HAT
from mihatp_arch.errors import UserError
from mihatp_arch.losses import FeatureNetwork
from mihatp_arch.training.parallel_branches import SideBySide, Start, at_once
from mihatp_arch.training.step import take_step
from mihatp_arch.transforms import IrreversiblePool, ReversiblePool


def _reversible_opt(*, k_p: int = 1, elements: Sequence[str] | None = None) -> tuple[int, ReversiblePool]:
    """What `train.reversible_opt` says: K_p and the pool."""
    if not isinstance(k_p, int) or isinstance(k_p, bool) or k_p < 1:
        raise UserError(f"train.reversible_opt.k_p: {k_p!r} is not a whole number of at least 1")
    return k_p, ReversiblePool(elements=elements)


def _irreversible_opt(
    *, k_n: int = 4, operations: Mapping[str, Sequence[float] | None] | None = None
) -> Callable[..., IrreversiblePool]:
    """What `train.irreversible_opt` says: the pool, which still lacks the scale of the task."""
    return partial(IrreversiblePool, k_n=k_n, operations=operations)


def _pools(opt: dict[str, Any]) -> tuple[int, ReversiblePool | None, IrreversiblePool | None]:
    """K_p and the two pools; a pool that is switched off is None."""
    train_opt = opt["train"]
    k_p, reversible, irreversible = 0, None, None
    if train_opt.get("reversible_opt") is not None:
        k_p, reversible = _call(_reversible_opt, train_opt["reversible_opt"], "train.reversible_opt")
    if train_opt.get("irreversible_opt") is not None:
        pool = _call(_irreversible_opt, train_opt["irreversible_opt"], "train.irreversible_opt")
        irreversible = pool(scale=opt["scale"])
    return k_p, reversible, irreversible


def _call(target: Callable[..., Any], options: dict[str, Any], where: str) -> Any:
    """target(**options), with a misspelt option named as the option file has it."""
    try:
        return target(**options)
    except TypeError as error:
        raise UserError(f"{where}: {error}") from error


@MODEL_REGISTRY.register()
class MiHATPModel(SRModel):
    """Base branch F_base (`net_g`) and contrastive branch F_con (`net_c`), trained together; only F_base is tested.

    Beside SRModel's options, `train` has:

    * `contrastive_opt`: the loss of Eq. 8 and 9 with its weight λ; null leaves it out.
    * `reversible_opt`: `k_p`, the positives K_p of each image, and `elements` of the pool; null is the ablation
      without RTP: no contrastive branch, and every similarity to a positive is 1.
    * `irreversible_opt`: `k_n`, the negatives K_n, and `operations` of the pool; null is the ablation without ITP:
      every similarity to a negative is 1.
    * `share_branches`: one network for both branches.
    * `detach_positive`: no gradient of the contrastive loss into F_con.
    * `branch_threads`: on a CPU, F_base and F_con side by side in two threads (default true); they must be HAT or
      MiHATP, uncompiled, in one process. The random draws are the same either way.

    `network_c` describes F_con (default: as `network_g`); `path.pretrain_network_c` starts it from weights.

    Raises:
        UserError: options that do not fit together.
    """

    # What takes the options of these sections of `train`, for whoever checks them beforehand.
    option_targets: ClassVar[dict[tuple[str, ...], Callable[..., Any]]] = {
        ("reversible_opt",): _reversible_opt,
        ("irreversible_opt",): _irreversible_opt,
        ("contrastive_opt", "features"): FeatureNetwork,
    }

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
        _pools(opt)

    def init_training_settings(self) -> None:
        """Build what only training needs, F_con first, so that the optimizer knows its parameters."""
        train_opt = self.opt["train"]
        self.check_options(self.opt)
        self.k_p, self.reversible_pool, self.irreversible_pool = _pools(self.opt)
        self.net_c = None if self.reversible_pool is None else self._build_contrastive_branch()
        self.cri_cl = None
        if train_opt.get("contrastive_opt"):
            self.cri_cl = build_loss(train_opt["contrastive_opt"]).to(self.device)
        self.detach_positive = bool(train_opt.get("detach_positive"))
        self.branches = SideBySide() if self._may_run_side_by_side(train_opt) else None
        super().init_training_settings()
        path_opt = self.opt["path"]
        incomplete = path_opt.get("pretrain_network_g") and not path_opt.get("strict_load_g", True)
        if self.ema_decay > 0 and incomplete and not path_opt.get("resume_state"):
            self.model_ema(0)  # BasicSR draws what the file lacks a second time for the average

    def _build_contrastive_branch(self) -> Any:
        if self.opt["train"].get("share_branches"):
            return self.net_g
        net_c = self.model_to_device(build_network(self.opt.get("network_c") or self.opt["network_g"]))
        load_path = self.opt["path"].get("pretrain_network_c")
        if load_path is not None:
            path_opt = self.opt["path"]
            strict = path_opt.get("strict_load_c", True)
            self.load_network(net_c, load_path, strict, path_opt.get("param_key_c", "params"))
        return net_c.train()

    def _may_run_side_by_side(self, train_opt: Mapping[str, Any]) -> bool:
        compiled = train_opt.get("compile")  # its kernels have the number of threads built in
        return (
            bool(train_opt.get("branch_threads", True))
            and self.device.type == "cpu"
            and torch.get_num_threads() >= 2
            and not (compiled or self.opt["dist"])
            and self._has_own_contrastive_branch
            and all(isinstance(net, HAT) for net in self._networks)  # what else draws at random is not known of others
        )

    def setup_optimizers(self) -> None:
        """One optimizer for both branches: Eq. 5 is one sum."""
        options = dict(self.opt["train"]["optim_g"])
        parameters = [p for net in self._networks for p in net.parameters() if p.requires_grad]
        self.optimizer_g = self.get_optimizer(options.pop("type"), parameters, **options)
        self.optimizers.append(self.optimizer_g)

    def optimize_parameters(self, current_iter: int) -> None:
        """One step of Eq. 5 on the batch of `feed_data`."""
        backward = self.branches.backward if self.branches else Tensor.backward
        take_step(self, current_iter, self.losses, self._networks, self.opt["train"], backward)

    def losses(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The terms of Eq. 5 on the images that are fed, and the similarities for the log."""
        terms: dict[str, Tensor] = {}
        similarities: dict[str, Tensor] = {}
        find_positives = positives = negatives = None
        with self.branches.forward() if self.branches else nullcontext(at_once) as start:
            base = start(self.net_g, self.lq)  # Eq. 1
            if self.reversible_pool is not None and self.net_c is not None:
                find_positives = self.positives(start, self.net_c, self.reversible_pool)
            if self.irreversible_pool is not None and self.cri_cl is not None:
                negatives = self.irreversible_pool(self.gt)  # Eq. 3
        self.output = base().float()
        terms["l_pix_base"] = self.cri_pix(self.output, self.gt)  # Eq. 6
        if find_positives is not None:
            positives, terms["l_pix_con"] = find_positives()  # Eq. 2 and 7
        if self.cri_cl is not None:
            terms["l_cl"], similarities = self.cri_cl(self.output, positives, negatives)  # Eq. 8, 9; λ is inside
        return terms, similarities

    def positives(self, start: Start, f_con: nn.Module, pool: ReversiblePool) -> Callable[[], tuple[Tensor, Tensor]]:
        """Starts F_con; X^P of Eq. 2, BxK_pxCxHxW, and Loss_L1^Con of Eq. 7 on the same outputs, for who asks."""
        lq = self.lq.repeat_interleave(self.k_p, 0)
        gt = self.gt.repeat_interleave(self.k_p, 0)
        draw = pool.draw(len(self.lq), height=lq.shape[-2], width=lq.shape[-1], k=self.k_p)
        output = start(f_con, pool.apply(lq, draw))

        def find() -> tuple[Tensor, Tensor]:
            transformed = output().float()
            positives = pool.invert(transformed, draw).unflatten(0, (-1, self.k_p))
            l_pix_con = self.cri_pix(transformed, pool.apply(gt, draw))
            return positives.detach() if self.detach_positive else positives, l_pix_con

        return find

    def save(self, epoch: int, current_iter: int) -> None:
        """`net_c` first, the training state last."""
        if self._has_own_contrastive_branch:
            self.save_network(self.net_c, "net_c", current_iter)
        super().save(epoch, current_iter)

    def resume_training(self, resume_state: dict[str, Any]) -> None:
        """Besides BasicSR's part, F_con: BasicSR finds it only where the options name `network_c`."""
        if self._has_own_contrastive_branch:
            path = osp.join(self.opt["path"]["models"], f"net_c_{resume_state['iter']}.pth")
            if not osp.isfile(path):
                raise UserError(f"{path}: missing, so the contrastive branch cannot resume; take an earlier state")
            self.load_network(self.net_c, path, True, "params")
        super().resume_training(resume_state)

    @property
    def _networks(self) -> list[Any]:
        """What is trained."""
        return [self.net_g, self.net_c] if self._has_own_contrastive_branch else [self.net_g]

    @property
    def _has_own_contrastive_branch(self) -> bool:
        return self.net_c is not None and self.net_c is not self.net_g
