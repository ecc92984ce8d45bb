"""The demo model's text side: a small CLIP and a small T5 with tokenizers of their own, random and frozen.

Frozen random encoders train the transformer as well as learnt ones do in a closed vocabulary (handbook,
demo_model.md); words that no instruction holds are spelled letter by letter and mean nothing to the model; other
scripts become ``<unk>``, as in the real T5.
"""

from __future__ import annotations

import string
import zlib

import torch

from ..toonworld.instructions import every_instruction_word

JOINT, POOLED, MIN_TOKENS = 128, 64, 44


def _pieces() -> list[tuple[str, float]]:
    """T5's vocabulary in lower case: whole words of the instructions, else letters, digits and marks."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -20.0), ("▁", -4.0)]
    pieces += [(f"▁{word}", -1.0) for word in sorted(every_instruction_word()) if word != "-"]
    pieces += [(mark, -1.5) for mark in ".,-"]
    pieces += [(letter, -8.0) for letter in string.ascii_lowercase + string.digits + "'\"!?;:()/&%+"]
    return pieces + [(word, -2.0) for word in ("up", "body")]  # after a hyphen


def _capitals() -> list[tuple[str, float, int]]:
    """Capitalised words and letters, each with the row of ``_pieces`` that it means. (A tokenizer's own lower-casing
    would be lost when transformers loads the folder.)"""
    found = []
    for row, (piece, score) in enumerate(_pieces()):
        mark = "▁" if piece.startswith("▁") else ""
        capital = mark + piece[len(mark) :].capitalize()
        if capital != piece and not piece.startswith("<"):
            found.append((capital, score, row))
    return found


def t5_tokenizer():
    """Knows the words of the instructions, in lower case or with a capital; spells other words; other scripts are
    ``<unk>``."""
    from transformers import T5TokenizerFast  # pyright: ignore[reportAttributeAccessIssue] (made when asked for)

    vocabulary = _pieces() + [(piece, score) for piece, score, _ in _capitals()]
    return T5TokenizerFast(vocab=vocabulary, extra_ids=0, model_max_length=512)


def clip_tokenizer():
    """CLIP's byte alphabet without merges: every text can be read, letter by letter."""
    from transformers import CLIPTokenizer
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    letters = list(bytes_to_unicode().values())
    pieces = letters + [letter + "</w>" for letter in letters] + ["<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}, merges=[], model_max_length=77)


def text_encoders(seed: int = 0):
    """(clip_tokenizer, clip, t5_tokenizer, t5), evaluation mode, fp32, weights from ``seed``."""
    from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

    torch.manual_seed(seed)
    clip_tok, t5_tok = clip_tokenizer(), t5_tokenizer()
    clip = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(clip_tok),
            hidden_size=POOLED,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=77,
            bos_token_id=clip_tok.bos_token_id,  # pyright: ignore[reportArgumentType]
            eos_token_id=clip_tok.eos_token_id,  # pyright: ignore[reportArgumentType]
            pad_token_id=clip_tok.pad_token_id,  # pyright: ignore[reportArgumentType]
        )
    )
    t5 = T5EncoderModel(
        T5Config(
            vocab_size=len(_pieces()),
            d_model=JOINT,
            d_kv=32,
            d_ff=256,
            num_layers=2,
            num_heads=4,
            feed_forward_proj="gated-gelu",
            dense_act_fn="gelu_new",  # pyright: ignore[reportCallIssue]
            is_gated_act=True,  # pyright: ignore[reportCallIssue]
            tie_word_embeddings=True,  # pyright: ignore[reportCallIssue]
        )
    )
    _let_neighbours_speak(t5)
    rows = torch.stack([_word_vector(piece, seed) for piece, _ in _pieces()])
    rows = torch.cat([rows, rows[[row for _, _, row in _capitals()]]])  # a capital means the same
    t5.set_input_embeddings(torch.nn.Embedding.from_pretrained(rows, freeze=False))
    t5.config.vocab_size = len(rows)
    return clip_tok, clip.eval(), t5_tok, t5.eval()


def _word_vector(piece: str, seed: int) -> torch.Tensor:
    """A word's embedding depends on the word alone, so a larger vocabulary leaves those of the old words as they
    were."""
    generator = torch.Generator().manual_seed(zlib.crc32(f"{seed}/{piece}".encode()))
    return torch.randn(JOINT, generator=generator)


@torch.no_grad()
def _let_neighbours_speak(t5) -> None:
    """Untrained, T5's relative positions hardly matter, and "the left one waves, the right one sits" would be a bag of
    words. So the first head of the first block looks at the two words before, the second head at the two words
    behind."""
    bias = t5.encoder.block[0].layer[0].SelfAttention.relative_attention_bias.weight  # [32 buckets, heads]
    bias.zero_()
    bias[1:3, 0] = 4.0
    bias[17:19, 1] = 4.0


class PromptCache:
    """Prompts to (T5 states ``[N, tokens, 128]``, CLIP pooled ``[N, 64]``); the last ones are kept."""

    ENTRIES = 4096

    def __init__(self, device="cpu"):
        self._clip_tok, self._clip, self._t5_tok, self._t5 = text_encoders()
        self._known: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        self._device = device

    def fits(self, prompt: str) -> bool:
        """Whether a prompt has at most ``MIN_TOKENS`` tokens: all of a batch are padded to that."""
        return len(self._t5_tok(prompt).input_ids) <= MIN_TOKENS

    @torch.no_grad()
    def __call__(self, prompts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        if len(self._known) > self.ENTRIES:
            self._known.clear()
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._known]
        if new:
            ids = self._t5_tok(new, padding="max_length", max_length=MIN_TOKENS, return_tensors="pt").input_ids
            states = self._t5(ids).last_hidden_state.to(self._device)
            pooled = self._clip(
                self._clip_tok(new, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
            ).pooler_output.to(self._device)
            self._known |= {prompt: (states[i], pooled[i]) for i, prompt in enumerate(new)}
        states, pooled = zip(*(self._known[prompt] for prompt in prompts), strict=True)
        return torch.stack(states), torch.stack(pooled)
