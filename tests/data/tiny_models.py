"""Networks of the real architectures with few and random parameters, saved as users' weights are."""

from __future__ import annotations

import json
from pathlib import Path

import torch

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
SAM_SIDE = 64


def _stir(model: torch.nn.Module) -> None:
    """Larger random parameters than the usual start of training: the answer then depends on the picture."""
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.xavier_normal_(parameter)


def save_sam2(folder: Path, *, seed: int = 0) -> Path:
    """SAM 2 for video with inputs of 64 x 64; memory of 3 frames, so that a short clip outruns it."""
    from transformers import (
        Sam2VideoConfig,
        Sam2VideoMaskDecoderConfig,
        Sam2VideoModel,
        Sam2VideoPromptEncoderConfig,
    )

    width = 128  # Least that the memory's fixed 64 channels allow.
    backbone = {
        "model_type": "sam2_hiera_det_model", "hidden_size": 8, "image_size": [SAM_SIDE, SAM_SIDE],
        "blocks_per_stage": [1, 1, 2, 1], "embed_dim_per_stage": [8, 16, 32, 64], "window_size_per_stage": [4, 2, 2, 2],
        "num_attention_heads_per_stage": [1, 1, 2, 2], "global_attention_blocks": [3],
        "window_positional_embedding_background_size": [4, 4],
    }  # fmt: skip
    vision = {
        "model_type": "sam2_vision_model", "backbone_config": backbone, "backbone_channel_list": [64, 32, 16, 8],
        "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]], "fpn_hidden_size": width,
    }  # fmt: skip
    config = Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config=Sam2VideoPromptEncoderConfig(
            hidden_size=width, image_size=SAM_SIDE, mask_input_channels=4
        ),
        mask_decoder_config=Sam2VideoMaskDecoderConfig(
            hidden_size=width, mlp_dim=32, num_hidden_layers=1, num_attention_heads=2, iou_head_hidden_dim=width,
            iou_head_depth=2,
        ),
        image_size=SAM_SIDE, num_maskmem=3, max_object_pointers_in_encoder=4, memory_attention_hidden_size=width,
        memory_attention_num_layers=1, memory_attention_feed_forward_hidden_size=32,
        memory_attention_rope_feat_sizes=[4, 4], memory_encoder_hidden_size=width, memory_encoder_output_channels=64,
        mask_downsampler_embed_dim=width, memory_fuser_embed_dim=width, memory_fuser_intermediate_dim=32,
        memory_fuser_num_layers=1,
    )  # fmt: skip
    torch.manual_seed(seed)
    model = Sam2VideoModel(config)
    _stir(model)
    # The object is always there.
    torch.nn.init.constant_(model.mask_decoder.pred_obj_score_head.proj_out.bias, 100.0)
    model.save_pretrained(folder)
    settings = {"size": {"height": SAM_SIDE, "width": SAM_SIDE}, "resample": 2, "do_resize": True, **IMAGENET}
    (folder / "video_preprocessor_config.json").write_text(json.dumps(settings))
    return folder


def _dinov2() -> dict[str, object]:
    return {
        "model_type": "dinov2", "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "mlp_ratio": 2,
        "image_size": 28, "patch_size": 14, "out_indices": [1, 2], "reshape_hidden_states": False,
    }  # fmt: skip


def save_depth_anything(folder: Path, *, seed: int = 0, **config: object) -> Path:
    """Depth Anything with inputs of about 56 x 56."""
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation

    torch.manual_seed(seed)
    model = DepthAnythingForDepthEstimation(
        DepthAnythingConfig(
            backbone_config=_dinov2(), reassemble_hidden_size=16, reassemble_factors=[2, 1], neck_hidden_sizes=[8, 16],
            fusion_hidden_size=8, head_hidden_size=4, **config,
        )
    )  # fmt: skip
    _stir(model)
    torch.nn.init.constant_(model.head.conv3.bias, 2.0)
    model.save_pretrained(folder)
    settings = {
        "size": {"height": 56, "width": 56}, "keep_aspect_ratio": True, "ensure_multiple_of": 14, "resample": 3,
        "do_resize": True, "do_pad": False, **IMAGENET,
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


def save_dpt(folder: Path) -> Path:
    """DPT with a plain vision transformer and inputs of 32 x 32."""
    from transformers import DPTConfig, DPTForDepthEstimation

    torch.manual_seed(0)
    config = DPTConfig(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=32, image_size=32, patch_size=8,
        backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[4, 4, 8, 8], fusion_hidden_size=8, is_hybrid=False,
    )  # fmt: skip
    model = DPTForDepthEstimation(config)
    _stir(model)
    torch.nn.init.constant_(model.head.head[4].bias, 2.0)
    model.save_pretrained(folder)
    settings = {"size": {"height": 32, "width": 32}, "resample": 3, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


def save_zoedepth(folder: Path) -> Path:
    """ZoeDepth with inputs of about 64 x 64."""
    from transformers import ZoeDepthConfig, ZoeDepthForDepthEstimation

    torch.manual_seed(0)
    backbone = {
        "model_type": "beit", "image_size": 32, "patch_size": 8, "num_hidden_layers": 4, "hidden_size": 16,
        "intermediate_size": 32, "num_attention_heads": 2, "out_indices": [1, 2, 3, 4], "reshape_hidden_states": False,
        "use_relative_position_bias": True, "use_absolute_position_embeddings": False,
    }  # fmt: skip
    config = ZoeDepthConfig(
        backbone_config=backbone, backbone_hidden_size=16, neck_hidden_sizes=[4, 4, 8, 8], fusion_hidden_size=8,
        bottleneck_features=8, num_relative_features=4, bin_embedding_dim=8, num_patch_transformer_layers=1,
        patch_transformer_hidden_size=8, patch_transformer_intermediate_size=8, patch_transformer_num_attention_heads=2,
    )  # fmt: skip
    model = ZoeDepthForDepthEstimation(config)
    _stir(model)
    model.save_pretrained(folder)
    settings = {
        "size": {"height": 64, "width": 64}, "keep_aspect_ratio": True, "ensure_multiple_of": 32, "resample": 2,
        "do_pad": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder
