"""What is to be made: the jobs of a board, with their prompts, references, masks and seeds; a character's views."""
