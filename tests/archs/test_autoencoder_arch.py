"""The first stage: its size, the way there and back, σ, the codebook, folders of diffusers."""

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DModel, VQModel
from helpers.diffusion import FIRST_STAGE, SMALL, build

from mihatp_arch.archs import LDM, Autoencoder
from mihatp_arch.checkpoints import load_tensors
from mihatp_arch.errors import UserError

KL = {"channels": [8, 8, 16], "blocks": 1, "norm_groups": 4, "latent_channels": 4, "kind": "kl"}


def test_vq_f4_and_kl_f4_have_the_published_sizes():
    with torch.device("meta"):
        vq, kl = Autoencoder(), Autoencoder(kind="kl")
    assert sum(p.numel() for p in vq.parameters()) == 55_322_782
    assert sum(p.numel() for p in kl.parameters()) == 55_322_782 + 3 * 512 * 9 + 3 + 36 + 6 - 9 - 3 - 3 * 8192
    assert vq.factor == kl.factor == 4


@pytest.mark.parametrize("options", [FIRST_STAGE, KL], ids=["vq", "kl"])
def test_there_and_back(options):
    net = Autoencoder(**options).eval()
    image = torch.rand(2, 3, 16, 24)
    latent = net.encode(2 * image - 1)
    assert latent.shape == (2, options.get("latent_channels", 3), 4, 6)
    back = net(image)
    assert back.shape == image.shape and back.min() >= 0 and back.max() <= 1
    torch.testing.assert_close((net.decode(latent) / 2 + 0.5).clamp(0, 1), back)
    assert torch.equal(net(image), back)  # nothing is drawn outside training
    assert net(image[..., :13, :22]).shape == (2, 3, 13, 22)


@pytest.mark.parametrize("options", [FIRST_STAGE, KL], ids=["vq", "kl"])
def test_training_measures_the_deviation_of_the_latents(options):
    net = Autoencoder(**options).train()
    image = torch.rand(4, 3, 32, 32)
    before = net.encode(2 * image - 1)
    net(image)
    assert not net.latent_std.any() and not net.latent_mean.any()  # only with the loss
    net(image, with_loss=True)
    torch.testing.assert_close(net.latent_std.flatten(), before.std((0, 2, 3)))
    torch.testing.assert_close(net.latent_mean.flatten(), before.mean((0, 2, 3)))
    after = net.encode(2 * image - 1)
    torch.testing.assert_close(after.std((0, 2, 3)), torch.ones(len(net.latent_std)), atol=1e-3, rtol=0)
    torch.testing.assert_close(after.mean((0, 2, 3)), torch.zeros(len(net.latent_std)), atol=1e-3, rtol=0)
    back, loss = net(image, with_loss=True)
    (back.mean() + loss).backward()
    assert loss > 0 and all(p.grad is not None for p in net.parameters())


def test_codes_are_laid_over_the_latents_and_again_where_nothing_falls_on_them():
    net = Autoencoder(**FIRST_STAGE).train()
    codebook = net.vae.quantize.embedding.weight
    image = torch.rand(4, 3, 32, 32)
    net(image, with_loss=True)
    latent = net._encode(2 * image - 1)
    quantised, _, (_, _, used) = net.vae.quantize(latent)
    assert len(used.unique()) > 16  # of 32; as it is initialised nearly all fall on one
    assert (quantised - latent).std() < 0.7 * latent.std()
    after = codebook.clone()
    net(image, with_loss=True)
    assert torch.equal(codebook, after)
    with torch.no_grad():
        codebook[5] = 100.0
    for _ in range(120):
        net(image, with_loss=True)
    latents = latent.transpose(0, 1).flatten(1).T
    assert (codebook[5] - latents).abs().sum(1).min() < 1e-5
    net(image)
    assert torch.equal(net.idle, net.idle.clone().clamp(0, 99))


def test_gradients_pass_through_the_quantiser():
    net = Autoencoder(**FIRST_STAGE).train()
    net(torch.rand(2, 3, 16, 16), with_loss=True)
    image = torch.rand(2, 3, 16, 16, requires_grad=True)
    net(image).mean().backward()
    assert image.grad is not None and image.grad.abs().max() > 0


@pytest.mark.parametrize(
    "options", [{"kind": "vae"}, {"channels": []}, {"codes": 0}, {"channels": [8, 12], "norm_groups": 8}, {"blocks": 0}]
)
def test_options_that_do_not_fit_are_refused(options):
    with pytest.raises(UserError, match=r"^network: "):
        Autoencoder(**{**FIRST_STAGE, **options})


@pytest.mark.parametrize("kind", [VQModel, AutoencoderKL])
def test_a_folder_of_diffusers_is_a_first_stage(tmp_path, kind):
    net = Autoencoder(**(FIRST_STAGE if kind is VQModel else KL)).eval()
    net.vae.register_to_config(scaling_factor=0.5)
    net.vae.save_pretrained(tmp_path / "vae")
    state = load_tensors(tmp_path / "vae")
    other = Autoencoder(**(FIRST_STAGE if kind is VQModel else KL)).eval()
    other.load_state_dict(state)
    assert (
        other.latent_std == (1 if kind is VQModel else 2)
    ).all() and not other.latent_mean.any()  # VQ's latents go into LDM as they are
    image = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(other(image), net(image))


def test_a_folder_of_diffusers_is_an_ldm(tmp_path):
    """unet/ and vqvae/, as the published one has them; the sampling is the same, also with the old names of layers."""
    net = build("LDM")
    net.first_stage.latent_std.fill_(1)
    net.unet.save_pretrained(tmp_path / "unet", safe_serialization=False)
    net.first_stage.vae.save_pretrained(tmp_path / "vqvae")
    file = tmp_path / "unet" / "diffusion_pytorch_model.bin"
    old = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}
    renamed = {}
    for name, tensor in torch.load(file, weights_only=True).items():
        for new, former in old.items():
            name = name.replace(new, former)
        renamed[name] = tensor
    torch.save(renamed, file)
    state = load_tensors(tmp_path)
    other = LDM(**SMALL["LDM"], first_stage=FIRST_STAGE).eval()
    other.load_state_dict(state)
    lq = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(other(lq), net(lq))
    assert isinstance(other.unet, UNet2DModel)


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"is no folder of diffusers: it has neither unet/ and vqvae/ nor config.json"):
        load_tensors(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"config.json' is no configuration of diffusers"):
        load_tensors(tmp_path)
    (tmp_path / "config.json").write_text('{"_class_name": "VQModel"}')
    with pytest.raises(UserError, match="cannot be loaded as VQModel: "):
        load_tensors(tmp_path)
