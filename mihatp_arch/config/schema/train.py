"""`train`: losses, optimizer, schedule and how a step is computed."""

from typing import Annotated, Literal

from msgspec import Meta

from mihatp_arch.config.schema.types import NONE, Constructor, Count, Positive, Section, Weight, about


class Optimizer(Constructor):
    """`optim_g`: a class of torch.optim and its arguments."""

    type: Annotated[str, about("Adam, AdamW or any other class of torch.optim.")] = NONE
    lr: Annotated[float, Meta(gt=0, lt=1e3), about("Learning rate at the start.")] = NONE


class Scheduler(Constructor):
    """`scheduler`: the learning rate over the iterations."""

    type: Annotated[str, about("MultiStepLR, CosineAnnealingRestartLR or a class of torch.optim.lr_scheduler.")] = NONE
    milestones: Annotated[
        list[Positive], about("MultiStepLR: iterations at which the rate is multiplied by gamma.")
    ] = NONE
    gamma: Annotated[float, Meta(gt=0), about("MultiStepLR: the factor.")] = NONE
    periods: Annotated[
        list[Positive], about("CosineAnnealingRestartLR: iterations of each cycle; they reach total_iter.")
    ] = NONE
    restarts: Annotated[list[Count], about("MultiStepLR: iterations at which the rate starts again.")] = NONE
    restart_weights: Annotated[list[float], about("The rate at each restart, as a share of lr.")] = NONE


class Loss(Constructor):
    """A registered loss and its arguments."""

    type: Annotated[str, about("A registered loss.")] = NONE


class FeatureNetwork(Section):
    """`contrastive_opt.features`: the frozen network whose layers 1…L Eq. 8 and 9 compare."""

    network: Annotated[str, about("vgg19, vgg16, or a network of timm that has `features_only`.")] = "vgg19"
    weights: Annotated[
        str, about("imagenet (downloaded once), stlpips (vgg16 of stlpips-pytorch), a file, or random.")
    ] = "imagenet"
    layers: Annotated[
        list[str | int] | None,
        about(
            "Names of layers of vgg19 or vgg16, or out_indices of timm.", default="relu1_1 … relu5_1 of vgg19 or vgg16"
        ),
    ] = None


class ContrastiveLoss(Loss):
    """`contrastive_opt`: Eq. 8 and 9; the arguments of ContrastiveLoss."""

    features: Annotated[FeatureNetwork | None, about("The network and its layers; null takes vgg19.")] = None


class ReversiblePool(Section):
    """`reversible_opt`: RTP of Table 3, T_for and T_inv."""

    k_p: Annotated[Positive, about("K_p, positives of each image.")] = 1
    elements: Annotated[
        list[str] | None, about("Elements of the pool.", default="the seven flips and quarter turns of a square")
    ] = None


class IrreversiblePool(Section):
    """`irreversible_opt`: ITP of Table 3, T_irr."""

    k_n: Annotated[Positive, about("K_n, negatives of each image.")] = 4
    operations_on: Annotated[
        Literal["lr", "hr"],
        about("lr: the operations are applied to the image that bicubic makes of LR; hr: to HR itself."),
    ] = "lr"
    operations: Annotated[
        dict[str, list[float] | None] | None,
        about("Operation to its severity [low, high]; null takes its default.", default="blurs, noises, JPEG, down-up"),
    ] = None


class LQAugment(Section):
    """`lq_augment`: damage to a share of the LR images of the training, as scanners do it."""

    jpeg: Annotated[
        list[float], about("Range [low, high] of the JPEG quality, within [1, 100].", default="[70, 100]")
    ] = NONE
    share: Annotated[float, Meta(ge=0, le=1), about("Probability that an LR image is compressed.", default="1/3")] = (
        NONE
    )


