"""The nodes that tell who is in a picture: load a scorer, score pictures, pick one of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from comfy_api.latest import io, ui

from ..common import InputError
from ..demo_model import figure_finder, identity_folder
from ..kontext import FaceEncoder, FaceFinder, Scorer, load_encoder
from ..publish import contact_sheet
from ..storyboard import characters_judge, picture_names, story_judge
from . import host
from .host import folders
from .inputs import own_choices
from .pictures import as_image, as_pictures
from .sockets import CATEGORY, CharactersSocket, ScorerSocket, Storyboard, StorySocket

LOAD_TITLE = "Load Identity Scorer"
SCORE_TITLE = "Score Panels"
PICK_TITLE = "Pick Candidate"
DRAWN_WORLD = "drawn world (built in)"
CLIP_VISION = "the clip_vision input"
WITH_ENCODER = "the encoder's own"
WHOLE_PICTURE = "none: the whole picture is one figure"
FACES = "faces, by "
BEST = -1


class ClipVisionEncoder:
    """kontext's `Encoder` on ComfyUI's CLIP_VISION, whose memory is ComfyUI's: CLIP, SigLIP and DINOv2."""

    name = "CLIP_VISION"

    def __init__(self, clip_vision):
        self._model = clip_vision

    def embed(self, pictures: Sequence[torch.Tensor]) -> torch.Tensor:
        """See `Encoder`."""
        vectors = []
        for picture in pictures:
            encoded = self._model.encode_image(picture[None], crop=False)
            vector = encoded["image_embeds"]
            if vector is None:  # an encoder without a projection
                vector = encoded["last_hidden_state"].mean(1)
            vectors.append(vector.flatten(1).float().cpu())
        return F.normalize(torch.cat(vectors), dim=1)


class LoadScorer(io.ComfyNode):
    """Brings together what sees likeness and what finds figures."""

    validate_inputs = own_choices("encoder", "finder")

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Kontinuity_LoadScorer",
            display_name=LOAD_TITLE,
            category=CATEGORY,
            description="Loads what tells whether the character in a picture is the one of the reference.",
            inputs=[
                io.Combo.Input("encoder", options=[DRAWN_WORLD, CLIP_VISION, *folders.identity_encoders(),
                                                   *(FACES + name for name in folders.face_models())],
                               default=DRAWN_WORLD,
                               tooltip="What sees likeness. The built-in one knows the demo model's drawn world only. "
                                       "Others: CLIP vision from ComfyUI, a transformers folder (CLIP, DINOv2, "
                                       "ResNet) or a face embedding (AuraFace's glintr100.onnx) in models/identity."),
                io.Combo.Input("finder", options=[WITH_ENCODER, WHOLE_PICTURE, DRAWN_WORLD,
                                                  *folders.face_models()],
                               default=WITH_ENCODER,
                               tooltip="What finds and counts the figures. Only the built-in encoder has its own. "
                                       "YuNet face detectors (*.onnx) in models/identity find faces."),
                io.ClipVision.Input("clip_vision", optional=True,
                                    tooltip="From Load CLIP Vision, when it is chosen above."),
            ],
            outputs=[ScorerSocket.Output(display_name="scorer", tooltip="For Render Storyboard and Score Panels.")],
        )

    @classmethod
    def execute(cls, encoder: str, finder: str, clip_vision=None) -> io.NodeOutput:
        if finder == WITH_ENCODER:
            finder = DRAWN_WORLD if encoder == DRAWN_WORLD else WHOLE_PICTURE
        return io.NodeOutput(Scorer(_encoder(encoder, clip_vision), _finder(finder)))


def _encoder(name: str, clip_vision):
    if name == DRAWN_WORLD:
        return load_encoder(identity_folder(), "drawn world", LOAD_TITLE)
    if str(name).startswith(FACES):
        name = name.removeprefix(FACES)
        return FaceEncoder(folders.identity_path(name, LOAD_TITLE, "encoder"), name, LOAD_TITLE)
    if name != CLIP_VISION:
        return load_encoder(folders.identity_path(name, LOAD_TITLE, "encoder"), name, LOAD_TITLE)
    if clip_vision is None:
        raise InputError(LOAD_TITLE, "clip_vision", "nothing", "is not connected",
                         f"connect Load CLIP Vision, or choose '{DRAWN_WORLD}'")
    return ClipVisionEncoder(clip_vision)


def _finder(name: str):
    if name == WHOLE_PICTURE:
        return None
    if name == DRAWN_WORLD:
        return figure_finder()
    return FaceFinder(folders.identity_path(name, LOAD_TITLE, "finder"), LOAD_TITLE)


