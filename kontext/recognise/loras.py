"""Is a file a LoRA, and for which model? Told by its tensors' names alone."""

import re
from collections.abc import Iterable

from ..names.loras import find_target
from .flavours import FLUX_LORA, LORA_STARTS

_ADAPTER = r"(?:\.\w+)?"  # PEFT's name of the adapter, which some writers keep
LORA_TENSOR = re.compile(  # of a tensor's name -> what it is of its layer
    r"(?P<name>.+?)\.(?:"
    rf"(?:lora_A|lora_down|lora\.down|lora_linear_layer\.down|down){_ADAPTER}\.(?P<down>weight)"
    rf"|(?:lora_B|lora_up|lora\.up|lora_linear_layer\.up|up){_ADAPTER}\.(?P<up>weight)"
    rf"|lora_B{_ADAPTER}\.(?P<up_bias>bias)"
    rf"|(?P<magnitude>dora_scale|lora_magnitude_vector{_ADAPTER}(?:\.weight)?|magnitude)"  # the last: ai-toolkit
    r"|lokr_(?P<lokr>w[12](?:_[ab])?|t[12])|hada_(?P<hada>w[12]_[ab]|t[12])"
    r"|(?P<alpha>alpha)|(?P<diff>diff|w_norm)|(?P<diff_b>diff_b|b_norm)|(?P<set>set_weight))")
_LORA = re.compile(r"\.lora_[AB]\.|\.lora_(down|up|mid)\.|\.lora\.(down|up)\.weight$|\.lora_linear_layer\."
                   r"|\.processor\.\w+_lora[12]?\.(down|up)\.weight$"
                   r"|\.(lokr_[wt][12]|hada_[wt][12]|b?oft_\w+|dora_scale$|lora_magnitude_vector)"
                   r"|^(lora_(unet|te\d?|transformer)|lycoris)_[^.]+\."  # GLoRA, IA3 and what is new in LyCORIS
                   r"|\.(diff|diff_b|w_norm|b_norm|set_weight|reshape_weight)$")
_UNREAD = re.compile(r"(?P<name>.+?)\.(?:b?oft_\w+|[ab][12]|on_input)(?:\.\w+)*")  # of kinds that are not read


def looks_like_lora(names: Iterable[str]) -> bool:
    """Whether a file with tensors of these names is a LoRA, for whatever model."""
    names = list(names)
    packed = any(name.endswith(".lora_down") for name in names)  # of a LoRA, or part of a whole SVDQuant model
    return any(_LORA.search(name) for name in names) or packed and not any(n.endswith(".qweight") for n in names)


def flavour_of(names: Iterable[str]) -> str:
    """For what model a LoRA is, by its tensors' names; "unknown" if they do not tell."""
    names = list(names)
    matches = (LORA_TENSOR.fullmatch(name) or _UNREAD.fullmatch(name) for name in names)
    targets = [find_target(match["name"]) for match in matches if match]
    if any(target and target.component == "transformer" for target in targets):
        return FLUX_LORA
    known = next((flavour for starts, flavour in LORA_STARTS if any(n.startswith(starts) for n in names)), None)
    if known is None and any(targets):
        return "LoRA for CLIP-L or T5-XXL, which FLUX.1 shares with other models"
    return known or "unknown"
