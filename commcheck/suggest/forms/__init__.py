"""The settings as something else reads them: one file per reader, each with one constant `FORM`.

What may not be here: effects, or a setting that the suggestion does not have."""
