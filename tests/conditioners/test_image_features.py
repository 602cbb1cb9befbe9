import json

import pandas as pd
import pytest
import torch
from support.tiny_image_encoder import PROJECTION_DIM, SMALL, save_tiny_clip, save_tiny_dinov2
from support.tiny_text_encoder import save_tiny_text_encoder

from facegen.conditioners import image_features
from facegen.conditioners._image_encoder import load_image_encoder
from facegen.errors import DataError, MissingModelError, UsageError
from facegen.formats.latents import ImageFeatures
from facegen.types import LabelSchema, PromptReading, SampleSpec

IMAGES = torch.randint(0, 256, (11, 3, 20, 20), generator=torch.Generator().manual_seed(0)).byte()
FINGERPRINT = "0f" * 32


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return save_tiny_clip(tmp_path_factory.mktemp("clip"))


def build(encoder="some/encoder", **options):
    config = image_features.Config(encoder=str(encoder), **{"dim": 8, "feature_dim": 4, **options})
    return image_features.build(config, LabelSchema(), SampleSpec((4, 8, 8)))


def table(encoder="some/encoder", width=4, fingerprint=FINGERPRINT):
    features = torch.arange(3.0 * width).view(3, width).half()
    return ImageFeatures(encoder, fingerprint, ["a", "b", "c"], features, [1.0] * width, [2.0] * width)


def test_features_are_found_by_record_id_and_standardised():
    conditioner = build()
    conditioner.attach(None, table())
    inputs = conditioner.inputs(pd.DataFrame({"id": ["c", "a"]}))
    assert inputs.tolist() == [[8, 9, 10, 11], [0, 1, 2, 3]]
    told = conditioner(inputs).vector
    torch.testing.assert_close(told, conditioner.project((inputs.float() - 1) / 2))
    assert torch.equal(conditioner(conditioner.null_inputs(1)).vector[0], conditioner.null)
    with pytest.raises(DataError, match="1 of 2 records have no image features, 'z'"):
        conditioner.inputs(pd.DataFrame({"id": ["a", "z"]}))


def test_latents_without_the_right_features_say_how_to_add_them():
    for given, message in (
        (None, "--image-encoder some/encoder"),
        (table("another"), "encoder=another"),
        (table(width=5), "feature_dim=5"),
    ):
        with pytest.raises(DataError, match=message):
            build().attach(None, given)


def test_a_trained_model_keeps_its_statistics_and_refuses_another_encoder():
    conditioner, again = build(), build()
    conditioner.attach(None, table())
    again.load_state_dict(conditioner.state_dict())
    assert again.shift.tolist() == [1.0] * 4
    other = table()
    again.attach(
        None, ImageFeatures(other.encoder, FINGERPRINT, other.ids, other.features, [9.0] * 4, [9.0] * 4)
    )
    assert again.shift.tolist() == [1.0] * 4
    with pytest.raises(DataError, match="not the one this model was trained with"):
        again.attach(None, table(fingerprint="11" * 32))


def test_photos_are_seen_by_the_encoder_the_model_was_trained_with(clip):
    encoder = load_image_encoder(str(clip))
    conditioner = build(clip, feature_dim=PROJECTION_DIM)
    conditioner.attach(None, table(str(clip), PROJECTION_DIM, encoder.fingerprint))
    assert torch.equal(conditioner.inputs_of_images(IMAGES), encoder(IMAGES))
    stranger = build(clip, feature_dim=PROJECTION_DIM)
    stranger.attach(None, table(str(clip), PROJECTION_DIM, FINGERPRINT))
    with pytest.raises(DataError, match="not the one"):
        stranger.inputs_of_images(IMAGES)


def test_words_and_labels_are_refused_with_what_to_do():
    conditioner = build()
    with pytest.raises(UsageError, match="--like PHOTO"):
        conditioner.read("a woman")
    with pytest.raises(UsageError, match="cannot be asked for Smiling"):
        conditioner.inputs_from(PromptReading({"Smiling": 1.0}))


def test_clip_gives_its_projected_embedding_of_the_prepared_image(clip):
    from transformers import CLIPModel

    encoder = load_image_encoder(str(clip))
    features = encoder(IMAGES)
    assert features.shape == (11, PROJECTION_DIM)
    assert features.dtype == torch.float16
    x = torch.nn.functional.interpolate(IMAGES.float() / 255, (32, 32), mode="bicubic", antialias=True)
    mean, std = (
        torch.tensor([0.48145466, 0.4578275, 0.40821073]),
        torch.tensor([0.26862954, 0.26130258, 0.27577711]),
    )
    x = (x.clamp(0, 1) - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    with torch.no_grad():
        model = CLIPModel.from_pretrained(clip).eval()
        expected = model.visual_projection(model.vision_model(pixel_values=x).pooler_output)
    torch.testing.assert_close(features.float(), expected, atol=2e-3, rtol=2e-3)


def test_an_images_features_do_not_depend_on_its_neighbours(clip):
    encoder = load_image_encoder(str(clip))
    whole = encoder(IMAGES)
    assert torch.equal(torch.cat([encoder(IMAGES[i : i + 3]) for i in range(0, 11, 3)]), whole)


def test_dinov2_gives_its_class_token_at_the_preprocessors_size(tmp_path):
    folder = save_tiny_dinov2(tmp_path / "dino")
    encoder = load_image_encoder(str(folder))
    assert encoder.dim == SMALL["hidden_size"]
    assert encoder(IMAGES).shape == (11, encoder.dim)
    (folder / "preprocessor_config.json").write_text(json.dumps({"crop_size": 32}), "utf-8")
    assert load_image_encoder(str(folder)).fingerprint != encoder.fingerprint


def test_what_is_no_image_encoder_is_refused(tmp_path):
    text = save_tiny_text_encoder(tmp_path / "text")
    with pytest.raises(UsageError, match="'clip_text_model' model; an image encoder is"):
        load_image_encoder(str(text))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="cannot be loaded as image encoder"):
        load_image_encoder(str(tmp_path / "empty"))
    with pytest.raises(MissingModelError, match="no folder"):
        load_image_encoder(str(tmp_path / "nowhere"))
    with pytest.raises(MissingModelError):
        load_image_encoder(f"classifier:{tmp_path / 'nowhere'}")
