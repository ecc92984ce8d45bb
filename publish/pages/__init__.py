"""Pages of still pictures: contact sheets, captions, letters of every script."""
