"""Kontinuity: FLUX.1 Kontext nodes for ComfyUI. One picture of a character in, a storyboard out.

Importing this module imports nothing else: pytest, and everything that only wants a part of the pack, gets it for free.
"""

WEB_DIRECTORY = "./nodes/web"


async def comfy_entrypoint():
    """What ComfyUI calls to get the nodes."""
    try:
        from .nodes import KontinuityExtension
    except Exception:
        import logging

        # ComfyUI itself logs one line without the traceback.
        logging.exception("Kontinuity could not be loaded")
        raise
    return KontinuityExtension()
