"""Prints, as one line of JSON, what becomes of OPTICAL_FLOW and INTERP_MODEL values: this file COMFYUI PACK.

A later ComfyUI's loaders return a ModelPatcher of torchvision's RAFT, and one of a network with ``extract_features``,
``forward(img0, img1, timestep, cache)`` and perhaps ``pad_align``; such values are made here by hand.
"""

import json
import sys

from memory_checks import load_pack


def main(comfyui: str, pack: str) -> None:
    host = load_pack(comfyui, pack)
    import comfy.model_management as memory
    import torch
    from comfy.model_patcher import ModelPatcher
    from kontinuity import flow
    from kontinuity.common import InputError
    from torchvision.models.optical_flow import raft_small

    torch.set_num_threads(1)
    torch.manual_seed(0)

    class IFNetOfLater(torch.nn.Module):
        pad_align = 64

        def __init__(self):
            super().__init__()
            self.head = torch.nn.Conv2d(3, 3, 1)

        def get_dtype(self):
            return self.head.weight.dtype

        def extract_features(self, img):
            return self.head(img)

        def forward(self, img0, img1, timestep=0.5, cache=None):
            return img0 * (1 - timestep) + img1 * timestep + 0.1 * (cache["img0"] - cache["img1"])

    def patcher(network):
        return ModelPatcher(network.eval(), memory.get_torch_device(), memory.unet_offload_device())

    def refused(function, value) -> str:
        try:
            function(value, "Interpolate Frames")
        except InputError as error:
            return str(error)
        return ""

    a, b = torch.rand(48, 56, 3), torch.rand(48, 56, 3)
    raft, later = raft_small(weights=None), IFNetOfLater()
    estimate = host.flow_estimator(patcher(raft), "Estimate Motion")
    model = host.in_between_model(patcher(later), "Interpolate Frames")
    made = model.pair(a, b)(0.25)
    images = [image.permute(2, 0, 1)[None] for image in (a, b)]
    with torch.no_grad():
        wanted = later(*images, 0.25, {"img0": later.head(images[0]), "img1": later.head(images[1])})
    print(json.dumps({
        "flow equal": torch.equal(estimate(a, b), flow.RaftFlow(raft)(a, b)),
        "loaded": len(memory.current_loaded_models),
        "made": made.mean().item(), "wanted": wanted.clamp(0, 1).mean().item(),
        "name": model.name, "size": list(made.shape),
        "wrong flow": refused(host.flow_estimator, patcher(later)),
        "wrong model": refused(host.in_between_model, patcher(raft)),
    }))


if __name__ == "__main__":
    main(*sys.argv[1:])
