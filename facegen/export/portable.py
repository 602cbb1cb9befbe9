"""How an exported model is opened and asked without facegen.

Nothing imports this file: an export writes it out, with all that it stands on before it and the kinds of the
exported model in `KINDS` behind it. So what is drawn there is drawn by the code that draws here.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from diffusers.pipelines.pipeline_utils import DiffusionPipeline, ImagePipelineOutput
from torch import Tensor
from torch.nn import functional as F

from facegen.diffusion.denoiser import Denoiser
from facegen.diffusion.guidance import autoguide, clip, guide
from facegen.models.objective import objective_of
from facegen.nn.strides import Strides
from facegen.types import Conditioning, ConditioningSpec, LabelSchema, LatentScaling, SampleSpec

KINDS: dict[str, Any] = {}
TEXT = "text"


class Settings(SimpleNamespace):
    """A section of the recipe."""

    def values(self) -> dict[str, Any]:
        """The options as arguments: all but `kind`."""
        return {name: value for name, value in vars(self).items() if name != "kind"}


class FacegenModel(ModelMixin, ConfigMixin):
    """Denoiser and conditioner, and the autoencoder where it is none of diffusers'.

    `recipe` has the sections that say what is built, `attributes` and `classes` are what the data were
    labelled with, `latent_scaling` is the shift and scale of the latents. `weak`: guidance comes from both as
    they were early in the run.
    """

    @register_to_config
    def __init__(
        self,
        recipe: dict[str, Any],
        sample_shape: list[int],
        latent_scaling: dict[str, list[float]],
        attributes: list[str],
        classes: dict[str, list[str]],
        text_dim: int | None = None,
        few_steps: bool = False,
        weak: bool = False,
    ) -> None:
        super().__init__()
        sample = SampleSpec(tuple(sample_shape))
        labels = LabelSchema(tuple(attributes), {name: tuple(each) for name, each in classes.items()})
        if text_dim is None:
            self.conditioner = KINDS["conditioner"](Settings(**recipe["conditioner"]), labels, sample)
            spec = self.conditioner.spec
        else:  # the pipeline's own text encoder stands in its place
            self.conditioner, spec = None, ConditioningSpec(vector_dim=text_dim, token_dim=text_dim)
        self.denoiser = KINDS["denoiser"](Settings(**recipe["denoiser"]), sample, spec)
        self.weak_denoiser = self.weak_conditioner = None
        if weak:
            self.weak_denoiser = KINDS["denoiser"](Settings(**recipe["denoiser"]), sample, spec)
            if text_dim is None:
                self.weak_conditioner = KINDS["conditioner"](
                    Settings(**recipe["conditioner"]), labels, sample
                )
        own = recipe["autoencoder"]
        self.autoencoder = None if own is None else KINDS["autoencoder"](Settings(**own))
        self.stride = Strides(spec.vector_dim or 0) if few_steps else None
        diffusion: Any = Settings(**recipe["diffusion"])
        self.objective = objective_of(diffusion)
        self.scaling = LatentScaling(tuple(latent_scaling["shift"]), tuple(latent_scaling["scale"]))

    def forward(self, x_t: Tensor, timestep: Tensor, conditioning: Conditioning) -> Tensor:
        return self.denoiser(x_t, timestep, conditioning).float()

    def weakly(self, x_t: Tensor, timestep: Tensor, conditioning: Conditioning) -> Tensor:
        """What the network answered early in the run."""
        assert self.weak_denoiser is not None
        return self.weak_denoiser(x_t, timestep, conditioning).float()


class FacegenPipeline(DiffusionPipeline):
    """Draws as facegen does: the same seed, the same picture.

        pipeline = DiffusionPipeline.from_pretrained(FOLDER, trust_remote_code=True)
        seeds = [torch.Generator().manual_seed(seed) for seed in (0, 1, 2, 3)]
        images = pipeline(attributes={"Smiling": 1}, generator=seeds).images

    `sampling` is how it usually draws, `max_tokens` how many of a caption its text encoder reads.
    """

    _optional_components = ["vae", "text_encoder", "tokenizer"]  # noqa: RUF012
    model_cpu_offload_seq = "text_encoder->model->vae"

    def __init__(
        self,
        model: Any,
        vae: Any = None,
        text_encoder: Any = None,
        tokenizer: Any = None,
        sampling: dict[str, Any] | None = None,
        max_tokens: int = 77,
    ) -> None:
        super().__init__()
        self.register_modules(model=model, vae=vae, text_encoder=text_encoder, tokenizer=tokenizer)
        self.register_to_config(sampling=sampling, max_tokens=max_tokens)

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | None = None,
        attributes: dict[str, float] | None = None,
        class_label: str | None = None,
        negative_prompt: str = "",
        num_images: int = 1,
        generator: torch.Generator | list[torch.Generator] | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
    ) -> Any:
        """Faces for a prompt, attributes (1 yes, -1 no) or a class, whichever the model was trained on.

        With a list of generators one image each; `output_type` is "pil", "np" or "pt" (0 to 1).

        Raises:
            ValueError: an attribute or class that the model does not know.
        """
        config: Any = self.config
        settings = Settings(**config.sampling)
        steps = num_inference_steps or settings.steps
        scale = settings.guidance_scale if guidance_scale is None else guidance_scale
        count = len(generator) if isinstance(generator, list) else num_images
        if self.text_encoder is not None:
            told, null = self._read((prompt or "", negative_prompt), count)
        else:
            told, null = self._told(attributes, class_label, count), self._told(None, None, count)
        if self.model.stride is not None:
            told, null = (self.model.stride(one, steps) for one in (told, null))
        model = Denoiser.of(self.model, self.model.objective)
        interval = tuple(settings.guidance_interval)
        if self.model.weak_denoiser is None or scale == 1:
            walked = guide(model, told, null, scale, interval)
        else:
            weak = Denoiser.of(self.model.weakly, self.model.objective)
            nothing = null
            if self.model.weak_conditioner is not None:
                rows = self.model.weak_conditioner.null_inputs(count)
                nothing = self.model.weak_conditioner(rows.to(self.device))
            walked = autoguide(model, told, guide(weak, nothing, nothing, 1.0), scale, interval)
        if settings.clip_x0 is not None:
            walked = clip(walked, settings.clip_x0)
        sampler = KINDS["sampler"](Settings(**settings.sampler))(walked, steps)

        def draw(*_: Any) -> Tensor:
            return self._noise(generator, count)

        x0 = [step.x0 for step in sampler(draw(), draw)][-1]
        images: Any = (self._decoded(self.model.scaling.invert(x0)) / 2 + 0.5).clamp(0, 1).cpu()
        if output_type != "pt":
            images = images.permute(0, 2, 3, 1).numpy()
        images = self.numpy_to_pil(images) if output_type == "pil" else images
        return ImagePipelineOutput(images=images) if return_dict else (images,)

    def _noise(self, generator: Any, count: int) -> Tensor:
        generators = generator if isinstance(generator, list) else [generator] * count
        shape = tuple(self.model.config.sample_shape)
        return torch.stack([torch.randn(shape, generator=one) for one in generators]).to(self.device)

    def _decoded(self, latents: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [-1, 1], about."""
        return self.model.autoencoder.decode(latents) if self.vae is None else self.vae.decode(latents).sample

    def _told(self, attributes: dict[str, float] | None, class_label: str | None, count: int) -> Conditioning:
        """The condition, which is the same for `count` images; of nothing asked the null condition."""
        rows = self.model.conditioner.null_inputs(count)
        if attributes:
            known = self.model.conditioner.attributes
            rows = rows.float()
            for name, value in attributes.items():
                if name not in known:
                    raise ValueError(f"no attribute '{name}'; there are {', '.join(known)}")
                rows[:, known.index(name)] = value
        if class_label is not None:
            known = self.model.conditioner.classes
            if class_label not in known:
                raise ValueError(f"no class '{class_label}'; there are {', '.join(known)}")
            rows = torch.full_like(rows, known.index(class_label))
        return self.model.conditioner(rows.to(self.device))

    def _read(self, captions: tuple[str, ...], count: int) -> list[Conditioning]:
        """Of each caption its tokens without padding, their mean, and the mask of those that are its own."""
        read = [self._tokens(caption) for caption in captions]
        length = max(tokens.shape[1] for tokens in read)
        told = []
        for tokens in read:
            visible = torch.arange(length, device=self.device)[None] < tokens.shape[1]
            padded = F.pad(tokens, (0, 0, 0, length - tokens.shape[1]))
            rows = (tokens.mean(1), padded, visible)
            told.append(Conditioning(*(each.expand(count, *each.shape[1:]) for each in rows)))
        return told

    def _tokens(self, caption: str) -> Tensor:
        """The encoder's last states (1, L, D), in half precision, as training kept them."""
        config: Any = self.config
        told = self.tokenizer(caption, truncation=True, max_length=config.max_tokens)["input_ids"]
        ids = torch.tensor([told or [self.tokenizer.pad_token_id]], device=self.device)
        hidden = self.text_encoder(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        return hidden.half().float()
