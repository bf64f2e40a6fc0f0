"""The description of the REST API, as a file of the site: made when the site is built."""

from __future__ import annotations

import json

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from schedhttp.openapi import document
from schedhttp.settings import Settings


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add ``reference/openapi.json``: what a server answers at ``/scheduler/openapi.json``."""
    described = json.dumps(document(Settings()), indent=1)
    files.append(File.generated(config, "reference/openapi.json", content=described))
    return files
