"""The texts that option files share. `$NAME` is filled in; a line that is nothing but an empty `$NAME` is left out."""

DATA_SET = """
$key:$note
  name: $set
  type: PairedImageDataset
  dataroot_gt: datasets/COAD/$set/HR.lmdb
  dataroot_lq: datasets/COAD/$set/LR_x$scale.lmdb
  io_backend:
    type: lmdb
"""

METRICS = """
psnr:
  type: calculate_psnr
  crop_border: 0
  test_y_channel: false
ssim:
  type: calculate_ssim
  crop_border: 0
  test_y_channel: false
"""

TRAIN = """
$about
name: $name
model_type: $model_type
scale: $scale
num_gpu: auto
manual_seed: 0

datasets:
  train:
    name: train
    type: PairedImageDataset
    dataroot_gt: datasets/COAD/train/HR.lmdb  # paper 3.1: 2000 patches of 192×192 at 40x
    dataroot_lq: datasets/COAD/train/LR_x$scale.lmdb
    io_backend:
      type: lmdb
    gt_size: 192
    use_hflip: true
    use_rot: true
    num_worker_per_gpu: 4
    batch_size_per_gpu: $batch_size
    dataset_enlarge_ratio: 1
    persistent_workers: true  # the loader processes are not started again in every epoch
    pin_memory: true
    prefetch_mode: ~
$data_sets

network_g:$network_note
$network
$network_d

path:
  pretrain_network_g: ~$weights_note
  strict_load_g: true
$path
  resume_state: ~

train:
  ema_decay: $ema_decay
  optim_g:
$optimizer
  scheduler:
    type: MultiStepLR
    milestones: $milestones
    gamma: 0.1
  total_iter: $total_iter
  warmup_iter: $warmup_iter
  pixel_opt:$pixel_note
$pixel_opt
$train

val:
  val_freq: $val_freq
  save_img: false
  metrics:
$metrics

logger:
  print_freq: 100
  save_checkpoint_freq: 5000
$keep_checkpoints
  use_tb_logger: true

dist_params:
  backend: nccl
"""

TEST = """
# Test of $method x$scale: `basicsr test -opt options/test_${name}.yml`.
# A training file can be tested as well: `basicsr test -opt options/train_${name}.yml` tests the network of that
# training. This file is for weights that came without a training file, and for sets without HR: give such a set the
# type SingleImageDataset and dataroot_lq alone.
name: $name  # results/$name gets the log and, with save_img, the images
model_type: $model_type  # a test builds F_base alone
scale: $scale  # must be the scale of the network
num_gpu: auto  # 0: the CPU
manual_seed: 0

datasets:  # paper 3.2: five disjoint sets; the mean of their results is reported
$data_sets

network_g:  # must describe the network that the weights belong to
$network

path:
  pretrain_network_g: experiments/$name/models/net_g_latest.pth
  param_key_g: params_ema  # the averaged weights; params where the file has no average
  strict_load_g: true

val:
  save_img: true  # results/$name/visualization/<set>/<patch>_<suffix>.png
  suffix: ~  # ~: the name of the test
  metrics:
$metrics
"""

BENCHMARK = """
# Table 1 at x$scale: mihatp benchmark -opt options/$name.yml [overlays …]. The options of a method are in
# train_<method>_x$scale.yml beside this file, or: {opt: [FILES], weights: FILE, zero_shot: true, first_stage: NAME,
# force: […]}. A method with weights, or with zero_shot and a network of the type Spandrel, is tested without training.
# {weights_of: NAME, force: […]} tests the network of another row. bicubic needs no options.
$about
name: $name
scale: $scale
methods:
  bicubic:
$methods
ours: MiHATP  # the tables give its improvement over the best other method
cohort: ~  # COAD or BRCA: the numbers of the paper for that cohort stand beside the measured ones
seeds: ~  # [0, 1, 2] trains each method three times
total_iter: ~  # the same iterations for every method; ~: as in its options
seconds: ~  # instead of total_iter: the same training time for every method
"""

OWN_NOTE = """
# Here each method has the batch size, losses, learning rate and length that it is published with, where those of
# benchmark_x$scale.yml are the same for all. Sources stand beside the names. Batch sizes are those of one GPU: with
# several, divide them.
"""