class ScorePanels(io.ComfyNode):
    """Scores pictures against the characters that should be in them."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Kontinuity_ScorePanels",
            display_name=SCORE_TITLE,
            category=CATEGORY,
            is_input_list=True,
            is_output_node=True,
            description="Compares each character in each picture with that character's own reference pictures: "
                        "likeness, number of figures, and whether the reference was pasted.",
            inputs=[
                io.Image.Input("pictures", tooltip="The pictures, as a list or a batch."),
                ScorerSocket.Input("scorer", tooltip="From Load Identity Scorer."),
                StorySocket.Input("story", optional=True,
                                  tooltip="From Load Storyboard: says who is in which panel."),
                CharactersSocket.Input("characters", optional=True,
                                       tooltip="From Character nodes, when there is no story: all of them should be in "
                                               "every picture."),
                io.String.Input("ids", optional=True, force_input=True,
                                tooltip="The panel id of each picture, from Render Storyboard. Without it the pictures "
                                        "are the story's panels in order."),
            ],
            outputs=[
                io.String.Output(display_name="report", tooltip="One line for each picture, also shown on the node."),
                io.Float.Output(display_name="scores", is_output_list=True,
                                tooltip="One number for each picture, 0 to 1; 0 for a panel without characters."),
            ],
        )

    @classmethod
    def execute(cls, pictures: list[torch.Tensor], scorer: list[Scorer], story: list[Storyboard] | None = None,
                characters: list[Mapping[str, torch.Tensor]] | None = None,
                ids: list[str] | None = None) -> io.NodeOutput:
        flat, known = _flat(pictures, SCORE_TITLE), {}
        if story:
            board = story[0].board
            known = picture_names(board.story)
            names = ids or list(known)
            for name in names:
                if name not in known:
                    raise InputError(SCORE_TITLE, "ids", name, "is not a panel of this story", "connect its own ids")
            judge = story_judge(board, scorer[0])
        elif characters:
            names = ids or [f"{index}" for index in range(len(flat))]
            judge = characters_judge(characters[0], scorer[0])
        else:
            raise InputError(SCORE_TITLE, "story", "nothing", "neither a story nor characters are connected",
                             "connect Load Storyboard or a Character node")
        if len(names) != len(flat):
            raise InputError(SCORE_TITLE, "pictures", len(flat), f"are not as many as the {len(names)} ids or panels",
                             "connect pictures and ids of the same Render Storyboard")
        progress = host.Progress(len(flat))
        scores = []
        for name, picture in zip(names, flat, strict=True):
            scores.append(judge(known.get(name, name), picture))
            progress.advance()
        report = "\n".join(f"{name}: {score or 'nobody to look for'}"
                           for name, score in zip(names, scores, strict=True))
        return io.NodeOutput(report, [score.total if score else 0.0 for score in scores], ui=ui.PreviewText(report))


class PickCandidate(io.ComfyNode):
    """Shows candidates side by side and hands one on."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Kontinuity_PickCandidate",
            display_name=PICK_TITLE,
            category=CATEGORY,
            is_input_list=True,
            is_output_node=True,
            description="Shows several pictures with their numbers and scores on one sheet, and hands one of them on.",
            inputs=[
                io.Image.Input("pictures", tooltip="The candidates, as a list or a batch, such as those of Render "
                                                   "Storyboard."),
                io.Int.Input("index", default=BEST, min=BEST, max=9999,
                             tooltip="The number of the picture to take, from 0 as on the sheet. -1 takes the one of "
                                     "the best score."),
                io.Float.Input("scores", optional=True, force_input=True, min=0.0, max=1.0,
                               tooltip="One score for each picture, from Render Storyboard (candidate_scores) or Score "
                                       "Panels."),
            ],
            outputs=[
                io.Image.Output(display_name="picture", tooltip="The one picked."),
                io.Image.Output(display_name="sheet", tooltip="All of them with numbers and scores."),
            ],
        )

    @classmethod
    def execute(cls, pictures: list[torch.Tensor], index: list[int],
                scores: list[float] | None = None) -> io.NodeOutput:
        flat, number = _flat(pictures, PICK_TITLE), index[0]
        if scores is not None and len(scores) != len(flat):
            raise InputError(PICK_TITLE, "scores", len(scores), f"are not as many as the {len(flat)} pictures",
                             "connect pictures and scores of one node")
        if number == BEST:
            if scores is None:
                raise InputError(PICK_TITLE, "index", number, "takes the best score, and no scores are connected",
                                 "connect scores, or give a number from 0")
            number = scores.index(max(scores))
        if number >= len(flat):
            raise InputError(PICK_TITLE, "index", number, f"there are {len(flat)} pictures",
                             f"use 0 to {len(flat) - 1}")
        captions = [f"{place}" + (f": {scores[place]:.2f}" if scores else "") + (" - picked" if place == number else "")
                    for place in range(len(flat))]
        sheet = as_image(contact_sheet(flat, captions))
        picked = [picture for batch in pictures for picture in batch][number]
        picked = picked if picked.shape[-1] == 4 else flat[number]  # its alpha goes on with it
        return io.NodeOutput(as_image(picked), sheet, ui=ui.PreviewImage(sheet, cls=cls))


def _flat(batches: Sequence[torch.Tensor], where: str) -> list[torch.Tensor]:
    return [picture for batch in batches for picture in as_pictures(batch, where, "pictures")]
