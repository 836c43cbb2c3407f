"""The benchmark files of candidates: MiHATP with one thing changed in each row, and the preset made of them."""

from string import Template

_CANDIDATES = """
# What improves MiHATP at equal time, x$scale:
# mihatp benchmark -opt candidates_x$scale.yml overlays/light.yml --data DIR --seconds S --seeds 0 1 2
# Each row changes one thing of train_MiHATP_x$scale.yml; docs/results.md has the outcome.
name: candidates_x$scale
scale: $scale
methods:
  bicubic:
  SwinIR:
  HAT:
  HAT_projected:  # the projection as the last layer
    opt: train_HAT_x$scale.yml
    force: ["network_g:consistency=true"]
  MiHATP:
  MiHATP_on_HR:  # negatives made from HR itself
    opt: train_MiHATP_x$scale.yml
    force: ["train:irreversible_opt:operations_on=hr"]
  MiHATP_no_X_Norm:
    opt: train_MiHATP_x$scale.yml
    force: ["network_g:norm_residual=false"]
  MiHATP_learned_scales:  # α and β are trained
    opt: train_MiHATP_x$scale.yml
    force: ["network_g:learnable_scales=true"]
  MiHATP_lambda_0.1:
    opt: train_MiHATP_x$scale.yml
    force: ["train:contrastive_opt:loss_weight=0.1"]
  MiHATP_VGG16:  # the features of a trained network
    opt: train_MiHATP_x$scale.yml
    force:
      - "train:contrastive_opt:features:network=vgg16"
      - "train:contrastive_opt:features:weights=stlpips"
      - "train:contrastive_opt:features:layers=[relu1_2, relu2_2]"
  MiHATP_projected:
    opt: train_MiHATP_x$scale.yml
    force: ["network_g:consistency=true"]
  MiHATP_shared:  # one network for both branches
    opt: train_MiHATP_x$scale.yml
    force: ["train:share_branches=true"]
  MiHATP_one_branch:  # M-HAB alone, as Exp2 of Table 3
    opt: train_MiHATP_x$scale.yml
    force: &one_branch
      - "train:contrastive_opt=~"
      - "train:reversible_opt=~"
      - "train:irreversible_opt=~"
  MiHATP_skip:  # the network learns the difference to bicubic interpolation
    opt: train_MiHATP_x$scale.yml
    force: ["network_g:global_skip=true"]
  HAT_skip_projected:  # the skip and the projection of MiHATPplus, without its blocks
    opt: train_HAT_x$scale.yml
    force: ["network_g:global_skip=true", "network_g:consistency=true"]
  MiHATPplus:
ours: MiHATPplus
"""


def candidates_file(scale: int) -> str:
    """The text of candidates_x<scale>.yml."""
    return Template(_CANDIDATES.lstrip()).substitute(scale=scale)
