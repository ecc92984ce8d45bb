"""Prompts: how long they are, which are refused, and what the two text encoders make of them."""

import re
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import nn

from ..common import InputError
from .layers.quantised import largest_unpacking

if TYPE_CHECKING:
    from transformers import CLIPTextModel, T5EncoderModel

MAX_T5_TOKENS = 512  # of a prompt, the end mark included: what FLUX was trained with
MAX_CLIP_TOKENS = 77  # that CLIP reads, both marks included; more are cut off


def token_count(tokenizer, prompt: str) -> int:
    """A tokenizer's tokens of a prompt, its marks included, before any padding or cutting."""
    return len(tokenizer(prompt, truncation=False, verbose=False).input_ids)


class TokenSpan(NamedTuple):
    """Where a token is in its prompt, prompt[start:end], and whether the vocabulary has it (else `<unk>` is read)."""

    start: int
    end: int
    known: bool


def t5_tokens(tokenizer, prompt: str) -> list[TokenSpan]:
    """The T5 tokens of a prompt, without the end mark, before any padding or cutting."""
    text = re.sub("[\ud800-\udfff]", "\ufffd", prompt)  # half an emoji is no text
    read = tokenizer(text, truncation=False, verbose=False, add_special_tokens=False, return_offsets_mapping=True)
    spans = []
    for token, (start, end) in zip(read.input_ids, read.offset_mapping, strict=True):
        while start < end - 1 and text[start].isspace():  # transformers 4 counts the space before a word to it
            start += 1
        spans.append(TokenSpan(start, end, token != tokenizer.unk_token_id))
    return spans


def check_prompt(tokenizer, prompt: str, where: str, field: str = "prompt") -> None:
    """Refuse a prompt that is no text, is empty, or is over 512 T5 tokens (it would be cut silently).

    Args:
        tokenizer: the model's T5 tokenizer.
        prompt: the instruction.
        where, field: who asks, and what it is, for the message.

    Raises:
        InputError: with the token count if that is the trouble.
    """
    if not isinstance(prompt, str):
        raise InputError(where, field, type(prompt).__name__, "is not text", "write an instruction")
    if not prompt.strip():
        raise InputError(where, field, prompt, "is empty", "say what should be changed or shown")
    try:
        prompt.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError(where, field, prompt, "holds half a character (a lone surrogate)",
                         "delete the broken character, often a cut emoji") from None
    # Above this it cannot be 512 tokens of anything sensible, and tokenizing a pasted book would take long.
    count = token_count(tokenizer, prompt) if len(prompt) <= 100 * MAX_T5_TOKENS else None
    if count is None or count > MAX_T5_TOKENS:
        length = f"has {count} T5 tokens" if count else f"has {len(prompt)} characters"
        raise InputError(where, field, prompt, f"{length}, more than the {MAX_T5_TOKENS} tokens the model reads",
                         "shorten it")


def text_token_ids(
    clip_tokenizer, t5_tokenizer, prompt: str, min_tokens: int, clip_positions: int = MAX_CLIP_TOKENS
) -> tuple[torch.Tensor, torch.Tensor]:
    """The token ids both encoders get, for every backend the same.

    T5 is padded to max(min_tokens, its own length), at most 512, and gets no attention mask, as FLUX was trained:
    the padding takes part, so another `min_tokens` gives other embeddings. CLIP is padded or cut to its positions.

    Args:
        clip_tokenizer, t5_tokenizer: of transformers.
        prompt: checked text; nothing in it is syntax.
        min_tokens: 1..512, `ModelSettings.min_text_tokens`.
        clip_positions: how many the CLIP encoder has.

    Returns:
        (CLIP ids int64 [1, 77], T5 ids int64 [1, n]) on the CPU.
    """
    length = min(MAX_T5_TOKENS, max(min_tokens, token_count(t5_tokenizer, prompt)))
    # some published CLIP tokenizers carry no length, or a far longer one than the encoder has positions for
    clip_ids = _padded_ids(clip_tokenizer, prompt, min(clip_tokenizer.model_max_length, clip_positions))
    return clip_ids, _padded_ids(t5_tokenizer, prompt, length)


def encode_prompt(
    text_encoders: nn.ModuleDict, clip_tokenizer, t5_tokenizer, prompt: str, min_tokens: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the transformer reads of a prompt: T5's states and CLIP's pooled vector, see `text_token_ids`.

    Args:
        text_encoders: "clip" (CLIPTextModel) and "t5" (T5EncoderModel), both on `device`.
        clip_tokenizer, t5_tokenizer: theirs.
        prompt: checked text.
        min_tokens: 1..512, `ModelSettings.min_text_tokens`.
        device: where to run.

    Returns:
        (embeddings [1, n, T5 width], pooled [1, CLIP width]) in the encoders' dtype, on the CPU.
    """
    clip, t5 = cast("CLIPTextModel", text_encoders["clip"]), cast("T5EncoderModel", text_encoders["t5"])
    positions = clip.config.max_position_embeddings
    clip_ids, t5_ids = text_token_ids(clip_tokenizer, t5_tokenizer, prompt, min_tokens, positions)
    embeds = t5(t5_ids.to(device), output_hidden_states=False)[0]
    pooled = clip(clip_ids.to(device), output_hidden_states=False).pooler_output
    return embeds.cpu(), pooled.cpu()


def _padded_ids(tokenizer, prompt: str, length: int) -> torch.Tensor:
    return tokenizer([prompt], padding="max_length", max_length=length, truncation=True,
                     return_tensors="pt").input_ids


def activation_bytes(text_encoders: nn.ModuleDict, tokens: int) -> int:
    """Bytes encoding a prompt needs beside the weights, a generous estimate for T5 (CLIP is far smaller).

    A layer holds about 8 tensors of the model's width, 4 of the feed-forward's, and the attention scores (T5 adds a
    position bias, so they are not fused) twice in float32. A quantised layer unpacks its matrix for the call.

    Args:
        tokens: padded length of the prompt.
    """
    t5 = cast("T5EncoderModel", text_encoders["t5"])
    scores = 2 * 4 * t5.config.num_heads * tokens * tokens
    activations = tokens * (8 * t5.config.d_model + 4 * t5.config.d_ff) * t5.dtype.itemsize
    return activations + scores + largest_unpacking(t5, t5.dtype)
