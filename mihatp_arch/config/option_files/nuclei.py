"""The option files of HoVer-Net, which segments nuclei: train_HoVerNet_<name>.yml. They have no scale."""

from string import Template

_SETS = """\
  $key:$note
    name: $set
    type: PairedImageDataset
    dataroot_gt: $root/$set/labels
    dataroot_lq: $root/$set/images
    io_backend:
      type: disk
"""

_FILE = """\
# $about
name: HoVerNet_$name
model_type: HoVerNetModel
scale: 1  # label maps are as large as the tissue
num_gpu: auto
manual_seed: 0
find_unused_parameters: $unused

datasets:  # $prepared
  train:
    name: train
    type: PairedImageDataset
    dataroot_gt: $root/train/labels
    dataroot_lq: $root/train/images
    io_backend:
      type: disk
    gt_size: $gt_size
    use_hflip: true
    use_rot: true
    num_worker_per_gpu: 4
    batch_size_per_gpu: $batch_size
    dataset_enlarge_ratio: $enlarge
    persistent_workers: true  # the loader processes are not started again in every epoch
    pin_memory: true
    prefetch_mode: ~
$sets
network_g:
$network

path:
  pretrain_network_g: ~$weights
  strict_load_g: true
  resume_state: ~

train:
  precision: $precision
  ema_decay: $ema_decay
  frozen_iterations: $frozen
  colour_jitter: 0.25$jitter
  optim_g:
    type: Adam
    lr: !!float $rate
    betas: [0.9, 0.999]
  scheduler:
$scheduler
  total_iter: $total_iter
  warmup_iter: -1
  pixel_opt:
    $loss

val:
  val_freq: $val_freq
  save_img: false
  window: $window
  metrics:
    dice:
      type: calculate_nuclei_dice
      crop_border: 0
    aji:
      type: calculate_nuclei_aji
      crop_border: 0
    pq:
      type: calculate_nuclei_pq
      crop_border: 0

logger:
  print_freq: $print_freq
  save_checkpoint_freq: $save_freq
  keep_checkpoints: 3
  use_tb_logger: true

dist_params:
  backend: nccl
"""

_CONSEP_NETWORK = """
  type: HoVerNet  # 54.8 M parameters
  mode: original
  nr_types: 5  # background, miscellaneous, inflammatory, epithelial, spindle-shaped
"""
_LIGHT_NETWORK = """
  type: HoVerNet
  mode: fast
  nr_types: ~
  width: 0.125
"""
_TWO_PHASES = """
    type: MultiStepRestartLR  # a tenth of the rate after 25 epochs of each phase
    milestones: [8250, 24750]
    gamma: 0.1
    restarts: [16500]  # the second phase starts with the full rate
    restart_weights: [1]
"""
_COSINE = """
    type: CosineAnnealingRestartLR
    periods: [1000]  # as total_iter
    restart_weights: [1]
    eta_min: !!float 1e-6
"""

# The authors cut 49 patches of each of the 27 images: windows of 540 px every 164 px, with mirrored borders.
CONSEP = {
    "about": "HoVer-Net on CoNSeP with the schedule of its authors (models/hovernet/opt.py of vqdang/hover_net): two "
    "phases\n# of 50 epochs. An epoch is 1325 patches in 331 iterations here; the authors have 1323 patches.",
    "root": "datasets/nuclei/CoNSeP",
    "prepared": "mihatp nuclei prepare CoNSeP -o datasets/nuclei/CoNSeP",
    "gt_size": "270  # px, the window of the mode `original`; the output has 80 px",
    "batch_size": "4  # as in the authors' second phase; their first one has 16",
    "enlarge": "53  # 25 images · 53 = 1325 patches; 2 of the 27 images are val",
    "network": _CONSEP_NETWORK.strip("\n"),
    "weights": "  # the authors: ImageNet-ResNet50-Preact_pytorch.tar, the encoder alone (strict_load_g: false)",
    "unused": "true  # several processes need it while the encoder is not trained",
    "precision": "fp32",
    "ema_decay": "0  # the authors have no average",
    "frozen": "16500  # the first phase, 50 epochs: the encoder is not trained",
    "jitter": "  # the authors change hue, saturation, brightness and contrast, and blur",
    "rate": "1e-4  # HoVer-Net, section 4.3",
    "scheduler": _TWO_PHASES.strip("\n"),
    "loss": "type: HoVerNetLoss  # weights of 1, as in the official code",
    "total_iter": "33000  # 100 epochs",
    "val_freq": "3300",
    "save_freq": "1100",
    "window": "~  # 270",
    "print_freq": "100",
}
LIGHT = {
    "about": "A light HoVer-Net for nuclei without types: an eighth of the channels. A thread of a CPU trains it in "
    "40 minutes:\n# it is the training of the bundled nuclei-light. Validation has windows of 560 px, faster than 256.",
    "root": "datasets/nuclei/MoNuSeg",
    "prepared": "mihatp nuclei prepare MoNuSeg -o datasets/nuclei/MoNuSeg",
    "gt_size": "384",
    "batch_size": "2",
    "enlarge": "1",
    "network": _LIGHT_NETWORK.strip("\n"),
    "weights": "",
    "unused": "false",
    "precision": "bf16",
    "ema_decay": "0.99",
    "frozen": "0",
    "jitter": "",
    "rate": "2e-3",
    "scheduler": _COSINE.strip("\n"),
    "loss": "type: HoVerNetLoss\n    hv_mse: 5  # in a short training from nothing, the distances are learnt sooner",
    "total_iter": "1000",
    "val_freq": "500",
    "save_freq": "100",
    "window": "560",
    "print_freq": "20",
}
NUCLEI = {"consep": CONSEP, "light": LIGHT}


def nuclei_file(name: str) -> str:
    """The text of train_HoVerNet_<name>.yml."""
    values = NUCLEI[name]
    sets = {"val": ("val", ""), "val_test1": ("test", "  # it decides nothing during the training")}
    texts = [
        Template(_SETS).substitute(key=key, set=folder, note=note, root=values["root"])
        for key, (folder, note) in sets.items()
    ]
    return Template(_FILE).substitute(values, name=name, sets="".join(texts).rstrip() + "\n")
