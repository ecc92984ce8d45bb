"""Moving pictures as files: stickers (GIF, animated WebP, APNG) and clips (MP4, WebM)."""