class Train(Section):
    """The keys of every model."""

    total_iter: Annotated[Positive, about("Iterations of the training.")] = NONE
    warmup_iter: Annotated[int, about("Iterations over which the learning rate rises from 0; -1: none.")] = -1
    optim_g: Annotated[Optimizer, about("The optimizer of network_g.")] = NONE
    scheduler: Annotated[Scheduler, about("The learning rate over the iterations.")] = NONE
    pixel_opt: Annotated[Loss | None, about("The loss on pixels (Eq. 6 and 7).")] = NONE
    perceptual_opt: Annotated[Loss | None, about("A perceptual loss; models of this package have none.")] = NONE
    ema_decay: Annotated[
        float, Meta(ge=0, lt=1), about("Decay of the averaged weights, which are validated; 0: no average.")
    ] = 0
    precision: Annotated[
        Literal["fp32", "bf16"], about("bf16: networks under autocast; weights, losses and averages stay fp32.")
    ] = "fp32"
    accumulate: Annotated[
        Positive, about("Parts of a batch that are computed one after another: the same step in less memory.")
    ] = 1
    grad_clip: Annotated[float, Meta(gt=0), about("Largest norm of the gradient of a step.", default="no limit")] = NONE
    lq_augment: Annotated[LQAugment | None, about("JPEG compression of a share of the LR images.")] = None
    compile: Annotated[bool, about("Compile the networks with torch.compile.")] = False
    cuda_graphs: Annotated[bool, about("Record the training passes as CUDA graphs; one GPU, one process.")] = False
    deterministic: Annotated[bool, about("Use deterministic operations on a GPU where torch has them.")] = False


class MiHATPTrain(Train):
    """MiHATPModel: the contrastive loss, its two pools and the second branch."""

    contrastive_opt: Annotated[ContrastiveLoss | None, about("The loss of Eq. 8 and 9; null: none.")] = None
    reversible_opt: Annotated[
        ReversiblePool | None, about("RTP; null: no positives and no contrastive branch (Table 3).")
    ] = None
    irreversible_opt: Annotated[IrreversiblePool | None, about("ITP; null: no negatives (Table 3).")] = None
    share_branches: Annotated[bool, about("One network for both branches.")] = False
    detach_positive: Annotated[bool, about("No gradient of the contrastive loss into the contrastive branch.")] = False
    branch_threads: Annotated[bool, about("On a CPU, compute the two branches at the same time.")] = True
    probe_freq: Annotated[
        Count, about("A measurement of the contrastive loss and of Eq. 4 in the log every so many iterations; 0: none.")
    ] = 500


class FirstStageTrain(Train):
    """FirstStageModel: the autoencoder of LDM and ResShift."""

    latent_weight: Annotated[Weight, about("Weight of the loss on the latent (codebook or KL).")] = 1.0


class AdversarialFirstStageTrain(FirstStageTrain):
    """AdversarialFirstStageModel: the discriminator."""

    optim_d: Annotated[Optimizer, about("The optimizer of network_d.")] = NONE
    gan_opt: Annotated[Loss, about("The adversarial loss: GANLoss.")] = NONE
    disc_start: Annotated[Count, about("Iterations before the discriminator takes part.")] = 0


class HoVerNetTrain(Train):
    """HoVerNetModel: nuclei."""

    frozen_iterations: Annotated[
        Count, about("Iterations of the first phase, in which the encoder is not trained.")
    ] = 0
    colour_jitter: Annotated[
        float,
        Meta(ge=0, lt=1),
        about("Largest random change of brightness, contrast and saturation; the hue changes by a tenth of it."),
    ] = 0.0


class GANTrain(Train):
    """BasicSR's SRGANModel and ESRGANModel."""

    optim_d: Annotated[Optimizer, about("The optimizer of network_d.")] = NONE
    gan_opt: Annotated[Loss | None, about("The adversarial loss.")] = NONE
    ldl_opt: Annotated[Loss | None, about("The loss on local artefacts.")] = NONE
    net_d_iters: Annotated[Positive, about("Steps of network_d for one of network_g.")] = 1
    net_d_init_iters: Annotated[Count, about("Iterations in which network_d trains alone.")] = 0
