"""Shapes written in annotations are checked in every test run (jaxtyping must come before hiddenstate)."""

import jaxtyping

jaxtyping.install_import_hook(
    ["hiddenstate.cells", "hiddenstate.scan", "hiddenstate.blocks"], "beartype.beartype"
)
