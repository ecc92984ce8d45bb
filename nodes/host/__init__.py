"""ComfyUI's services for the nodes. Nothing outside this folder touches `comfy.*` or `folder_paths`.

progress: bars, previews, Cancel; memory: the card; saving: the output folder; folders: model and input folders;
native_in, native_out, native_loras: ComfyUI's own MODEL, CLIP and VAE; native_motion: its models for motion; blocked:
outputs that nothing may use.
"""

from .blocked import blocked
from .memory import (
    ComfyPlacement,
    KontextComponent,
    card_memory,
    card_room,
    device_for,
    flux_latent_rgb,
    may_map_files,
    new_images,
    weight_dtype,
    work_device,
)
from .native_motion import NativeInBetween, flow_estimator, in_between_model
from .progress import PREVIEW_PIXELS, Progress, RunProgress, stop_if_cancelled
from .saving import OutputNames, keeps_metadata, output_names, png_text, saved_image, video_of

__all__ = [
    "PREVIEW_PIXELS", "ComfyPlacement", "KontextComponent", "NativeInBetween", "OutputNames", "Progress", "RunProgress",
    "blocked", "card_memory", "card_room", "device_for", "flow_estimator", "flux_latent_rgb", "in_between_model",
    "keeps_metadata", "may_map_files", "new_images", "output_names", "png_text", "saved_image", "stop_if_cancelled",
    "video_of", "weight_dtype", "work_device",
]
