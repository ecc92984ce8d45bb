"""The JSON Schema of story files, made from the models: `python -m kontinuity.storyboard.story.schema` writes it anew.

It is shipped as story.schema.json, for editors. What a schema cannot say (a name that must be known, one thing written
twice, circles) only Kontinuity itself finds.
"""

import json
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from .models import Story

SCHEMA_FILE = Path(__file__).parent.parent / "story.schema.json"


class _Plain(GenerateJsonSchema):
    """Without the titles that pydantic makes of field names, and with kinds that may have entries in common."""

    def tagged_union_schema(self, schema: Any) -> dict[str, Any]:
        made = super().tagged_union_schema(schema)
        return {"anyOf": made["oneOf"]} if "oneOf" in made else made

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def story_schema() -> dict[str, Any]:
    """The schema as data."""
    schema = Story.model_json_schema(by_alias=True, schema_generator=_Plain)
    for model in [schema, *schema["$defs"].values()]:
        model.pop("title", None)
        model.pop("description", None)  # of the Python class
    _close_mappings(schema)
    schema["properties"]["version"] = {"const": 1}
    frame = {"type": ["string", "integer"]}
    series = {"required": ["start_frame", "end_frame"], "properties": {"start_frame": frame, "end_frame": frame}}
    schema["$defs"]["Panel"]["anyOf"] = [{"required": ["prompt"]}, {"required": ["change"]}, series]
    schema["$defs"]["Panel"]["not"] = {"required": ["prompt", "change"]}
    schema["properties"]["$schema"] = {"type": "string"}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Kontinuity story, version 1", **schema}


def _close_mappings(part: Any) -> None:
    """In a mapping of names every key is a name."""
    if isinstance(part, dict):
        if "patternProperties" in part:
            part["additionalProperties"] = False
        for value in part.values():
            _close_mappings(value)
    elif isinstance(part, list):
        for value in part:
            _close_mappings(value)


def main() -> None:
    """Write the file."""
    SCHEMA_FILE.write_text(json.dumps(story_schema(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
