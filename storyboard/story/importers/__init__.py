"""Other people's formats as stories: Fountain screenplays, CSV shot lists, ViStoryBench's story.json.

An importer makes the data of a story file, which is then written as YAML and read like any other. It guesses little;
what it has no field for goes to a panel's notes or is named in `left_out`.
"""

from .fountain import import_fountain
from .headings import is_heading
from .imported import Imported
from .shot_list import import_csv
from .vistory import import_vistory, is_vistory

__all__ = ["Imported", "import_csv", "import_fountain", "import_vistory", "is_heading", "is_vistory"]
