"""The signature of a msgspec struct, for the reference: the generator reads the source, where structs have none."""

from typing import Any

from griffe import Class, Extension, Function, Parameter, ParameterKind, Parameters

RECORDS = ("Struct", "Record", "OpenRecord", "Response")  # msgspec's class, and those of `types` that are made of it


class Structs(Extension):
    """Gives classes that are structs themselves an `__init__` of their fields."""

    def on_class(self, *, cls: Class, **_: Any) -> None:
        """Griffe has read a class."""
        if "__init__" in cls.members or not any(str(base).split(".")[-1] in RECORDS for base in cls.bases):
            return
        kind = ParameterKind.keyword_only if "kw_only" in cls.keywords else ParameterKind.positional_or_keyword
        fields = [
            Parameter(name, kind=kind, annotation=field.annotation, default=field.value)
            for name, field in cls.attributes.items()
            if field.annotation is not None and not name.startswith("_") and "property" not in field.labels
        ]
        itself = Parameter("self", kind=ParameterKind.positional_or_keyword)
        cls.set_member("__init__", Function("__init__", parameters=Parameters(itself, *fields), returns="None"))
